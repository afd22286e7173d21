"""A folder at a URL, on fsspec's file system in memory and on a real web server: indexed, kept up, read by key."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import fsspec
import pytest
from made_sources import COUNT, files, imagefolder, label, name, png, portraits, remote_imagefolder
from PIL import Image
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.base import GONE, UNKNOWN_KEY
from fsearch.indexer.sources.decode import RejectedImageError, decode
from fsearch.indexer.sources.kind import kind_of
from fsearch.indexer.sources.remote_folder import RemoteFile
from fsearch.indexer.sources.resolve import open_source
from fsearch.indexer.workspace.source_registry import reopen
from fsearch.indexer.workspace.store import Store
from fsearch.search.workspace import Workspace

ONES = "ones:ones"


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    (tmp_path / "ones.py").write_text("def ones(images):\n    return [1.0] * len(images)\n")
    return fsearch.open(tmp_path / "w.fsearch")


@pytest.fixture
def bucket(tmp_path: Path) -> str:
    """A folder in memory, with what is no image of it beside the portraits."""
    made: str = remote_imagefolder(tmp_path)["held"]
    files = fsspec.filesystem("memory")
    for extra in ("notes.txt", ".hidden/a.png", "plain/.b.png"):
        files.pipe_file(f"{tmp_path}/classes/{extra}", png(portraits()[0]))
    files.pipe_file(f"{tmp_path}/outside.png", png(portraits()[0]))
    return made


class _Server(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if "forbidden" in self.path:
            self.send_error(403)
            return
        super().do_GET()


@pytest.fixture
def website(tmp_path: Path) -> Iterator[str]:
    """An ImageFolder of the portraits on a server on loopback, which lists its folders."""
    imagefolder(tmp_path / "web")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Server, directory=str(tmp_path / "web")))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_bucket_is_indexed_and_kept_up(bucket: str, tmp_path: Path, ws: Workspace) -> None:
    first = ws.index(bucket)
    assert (first.found, first.embedded) == (COUNT, COUNT)
    files = fsspec.filesystem("memory")
    files.pipe_file(f"{tmp_path}/classes/fancy/{name(0)}", png(Image.new("RGB", (64, 64), "blue")))
    files.pipe_file(f"{tmp_path}/classes/plain/new.png", png(Image.new("RGB", (64, 64), "red")))
    files.rm_file(f"{tmp_path}/classes/plain/{name(1)}")
    report = ws.index(bucket.rstrip("/"))  # the same source
    assert (report.changed, report.embedded, report.missing, report.unchanged) == (1, 2, 1, COUNT - 2)
    assert [s["source"] for s in ws.sql("SELECT DISTINCT source FROM images").to_pylist()] == [bucket.rstrip("/")]


def test_unchanged_files_are_not_read_again(bucket: str, ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    ws.index(bucket)
    before = fsspec.filesystem("memory").store
    monkeypatch.setattr(type(fsspec.filesystem("memory")), "cat_file", None)  # reading would fail
    monkeypatch.setattr(type(fsspec.filesystem("memory")), "open", None)
    assert before
    assert ws.index(bucket).unchanged == COUNT


def test_the_command_line_takes_a_url_and_runs_a_black_box_on_it(bucket: str, ws: Workspace) -> None:
    def run(*args: str) -> str:
        result = CliRunner().invoke(app, [*args, "-w", str(ws.root)])
        assert result.exit_code == 0, result.output
        return result.output

    assert f"{COUNT} images found: {COUNT} embedded" in run("index", bucket, "--kind", "imagefolder")
    found = ws.sql("SELECT label, count(*) AS n FROM metadata GROUP BY 1 ORDER BY 1").to_pylist()
    assert found == [{"label": "fancy", "n": 8}, {"label": "plain", "n": 16}]
    run("losses", "add", "--model", "m", "--black-box", ONES, "--task", "loss")
    assert ws.sql("SELECT count(*) AS n FROM losses")["n"].to_pylist() == [COUNT]


def test_it_is_opened_again_from_another_folder(
    bucket: str, ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws.index(fsearch.images(bucket, kind="imagefolder"))
    local = imagefolder(Path("here"))["held"]
    ws.index(fsearch.images(f"file://{local.absolute()}", kind="imagefolder"))
    shards(Path("."))
    ws.index("{000..001}.tar")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    sources = {s.name: s for s in reopen(Store.open(ws.root))}
    assert set(sources) == {bucket.rstrip("/"), str(tmp_path / "here" / "classes"), str(tmp_path / "{000..001}.tar")}
    for source in sources.values():
        for item in source.items():
            assert source.read(item.key) == item.read()
            assert item.metadata["label"] in ("plain", "fancy")
    again = ws.index(sources and fsearch.images(tmp_path / "here" / "classes", kind="imagefolder"))
    assert again.unchanged == COUNT  # by path or by URL, it is one source


def shards(folder: Path) -> None:
    import webdataset

    for shard, numbers in enumerate((range(3), range(3, 6))):
        with webdataset.TarWriter(str(folder / f"{shard:03d}.tar")) as sink:
            for i in numbers:
                sink.write({"__key__": f"{i}", "png": portraits()[i], "cls": label(i).encode()})


def test_a_file_url_is_the_folder_with_its_rules(tmp_path: Path, ws: Workspace) -> None:
    folder = files(tmp_path / "in")
    os.symlink(files(tmp_path / "out") / name(0), folder / "escapes.png")
    url = f"file://{folder}"
    report = ws.index(url)
    assert (report.embedded, report.rejected) == (COUNT, 1)
    assert "leads outside" in ws.sql("SELECT reason FROM rejected")["reason"][0].as_py()
    source = open_source(url)
    for key in ("escapes.png", "../../out/photos/000.png"):
        with pytest.raises(RejectedImageError):
            source.read(key)
    assert ws.index(url).unchanged == COUNT
    assert ws.losses.add("m", black_box=ONES, task="loss").added == COUNT


def test_a_web_server_that_lists_its_folders(website: str, tmp_path: Path, ws: Workspace) -> None:
    url = f"{website}/classes"
    report = ws.index(fsearch.images(url, kind="imagefolder"))
    assert (report.found, report.embedded) == (COUNT, COUNT)
    assert ws.sql("SELECT count(*) AS n FROM metadata WHERE label = 'fancy'")["n"].to_pylist() == [8]
    assert ws.index(url).duplicates == COUNT  # it tells no times, so files are read again
    source = open_source(url)
    key = f"fancy/{name(0)}"
    assert source.read(key) == png(portraits()[0])
    (tmp_path / "web" / "classes" / key).unlink()
    (tmp_path / "web" / "secret.png").write_bytes(png(portraits()[0]))
    reasons = {}
    for bad in (key, "../secret.png", "%2e%2e/secret.png", "%2E%2E/secret.png", "fancy/..%2f..%2fsecret.png"):
        with pytest.raises(RejectedImageError) as caught:
            source.read(bad)
        reasons[bad] = str(caught.value)
    assert reasons.pop(key) == GONE
    assert set(reasons.values()) == {UNKNOWN_KEY}


def test_a_file_is_read_up_to_a_limit_whatever_the_listing_says(website: str, bucket: str) -> None:
    size = len(png(portraits()[0]))
    for place in (f"{website}/classes", bucket):
        for told in (0, 5, size, 10 * size):
            assert len(RemoteFile(place, f"fancy/{name(0)}", told, limit=100)()) == 101
            assert RemoteFile(place, f"fancy/{name(0)}", told)() == png(portraits()[0])


def test_what_is_not_taken_is_counted(bucket: str, website: str, tmp_path: Path, ws: Workspace) -> None:
    fsspec.filesystem("memory").pipe_file(f"{tmp_path}/classes/@eaDir/a.png", b"")
    left_out = "hidden, or a system's own, left out: 2 hidden files or folders, 1 @eaDir"
    assert ws.index(bucket).notes == ("no image, left out: 1 .txt", left_out)
    (tmp_path / "web" / "classes" / "notes.csv").write_text("")
    assert ws.index(f"{website}/classes").notes == ("no image, left out: 1 .csv",)


def test_items_are_read_in_another_process(website: str, tmp_path: Path) -> None:
    cloudpickle = pytest.importorskip("ray").cloudpickle
    items = list(open_source(f"{website}/classes").items())
    Path("items").write_bytes(cloudpickle.dumps([item.read for item in items]))
    code = "import pickle; print([len(read()) for read in pickle.load(open('items', 'rb'))])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300).stdout
    assert out.strip() == str([len(item.read()) for item in items])


def test_a_folder_that_fails_to_be_listed_is_not_an_empty_one(website: str, tmp_path: Path, ws: Workspace) -> None:
    ws.index(f"{website}/classes")
    (tmp_path / "web" / "classes" / "forbidden").mkdir()
    with pytest.raises(BadInputError, match=r"folder http://.*/classes cannot be listed: HTTP 403"):
        ws.index(f"{website}/classes")
    assert ws.sql("SELECT count(*) AS n FROM images WHERE status = 'present'")["n"].to_pylist() == [COUNT]


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("s3://bucket/images/", "folder"),
        ("s3://bucket", "folder"),
        ("gs://bucket/a.b/images", "folder"),
        ("s3://bucket/000.tar", "webdataset"),
        ("s3://bucket/{000..099}.tar", "webdataset"),
        ("s3://bucket/{a,b}/x.tar.gz", "webdataset"),
        ("https://host/x.tar?signature=a/b", "webdataset"),
        ("https://host/x.csv", "webdataset"),
        ("https://host/x.parquet", "webdataset"),
        ("https://host/x.json", "webdataset"),
    ],
)
def test_a_url_of_a_folder_is_told_from_one_of_shards(url: str, kind: str) -> None:
    assert kind_of(url) == kind


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://host/images/", "'ftp://host/images/' is refused; allowed are"),
        ("simplecache::memory://x", "is refused"),
        ("memory://nowhere/at/all", "no such folder: memory://nowhere/at/all"),
        ("file:///nowhere/at/all", "no such folder or file: /nowhere/at/all"),
        ("file:///nowhere/x.csv", "'file:///nowhere/x.csv' is refused"),
        ("http://127.0.0.1:9/images/", "folder http://127.0.0.1:9/images/ cannot be listed: "),
        ("http://127.0.0.1:9/images/?page=1", "images/?page=1: a folder's address ends before '?' and '#'"),
        ("https://host/images#top", "a folder's address ends before '?' and '#'"),
    ],
)
def test_what_is_wrong_with_a_url_is_one_line(url: str, message: str, ws: Workspace) -> None:
    with pytest.raises(BadInputError) as caught:
        ws.index(url)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_images_and_a_file_are_no_folders(tmp_path: Path, ws: Workspace) -> None:
    fsspec.filesystem("memory").pipe_file(f"{tmp_path}/texts/a.txt", b"")
    for url in (f"memory://{tmp_path}/texts", f"memory://{tmp_path}/texts/a.txt"):
        with pytest.raises(BadInputError, match=rf"no images in {url} \(looked for .*bmp, "):
            ws.index(url)


def test_a_key_is_no_url(bucket: str, tmp_path: Path) -> None:
    source = open_source(bucket)
    assert decode(source.read(f"plain/{name(1)}")).size == portraits()[1].size  # type: ignore[arg-type]
    for key in (f"x::memory://{tmp_path}/outside.png", f"x::memory:{tmp_path}/outside.png", "../outside.png"):
        with pytest.raises(RejectedImageError):
            source.read(key)


@pytest.mark.skipif(importlib.util.find_spec("s3fs") is not None, reason="s3fs is installed")
def test_a_library_that_is_missing_is_named(ws: Workspace) -> None:
    message = r"s3://bucket/images/: s3:// needs a library that is missing: pip install 'fsspec\[s3,gs\]'"
    with pytest.raises(BadInputError, match=message):
        ws.index("s3://bucket/images/")
    with pytest.raises(RejectedImageError, match=message):
        open_source("s3://bucket/images/").read("a.png")
