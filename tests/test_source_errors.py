"""What can be wrong with a data set: one line for each, and a damaged image costs itself only."""

from __future__ import annotations

import gzip
import importlib.util
import io
import os
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_sources import COUNT, MADE, csv_manifest, files, name, png, portraits, shards

import fsearch
from fsearch.indexer.errors import BadInputError, FsearchError
from fsearch.indexer.sources.decode import RejectedImageError
from fsearch.indexer.sources.resolve import SourceOptions, open_source
from fsearch.search.workspace import Workspace


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return fsearch.open(tmp_path / "w.fsearch")


@pytest.mark.parametrize("bad", ["csv", "webdataset", "parquet of bytes", "zip"])
def test_a_corrupt_image_costs_itself_only(bad: str, tmp_path: Path, ws: Workspace) -> None:
    data = [png(p) for p in portraits()]
    data[5], data[9] = data[5][:100], b""
    if bad == "csv":
        manifest: Any = csv_manifest(tmp_path)["held"]
        for i in (5, 9):
            (tmp_path / "photos" / name(i)).write_bytes(data[i])
    elif bad == "webdataset":
        manifest = "c.tar"
        with tarfile.open("c.tar", "w") as tar:
            for i, d in enumerate(data):
                for suffix, content in (("png", d), ("cls", b"1")):
                    member = tarfile.TarInfo(f"{i:03d}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    elif bad == "zip":
        manifest = "c.zip"
        with zipfile.ZipFile("c.zip", "w") as archive:
            for i, d in enumerate(data):
                archive.writestr(name(i), d)
    else:
        manifest = "c.parquet"
        pq.write_table(pa.table({"id": [name(i) for i in range(COUNT)], "png": data}), "c.parquet")
    report = ws.index(manifest)
    assert (report.found, report.embedded, report.rejected) == (COUNT, COUNT - 2, 2)
    assert sorted(ws.sql("SELECT reason FROM rejected")["reason"].to_pylist())[1] == "empty file"


def test_names_and_texts_that_are_no_utf8(tmp_path: Path, ws: Workspace) -> None:
    folder = files(tmp_path)
    (folder / os.fsdecode(b"bad-\xff.png")).write_bytes(png(portraits()[0]))
    report = ws.index(folder)
    assert (report.embedded, report.rejected) == (COUNT, 1)
    (row,) = ws.sql("SELECT key, reason FROM rejected").to_pylist()
    assert row == {"key": "bad-\\udcff.png", "reason": "its name is no UTF-8; rename it"}
    with tarfile.open("odd.tar", "w") as tar:
        for suffix, content in (
            ("png", png(portraits()[1])),
            ("json", b'{"note": "x\\ud800", "many": ["\\ud800"], "n": 1e400}'),
        ):
            member = tarfile.TarInfo(f"0.{suffix}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    assert ws.index("odd.tar").found == 1
    assert ws.sql("SELECT note FROM metadata")["note"].to_pylist() == ["x?"]


def in_the_data(header: int, data: bytes) -> bytes:
    return data[: header + 700]


def in_the_header(header: int, data: bytes) -> bytes:
    return data[: header + 100]


def with_a_bit_of_the_header_flipped(header: int, data: bytes) -> bytes:
    return data[:header] + bytes([data[header] ^ 1]) + data[header + 1 :]


DAMAGE = [in_the_data, in_the_header, with_a_bit_of_the_header_flipped]


@pytest.mark.parametrize("damaged", DAMAGE)
@pytest.mark.parametrize("streamed", [False, True])
def test_a_damaged_shard_is_quarantined_and_the_others_go_on(
    damaged: Callable[[int, bytes], bytes], streamed: bool, tmp_path: Path, ws: Workspace
) -> None:
    held = shards(tmp_path / "data")["held"]
    first = tmp_path / "data" / "shards" / "000.tar"
    data = damaged(header_of(first, "005.png"), first.read_bytes())
    first.write_bytes(gzip.compress(data) if streamed else data)
    report = ws.index(held)
    assert report.embedded >= COUNT - 6
    rows = {row["key"]: row["reason"] for row in ws.sql("SELECT key, reason FROM rejected").to_pylist()}
    assert "the shard cannot be read to its end" in rows["000.tar"]


@pytest.mark.parametrize("damaged", DAMAGE)
@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_a_damaged_tar_is_refused_whole(
    damaged: Callable[[int, bytes], bytes], suffix: str, tmp_path: Path, ws: Workspace
) -> None:
    """tarfile takes a header that is none for the end: what comes after would be lost without a word."""
    made = tmp_path / "made.tar"
    with tarfile.open(made, "w") as tar:
        tar.add(files(tmp_path / "data"), "photos")
    data = damaged(header_of(made, name(5)), made.read_bytes())
    path = tmp_path / f"photos.{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    with pytest.raises(BadInputError, match="cannot be read"):
        ws.index(path)


@pytest.mark.parametrize("left", [100, 512, 700])
@pytest.mark.parametrize("suffix", ["tar", "tar.gz"])
def test_a_tar_cut_off_in_the_mark_of_its_end_has_all_its_images(
    left: int, suffix: str, tmp_path: Path, ws: Workspace
) -> None:
    made = tmp_path / "made.tar"
    with tarfile.open(made, "w") as tar:
        tar.add(files(tmp_path / "data"), "photos")
    with tarfile.open(made) as tar:
        ends = max(m.offset_data + -(-m.size // 512) * 512 for m in tar)
    data = made.read_bytes()[: ends + left]
    path = tmp_path / f"photos.{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    assert ws.index(path).embedded == COUNT


def test_a_shard_damaged_near_its_beginning_is_a_shard_all_the_same(tmp_path: Path, ws: Workspace) -> None:
    shards(tmp_path / "data")
    first = tmp_path / "data" / "shards" / "000.tar"
    first.write_bytes(with_a_bit_of_the_header_flipped(header_of(first, "005.png"), first.read_bytes()))
    assert ws.index(first).embedded == 5
    assert ws.sql("SELECT key FROM rejected")["key"].to_pylist() == ["000.tar"]


def header_of(path: Path, ending: str) -> int:
    """Where the header of a member begins."""
    with tarfile.open(path) as tar:
        return next(member.offset for member in tar if member.name.endswith(ending))


def write(path: str, text: str) -> str:
    Path(path).write_text(text)
    return path


def member(path: str, inside: str) -> str:
    data = png(portraits()[0])
    if path.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(inside, data)
    else:
        with tarfile.open(path, "w") as tar:
            for suffix in (inside, inside.rsplit(".", 1)[0] + ".cls") if "wds" in path else (inside,):
                entry = tarfile.TarInfo(suffix)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda: write("m.csv", "path\n../a.png\n"), {}, "m.csv row 1: '../a.png' lies outside"),
        (lambda: write("m.csv", "path\na.png\n/etc/passwd\n"), {}, "m.csv row 2: '/etc/passwd' lies outside"),
        (lambda: write("m.csv", "path\nfile:///etc/passwd\n"), {}, "lies outside"),
        (lambda: write("m.csv", "path\na.png\nb.png\n./a.png\n"), {}, "row 3: image 'a.png' is in row 1 already"),
        (
            lambda: write("m.csv", "url\nftp://host/a.png\n"),
            {},
            "'ftp://host/a.png' is refused; allowed are",
        ),
        (lambda: write("m.csv", "url\nsimplecache::http://host/a.png\n"), {}, "is refused"),
        (lambda: write("m.csv", "path,x\na.png,1\n,2\n"), {}, "row 2, column 'path': the image's path is missing"),
        (lambda: write("m.csv", "path\n"), {}, "has no rows"),
        (
            lambda: write("m.csv", "who\na.png\n"),
            {},
            "no column looks like images (seen: who)",
        ),
        (lambda: write("m.csv", "path\na.png\n"), {"image_column": "img"}, "has no column 'img' (seen: path)"),
        (lambda: write("m.csv", "path,x\na.png,1,9\n"), {}, "m.csv row 1: 3 cells where the header has 2"),
        (lambda: write("m.jsonl", "{oops\n"), {}, "m.jsonl row 1 is no JSON"),
        (lambda: write("m.parquet", "no parquet"), {}, "cannot be read"),
        (lambda: write("m.json", "[1]"), {}, "is no COCO file: it has no list 'images'"),
        (lambda: write("m.json", '{"images": [{"id": 1}]}'), {}, "images 1: 'id' and 'file_name' are needed"),
        (lambda: write("m.json", '{"images": [{"id": 1, "file_name": "../x.png"}]}'), {}, "lies outside"),
        (lambda: write("m.json", "{oops"), {}, "is no JSON"),
        (lambda: member("a.zip", "../up.png"), {}, "the member '../up.png' points outside the archive"),
        (lambda: member("a.zip", "/abs.png"), {}, "the member '/abs.png' points outside"),
        (lambda: member("a.tar", "../up.png"), {}, "the member '../up.png' points outside"),
        (lambda: member("wds.tar", "../up.png"), {}, "the member '../up.png' points outside"),
        (lambda: member("a.zip", "notes.txt"), {}, "no images in the archive"),
        (lambda: write("a.zip", "no zip"), {}, "archive a.zip cannot be read"),
        (lambda: write("a.tgz", "no tar"), {}, "archive a.tgz cannot be read"),
        (lambda: write("notes.txt", "x"), {}, "notes.txt is no image source; use a folder"),
        (lambda: "nowhere", {}, "no such folder or file: nowhere"),
        (lambda: "shards/{000..003}.tar", {}, "no such shard: shards/000.tar"),
        (lambda: "ftp://host/{000..003}.tar", {}, "is refused"),
        (lambda: "nowhere:data", {}, "importing nowhere raised ModuleNotFoundError"),
        (lambda: write("m.csv", "path\na.png\n"), {"kind": "huggingface"}, "cannot be read"),
    ],
)
def test_one_line_and_nothing_written(make: Any, options: dict[str, Any], message: str, ws: Workspace) -> None:
    with pytest.raises(FsearchError) as caught:
        ws.index(fsearch.images(make(), **options))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(importlib.util.find_spec("s3fs") is not None, reason="s3fs is installed")
def test_a_library_that_is_missing_is_named(ws: Workspace) -> None:
    with pytest.raises(BadInputError, match=r"s3:// needs a library that is missing: pip install 'fsspec\[s3,gs\]'"):
        ws.index(write("m.csv", "url\ns3://bucket/a.png\n"))


@pytest.mark.parametrize(
    ("library", "kind"),
    [("datasets", "hugging face saved"), ("webdataset", "webdataset")],
)
def test_a_missing_library_is_named(
    library: str, kind: str, tmp_path: Path, ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = MADE[kind](tmp_path / "data")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(BadInputError, match=f"need the library {library}: pip install {library}"):
        ws.index(made["held"])


def test_a_url_that_is_refused_says_the_status(tmp_path: Path) -> None:
    """Also one with `?`, which a file system may take for a pattern, and whatever wraps the server's answer."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(403 if "old" in self.path else 404, "signature expired" if "old" in self.path else None)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        host = f"http://127.0.0.1:{server.server_port}"
        Path("m.csv").write_text(f"url\n{host}/a.jpg?sig=old\n{host}/old/a.jpg\n{host}/gone.jpg\n")
        reasons = []
        for item in open_source("m.csv", SourceOptions(allow_private_hosts=True)).items():
            with pytest.raises(RejectedImageError) as caught:
                item.read()
            reasons.append(str(caught.value))
        assert reasons[:2] == ["cannot be fetched: HTTP 403 signature expired"] * 2
        assert reasons[2].startswith("cannot be fetched: HTTP 404")
    finally:
        server.shutdown()
        server.server_close()


def test_a_zip_of_a_version_that_nobody_reads_is_one_line(ws: Workspace) -> None:
    with zipfile.ZipFile("v.zip", "w") as archive:
        archive.writestr("a.png", png(portraits()[0]))
    data = bytearray(Path("v.zip").read_bytes())
    data[data.index(b"PK\x01\x02") + 6] = 227  # the version needed to extract, times ten
    Path("v.zip").write_bytes(data)
    with pytest.raises(BadInputError, match=r"archive v.zip cannot be read: zip file version 22.7"):
        ws.index("v.zip")
