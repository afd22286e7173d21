"""URLs that a table names: from public addresses only, by no other scheme, and bounded in bytes and seconds."""

from __future__ import annotations

import gzip
import io
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from loopback import begin, send, server
from made_sources import png, portraits
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources import web
from fsearch.indexer.sources.decode import RejectedImageError
from fsearch.indexer.sources.resolve import SourceOptions, open_source
from fsearch.indexer.sources.web import fetch, streaming
from fsearch.indexer.sources.web_address import Hosts, Place, WebError, is_public

ANY = Hosts(private=True)
SECRET = b"the metadata service's secret"


def reasons(*urls: str, allow: bool = False) -> list[str]:
    """Why each URL of a manifest is rejected; "" for one that is not."""
    Path("m.csv").write_text("url\n" + "".join(f"{url}\n" for url in urls))
    found = []
    for item in open_source("m.csv", SourceOptions(allow_private_hosts=allow)).items():
        try:
            item.read()
            found.append("")
        except RejectedImageError as error:
            assert "\n" not in str(error)
            found.append(str(error))
    return found


def drip(handler: BaseHTTPRequestHandler, piece: bytes = b" ") -> None:
    for _ in range(600):
        handler.wfile.write(piece)
        handler.wfile.flush()
        time.sleep(0.1)


def in_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    drip(handler)


def in_content(handler: BaseHTTPRequestHandler) -> None:
    begin(handler)
    drip(handler)


def in_chunk_lengths(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    drip(handler, b"0")


def in_interim_answers(handler: BaseHTTPRequestHandler) -> None:
    while True:
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def nothing(_: BaseHTTPRequestHandler) -> None:
    time.sleep(30)


def endless(handler: BaseHTTPRequestHandler) -> None:
    begin(handler)
    while True:
        handler.wfile.write(b" " * 2**16)


def redirecting(to: Callable[[BaseHTTPRequestHandler], str]) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: send(handler, b"", 302, Location=to(handler))


@pytest.mark.parametrize("answer", [in_headers, in_content, in_chunk_lengths, nothing])
def test_an_answer_that_does_not_end_is_given_up(answer: Any) -> None:
    with server(answer) as url:
        with pytest.raises(WebError, match="its answer took longer than 1 s"):
            fetch(url, 2**30, ANY, seconds=1.0)
        with pytest.raises(WebError, match="took longer than 1 s"), streaming(url, ANY, seconds=1.0) as stream:
            stream.read()


def test_an_endless_answer_is_read_up_to_the_limit() -> None:
    with server(endless) as url:
        assert fetch(url, 1000, ANY) == b" " * 1000


def test_a_stream_may_take_long_if_it_goes_on() -> None:
    """A second for each LEAST bytes, however many there are; what is read slowly by us is not the server's fault."""

    def steady(handler: BaseHTTPRequestHandler) -> None:
        begin(handler)
        for _ in range(15):
            handler.wfile.write(bytes(web.LEAST))
            time.sleep(0.1)

    with server(steady) as url:
        with pytest.raises(WebError, match="took longer than 1 s"):
            fetch(url, 2**30, ANY, seconds=1.0)
        with streaming(url, ANY, seconds=1.0) as stream:
            assert stream.read(10) == bytes(10)
            time.sleep(1.5)
            assert len(stream.read()) == 15 * web.LEAST - 10


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda h: send(h, b"x", Content_Length="1000"), "its answer ended 999 bytes early"),
        (lambda h: send(h, gzip.compress(bytes(2**20)), Content_Encoding="gzip"), "its answer is compressed (gzip)"),
        (lambda h: send(h, b"", 503), "HTTP 503 Service Unavailable"),
        (lambda h: h.wfile.write(b"\xff\xfe nonsense\r\n\r\n"), "nonsense"),
        (lambda h: h.wfile.write(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 10**6), "line"),
        (lambda h: h.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000), "headers"),
        (in_interim_answers, "its headers are larger than 1 MiB"),
        (redirecting(lambda h: "/again"), "it redirects more than 5 times"),
        (redirecting(lambda h: "file:///etc/passwd"), "it redirects from http to file, which is refused"),
        (redirecting(lambda h: "ftp://127.0.0.1/x"), "it redirects from http to ftp, which is refused"),
        (redirecting(lambda h: "gopher:x"), "it redirects from http to gopher, which is refused"),
        (redirecting(lambda h: "//[bad"), ""),
        (redirecting(lambda h: "http://:80/"), "is no http or https URL"),
    ],
)
def test_a_bad_answer_costs_one_image_and_is_one_line(answer: Any, message: str) -> None:
    def close_after(handler: BaseHTTPRequestHandler) -> None:
        answer(handler)
        handler.close_connection = True

    with server(close_after) as url:
        (reason,) = reasons(f"{url}/a.png", allow=True)
    assert reason.startswith("cannot be fetched: ")
    assert message in reason
    assert len(reason) < 400


