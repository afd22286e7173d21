"""Runs that are killed go on where they stopped, from every kind of source; images come over HTTP too."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from made_sources import COUNT, csv_manifest, files, label, name, shards

import fsearch
from fsearch.search.workspace import Workspace

SUPPORT = Path(__file__).parent / "support"
PREDICTING = """
import sys, time
from pathlib import Path
import fsearch
from fsearch.indexer.losses.blackbox.function import Function
from fsearch.indexer.losses.blackbox.runner import RunLimits, run_black_box
from fsearch.indexer.losses.loss_spec import LossSpec
from fsearch.indexer.workspace.source_registry import reopen
from fsearch.indexer.workspace.store import Store
sys.path.insert(0, {support!r})

def slow(images):
    for image in images:
        time.sleep({pause})
        with Path("calls.txt").open("a") as file:
            file.write("x")
    return [float(i.width) for i in images]

box = Function(slow)
box.batch, box.digest = 4, "slow"
store = Store.open(Path("w.fsearch"))
with store.writer():
    print(run_black_box(store, "slow", box, LossSpec("loss"), reopen(store), limits=RunLimits(flush_rows=4)))
"""
INDEXING = """
import time
import fsearch
from fsearch.indexer.embedding.batch_sizes import BatchSizes
from fsearch.indexer.embedding.open_clip_encoder import OpenClipEncoder
embed = OpenClipEncoder.embed_images
def slow(self, prepared):
    time.sleep({pause})
    open("embedded.txt", "a").write("x" * len(prepared))
    return embed(self, prepared)
OpenClipEncoder.embed_images = slow
print(fsearch.open("w.fsearch").index({held!r}, sizes=BatchSizes(batch=4, shard_rows=4)))
"""


def start(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_when(process: subprocess.Popen[str], path: Path, size: int) -> None:
    """Send SIGKILL once `path` has grown to `size`."""
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if path.exists() and path.stat().st_size >= size:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            return
        time.sleep(0.01)
    raise AssertionError(f"it ended before it could be killed: {process.communicate()}")


@pytest.mark.slow
def test_a_black_box_run_that_is_killed_goes_on(tmp_path: Path) -> None:
    made = csv_manifest(tmp_path / "data")
    ws = fsearch.open("w.fsearch")
    ws.index(made["held"])
    ws.losses.add("slow", black_box=lambda images: [0.0] * len(images), task="loss")
    kill_when(start(PREDICTING.format(support=str(SUPPORT), pause=0.1)), Path("calls.txt"), 13)
    assert set(ws.sql("SELECT loss FROM losses")["loss"].to_pylist()) == {0.0}  # the old losses stand till all are new
    kept = ws.sql("FROM pending_losses").num_rows
    assert kept >= 8
    before = Path("calls.txt").stat().st_size
    done = start(PREDICTING.format(support=str(SUPPORT), pause=0))
    out, err = done.communicate(timeout=120)
    assert done.returncode == 0, err
    assert f"added={COUNT}" in out
    assert Path("calls.txt").stat().st_size - before == COUNT - kept
    assert 0.0 not in ws.sql("SELECT loss FROM losses")["loss"].to_pylist()
    assert ws.sql("FROM pending_losses").num_rows == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["webdataset", "csv"])
def test_an_index_run_that_is_killed_goes_on(kind: str, tmp_path: Path) -> None:
    made = (shards if kind == "webdataset" else csv_manifest)(tmp_path / "data")
    code = INDEXING.format(held=str(made["held"]), pause=0.3)
    kill_when(start(code), Path("embedded.txt"), 9)
    ws = fsearch.open("w.fsearch")
    kept = ws.info().images
    assert 0 < kept < COUNT
    before = Path("embedded.txt").stat().st_size
    done = start(code)
    out, err = done.communicate(timeout=120)
    assert done.returncode == 0, err
    assert f"found={COUNT}, embedded={COUNT - kept}" in out
    assert Path("embedded.txt").stat().st_size - before == COUNT - kept
    found = ws.sql("SELECT label, count(*) AS n FROM metadata GROUP BY 1 ORDER BY 1").to_pylist()
    assert found == [{"label": "fancy", "n": 8}, {"label": "plain", "n": 16}]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def website(tmp_path: Path) -> Iterator[str]:
    """The portraits on a server on loopback."""
    photos = files(tmp_path / "web")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(photos.parent)))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_images_come_over_http(website: str, tmp_path: Path) -> None:
    rows = [f"{website}/photos/{name(i)},{label(i)}" for i in range(COUNT)]
    Path("urls.csv").write_text("\n".join(["url,label", *rows, f"{website}/photos/gone.png,plain"]) + "\n")
    ws: Workspace = fsearch.open("w.fsearch")
    urls = fsearch.images("urls.csv", allow_private_hosts=True)
    report = ws.index(urls)
    assert (report.embedded, report.rejected) == (COUNT, 1)
    assert "cannot be fetched" in ws.sql("SELECT reason FROM rejected")["reason"][0].as_py()
    again = ws.index(urls)
    assert (again.unchanged, again.rejected) == (COUNT, 1)
    added = ws.losses.add("w", black_box=lambda images: [1.0] * len(images), task="loss")
    assert added.added == COUNT


def test_shards_come_over_http(website: str, tmp_path: Path) -> None:
    made = shards(tmp_path / "web")
    Path(made["held"])
    ws: Workspace = fsearch.open("w.fsearch")
    assert ws.index(f"{website}/shards/{{000..002}}.tar").embedded == COUNT
    assert ws.index(f"{website}/shards/{{000..002}}.tar").unchanged == COUNT


def test_one_in_a_hundred_broken_images_and_predictions(few: Any, tmp_path: Path) -> None:
    """Both are counted, with their reasons, and the rest is complete."""
    (few.folder / "000.png").write_bytes(b"broken")
    ws = fsearch.open("w.fsearch")
    report = ws.index(few.folder)
    assert (report.embedded, report.rejected) == (59, 1)

    def picky(images: list[Any]) -> list[float | None]:
        return [None if i.tobytes()[:3000] == refused else 1.0 for i in images]

    from PIL import Image

    with Image.open(few.folder / "007.png") as image:
        refused = image.convert("RGB").tobytes()[:3000]
    added = ws.losses.add("p", black_box=picky, task="loss")
    assert (added.added, added.failed, added.without) == (58, 1, 1)
    reasons = ws.sql("SELECT key, reason FROM prediction_errors JOIN images USING (image_id)").to_pylist()
    assert reasons == [{"key": "007.png", "reason": "the loss is missing or not finite"}]