def test_a_table_reaches_no_private_address_unless_that_is_allowed(tmp_path: Path) -> None:
    asked: list[str] = []

    def secret(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        send(handler, SECRET)

    with server(secret) as url:
        port = url.rsplit(":", 1)[1]
        hosts = ("127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]")
        hosts += ("user:password@127.0.0.1", "LOCALHOST", "127.0.0.1.", "１２７.0.0.1")
        for scheme in ("http", "HTTP"):
            found = reasons(*(f"{scheme}://{host}:{port}/{i}.png" for i, host in enumerate(hosts)))
            assert [r for r in found if "is at a private address" not in r and "is not found" not in r] == []
            assert sum("is at a private address, " in r for r in found) >= 7
        assert asked == []
        assert reasons(f"{url}/a.png", f"HTTP://127.0.0.1:{port}/b.png", allow=True) == ["", ""]
        assert asked == ["/a.png", "/b.png"]


def test_a_redirect_leads_to_no_private_address_either() -> None:
    """Not even from a host that the user named."""
    with (
        server(lambda h: send(h, SECRET)) as inner,
        server(redirecting(lambda h: f"{inner}/secret.png")) as outer,
        server(redirecting(lambda h: "/there" if h.path != "/there" else "/x")) as itself,
    ):
        with pytest.raises(
            WebError, match=r"127\.0\.0\.1 is at a private address, 127\.0\.0\.1; --allow-private-hosts"
        ):
            fetch(f"{outer}/a.png", 100, Hosts.of(outer))
        with pytest.raises(BadInputError, match=r"cannot be listed: 127\.0\.0\.1 is at a private address"):
            open_source(outer).keys()
        assert fetch(f"{outer}/a.png", 100, ANY) == SECRET
        with pytest.raises(WebError, match="redirects more than 5 times"):
            fetch(itself, 100, Hosts.of(itself))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *((a, False) for a in ("10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "0.0.0.0")),
        *((a, False) for a in ("127.8.8.8", "224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "::", "::1")),
        *((a, False) for a in ("fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:10.0.0.1", "fe80::1%lo")),
        *((a, False) for a in ("64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2001:0:0:0:0:0:80ff:fffe")),
        *((a, True) for a in ("8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8")),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(address) == public


@pytest.mark.parametrize(
    "url", ["http://", "http://h:99999/", "http://h:x/", "ftp://h/", "file:///x", "http:///x", "x"]
)
def test_what_is_no_web_address(url: str) -> None:
    with pytest.raises(WebError):
        Place.of(url)


def test_a_place_is_asked_for_as_it_was_written() -> None:
    asked = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append((handler.path, handler.headers["Authorization"], handler.headers["Host"]))
        send(handler, b"")

    with server(answer) as url:
        host = url.removeprefix("http://")
        for path in ("/a b.png?x=1&y=%20", "/caf\u00e9/%2F.png", "", "/x\r\nEvil: 1"):
            fetch(url + path, 10, ANY)
        fetch(f"http://me:pa%20ss@{host}/p#part", 10, ANY)
    assert [path for path, *_ in asked] == ["/a%20b.png?x=1&y=%20", "/caf%C3%A9/%2F.png", "/", "/xEvil:%201", "/p"]
    assert [user for _, user, _ in asked] == [None] * 4 + ["Basic bWU6cGEgc3M="]
    assert {name for *_, name in asked} == {host}


def test_one_connection_serves_several_files_and_a_closed_one_is_opened_anew() -> None:
    ports = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        ports.append(handler.client_address[1])
        send(handler, handler.path.encode())
        handler.close_connection = handler.path == "/last"  # without a word

    with server(answer) as url:
        for path in ("/1", "/2", "/last", "/4", "/5"):
            assert fetch(url + path, 100, ANY) == path.encode()
    assert len(set(ports[:3])) == 1
    assert len(set(ports[3:])) == 1
    assert len(set(ports)) == 2


def test_the_command_line_says_what_is_refused_and_takes_the_option() -> None:
    image = png(portraits()[0])
    with server(lambda h: send(h, image)) as url:
        Path("m.csv").write_text(f"url\n{url}/a.png\n")

        def run(*words: str) -> tuple[int, str]:
            done = CliRunner().invoke(app, ["index", "m.csv", *words])
            return done.exit_code, done.output

        code, out = run()
        assert code == 2
        assert "none of the 1 images" in out
        code, out = run("--allow-private-hosts")
        assert code == 0
        assert "1 embedded" in out
        Path("again.csv").write_text(f"url\n{url}/b.png\n{url}/a.png\n")
        ws = fsearch.open(".fsearch")
        assert ws.losses.add("m", black_box=lambda i: [1.0] * len(i), task="loss").added == 1  # as it was allowed


def test_a_listing_is_bounded_and_takes_only_what_lies_below() -> None:
    pages = {
        "/": b'<a href="a.png">a</a> <A HREF=\'./sub/\'>s</A> <a class="x" href="/b.png">b</a> <a href="../c.png">'
        b'<a href="http://elsewhere/d.png"> <a href="//elsewhere/e.png"> <a href="a%20b.png?x=1"> <a href="&amp;.png">',
        "/sub/": b'<a href="z.png">' + b"<a " + b" " * 2**20 + b"<a href='/sub/y.png'>",
    }

    def answer(handler: BaseHTTPRequestHandler) -> None:
        path = handler.path if handler.path.endswith("/") else f"{handler.path}/"
        send(handler, pages.get(path, b""), 200 if path in pages else 404)

    with server(answer) as url:
        assert open_source(url).keys() == ["&.png", "a.png", "b.png", "sub/y.png", "sub/z.png"]
    with server(endless) as url, pytest.raises(BadInputError, match="its page is larger than 64 MiB"):
        open_source(url).keys()
    with server(lambda h: send(h, b"", 404)) as url, pytest.raises(BadInputError, match="no such folder"):
        open_source(url).keys()


def test_a_shard_that_drips_is_quarantined(monkeypatch: pytest.MonkeyPatch) -> None:
    import tarfile

    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for i in range(3):
            for suffix, data in (("png", png(portraits()[i])), ("cls", b"1")):
                info = tarfile.TarInfo(f"{i}.{suffix}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))

    def answer(handler: BaseHTTPRequestHandler) -> None:
        begin(handler)
        handler.wfile.write(held.getvalue()[:8192])
        drip(handler)

    monkeypatch.setattr("fsearch.indexer.sources.web.streaming", lambda u, h: streaming(u, h, seconds=1.0))
    with server(answer) as url:
        items = list(open_source(f"{url}/000.tar").items())
    with pytest.raises(RejectedImageError, match=r"cannot be read to its end: .* took longer than 1 s"):
        items[-1].read()
