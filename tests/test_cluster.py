"""The Ray engine, on a real local cluster of several nodes: the same result, whatever dies."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_sources import MADE
from PIL import Image
from tests.conftest import Planted

import fsearch
from fsearch.indexer.embedding import ray_cluster as engine
from fsearch.indexer.embedding.batch_sizes import BatchSizes
from fsearch.indexer.embedding.encoder import Encoder
from fsearch.indexer.embedding.pipeline import PreparedImage
from fsearch.indexer.embedding.staging import Staging, chunk_name, embed_chunk
from fsearch.indexer.errors import BadInputError, EncoderError, FsearchError
from fsearch.indexer.sources.base import Item
from fsearch.indexer.sources.folder import Folder
from fsearch.indexer.storage.shards import encode
from fsearch.indexer.workspace.encoder_spec import EncoderSpec
from fsearch.indexer.workspace.store import Store

pytestmark = pytest.mark.slow
PHRASES = ["dark skin tone", "light skin tone", "bald", "a hat"]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """A cluster of a head and one more node, with two cores each by its own account."""
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    made.add_node(num_cpus=2)
    yield made
    made.shutdown()


SMALL_CHUNKS = BatchSizes(chunk_images=40)


def contents(root: str | Path) -> tuple[list[dict[str, Any]], bytes]:
    """Every row but the times, and every vector to the bit."""
    rows = fsearch.open(root).sql("SELECT * EXCLUDE (indexed_at) FROM images ORDER BY image_id").to_pylist()
    return rows, Store.open(Path(root)).vectors()[:].tobytes()


def untidy(planted: Planted, to: Path) -> Path:
    """The planted images with copies, broken files and a lone image at the end."""
    folder = Path(shutil.copytree(planted.folder, to))
    files = sorted(folder.iterdir())
    for i in (3, 50, 51, 200):
        shutil.copy(files[i], folder / f"zz-{i}.png")
        (folder / f"{files[i].stem}-broken.png").write_bytes(b"nothing")
    Image.new("RGB", (64, 64), (9, 99, 200)).save(folder / "zzz.png")
    return folder


def test_the_same_images_give_the_same_rows_vectors_and_rankings(nodes: Any, planted: Planted, tmp_path: Path) -> None:
    folder = untidy(planted, tmp_path / "images")
    one, many = fsearch.open("one"), fsearch.open("many")
    here = one.index(folder, planted.losses, model="m", sizes=SMALL_CHUNKS)
    there = many.index(folder, planted.losses, model="m", engine="ray", address=nodes.address, sizes=SMALL_CHUNKS)
    assert here == there
    assert (here.rejected, here.duplicates) == (4, 4)
    assert contents("one") == contents("many")
    assert not Path("many/staged").exists()
    for path in folder.glob("*-broken.png"):
        path.unlink()
    assert many.index(folder, engine="ray", address="nowhere:1").embedded == 0  # nothing to do: no cluster is asked
    assert one.fit() == many.fit(engine="ray", address=nodes.address)
    first, second = one.rank(PHRASES), many.rank(PHRASES)
    assert first.as_rows() == second.as_rows()


def test_a_node_that_dies_costs_nothing(nodes: Any, planted: Planted, tmp_path: Path) -> None:
    fsearch.open("undisturbed").index(planted.folder)
    doomed = nodes.add_node(num_cpus=2)
    nodes.wait_for_nodes()
    staged, killed = Path("w/staged"), threading.Event()

    def kill() -> None:
        while len(list(staged.glob("*.json"))) < 2:
            time.sleep(0.01)
        nodes.remove_node(doomed, allow_graceful=False)
        killed.set()

    threading.Thread(target=kill, daemon=True).start()
    report = fsearch.open("w").index(planted.folder, engine="ray", address=nodes.address, sizes=SMALL_CHUNKS)
    assert killed.is_set()
    assert report.embedded == len(planted.portraits)
    assert contents("w") == contents("undisturbed")


_DRIVER = """
import sys
import fsearch
from fsearch.indexer.embedding.batch_sizes import BatchSizes
sizes = BatchSizes(batch=32, shard_rows=32, chunk_images=32)
fsearch.open(sys.argv[1]).index(sys.argv[2], engine="ray", address=sys.argv[3], sizes=sizes)
"""


def test_a_driver_that_dies_is_resumed_without_embedding_again(nodes: Any, planted: Planted) -> None:
    run = subprocess.Popen([sys.executable, "-c", _DRIVER, "w", str(planted.folder), nodes.address])
    while len(list(Path("w/vectors").glob("*.npy"))) < 3 and run.poll() is None:
        time.sleep(0.005)
    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    committed = fsearch.open("w").info().images
    assert committed >= 64
    before, _ = contents("w")
    report = fsearch.open("w").index(planted.folder, engine="ray", address=nodes.address)
    assert report.unchanged == committed
    assert report.embedded == len(planted.portraits) - committed > 0
    fsearch.open("undisturbed").index(planted.folder)
    assert contents("w") == contents("undisturbed")
    kept = contents("w")[0][: len(before)]  # which groups of repeats they belong to is found when a run ends
    assert kept == [row | {"group_id": now["group_id"]} for row, now in zip(before, kept, strict=True)]
    assert not Path("w/staged").exists()


def test_a_run_without_a_cluster_clears_what_one_had_left(few: Planted) -> None:
    left = Path("w/staged/x.npy")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"")
    fsearch.open("w").index(few.folder)
    assert not left.parent.exists()


def test_chunks_are_staged_at_a_url_and_found_again(nodes: Any, few: Planted, encoder: Encoder, tmp_path: Path) -> None:
    place = f"file://{tmp_path}/shared"
    items = list(Folder(few.folder).items())
    name = chunk_name(items, encoder.spec)
    content, outcomes = embed_chunk(items, encoder)
    marked = -np.load(io.BytesIO(content))  # what no worker would embed
    Staging(place).write(name, encode(marked), outcomes)
    ws = fsearch.open("w")
    assert ws.index(few.folder, engine="ray", address=nodes.address, staging=place).embedded == 60
    assert np.array_equal(Store.open(Path("w")).vectors()[:], marked)
    assert not (tmp_path / "shared").exists()


def only_here(path: Path) -> Any:
    """What reads a file in the process that asked for this, and nowhere else."""
    here = os.getpid()

    def read() -> bytes:
        if os.getpid() != here:
            raise OSError("not on this machine")
        return path.read_bytes()

    return read


def test_what_a_worker_cannot_read_is_sent_to_it(
    nodes: Any, few: Planted, encoder: Encoder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    items = list(Folder(few.folder).items())
    lone = {item.key: replace(item, read=only_here(few.folder / item.key)) for item in items[::3]}
    gone = replace(items[1], read=few.folder.joinpath("gone.png").read_bytes, key="gone.png")
    found = []
    with engine.Cluster(nodes.address) as cluster:
        for place, asked in (("a", items), ("b", [lone.get(item.key, item) for item in items])):
            staging = Staging(str(tmp_path / place))
            outcomes, _ = cluster.embedding(encoder.spec, staging)([*asked, gone], None)  # type: ignore[arg-type]
            found.append(list(outcomes))
    for everywhere, partly in zip(*found, strict=True):
        if isinstance(everywhere, PreparedImage) and isinstance(partly, PreparedImage):
            assert everywhere.image.sha256 == partly.image.sha256
            assert np.array_equal(everywhere.prepared, partly.prepared)  # type: ignore[arg-type]
        else:
            assert everywhere.item.key == partly.item.key == "gone.png"  # type: ignore[union-attr]
    assert "workers cannot read '000.png' (and 19 more)" in caplog.text


def test_containers_are_indexed_as_in_one_process(nodes: Any, tmp_path: Path) -> None:
    for kind in ("zip", "webdataset", "parquet of bytes", "hugging face saved"):
        made = MADE[kind](tmp_path / kind)
        source = fsearch.images(made.pop("held"), **made)
        fsearch.open(f"{kind}-one").index(source)
        report = fsearch.open(f"{kind}-many").index(source, engine="ray", address=nodes.address, sizes=SMALL_CHUNKS)
        assert report.embedded == report.found
        assert contents(f"{kind}-one") == contents(f"{kind}-many")


def test_a_torn_chunk_is_worked_off_again(nodes: Any, few: Planted, encoder: Encoder, tmp_path: Path) -> None:
    items, staging = list(Folder(few.folder).items()), Staging(str(tmp_path / "s"))
    name = chunk_name(items, encoder.spec)
    staging.write(name, *embed_chunk(items, encoder))
    (tmp_path / "s" / f"{name}.npy").write_bytes(b"torn")
    with engine.Cluster(nodes.address) as cluster:
        outcomes, _ = cluster.embedding(encoder.spec, staging)(items, None)  # type: ignore[arg-type]
        assert sum(isinstance(o, PreparedImage) for o in outcomes) == 60


def test_a_torn_chunk_is_no_chunk(few: Planted, encoder: Encoder, tmp_path: Path) -> None:
    staging, items = Staging(str(tmp_path / "s")), list(Folder(few.folder).items())
    name = chunk_name(items, encoder.spec)
    assert staging.read(name, items) is None
    staging.write(name, *embed_chunk(items, encoder))
    found = staging.read(name, items)
    assert found is not None
    assert len(found) == 60
    assert staging.read(name, items[:-1]) is None
    for ending in ("npy", "json"):
        path = tmp_path / "s" / f"{name}.{ending}"
        whole = path.read_bytes()
        for torn in (whole[:-3], b"", whole[:50] + b"x" + whole[51:]):
            path.write_bytes(torn)
            assert staging.read(name, items) is None
        path.write_bytes(whole)
    changed = items[0].__class__(items[0].key, items[0].read, items[0].size, 1)
    assert chunk_name([changed, *items[1:]], encoder.spec) != name
    unsure = items[0].__class__(items[0].key, items[0].read, items[0].size, None)
    assert chunk_name([unsure], encoder.spec) != chunk_name([unsure], encoder.spec)


def test_what_goes_wrong_is_one_line(nodes: Any, few: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ws = fsearch.open("w")
    with pytest.raises(BadInputError, match="unknown engine 'spark'; use one of: local, ray"):
        ws.index(few.folder, engine="spark")  # type: ignore[arg-type]
    with pytest.raises(BadInputError, match=r"--address 127\.0\.0\.1:1: no Ray cluster answers there"):
        ws.index(few.folder, engine="ray", address="127.0.0.1:1")
    with pytest.raises(FsearchError, match="cannot be opened"):
        ws.index(few.folder, engine="ray", address=nodes.address, staging="nosuch://bucket/a")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FsearchError, match="cannot be used: Not a directory"):
        ws.index(few.folder, engine="ray", address=nodes.address, staging=str(tmp_path / "file" / "below"))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BadInputError, match=r"--engine ray needs the library ray: pip install ray"):
        engine.Cluster()


def test_what_goes_wrong_on_the_way_to_a_worker_or_there_is_one_line(nodes: Any, few: Planted, tmp_path: Path) -> None:
    spec, staging = EncoderSpec("ViT-B-32", "gone.pt", "0" * 64, 512), Staging(str(tmp_path / "s"))
    bound = Item("a", threading.Lock().acquire, 1, 1)  # type: ignore[arg-type]
    with engine.Cluster(nodes.address) as cluster:
        embedding = cluster.embedding(spec, staging)
        with pytest.raises(EncoderError):  # workers do not have its weights
            next(embedding(Folder(few.folder).items(), None)[0])  # type: ignore[arg-type]
        with pytest.raises(BadInputError, match="images of this source cannot be sent to another process"):
            next(embedding([bound], None)[0])  # type: ignore[arg-type]


def test_work_is_spread_in_order(nodes: Any) -> None:
    with engine.Cluster(nodes.address) as cluster:
        found = list(cluster.distribute(lambda shared, job: shared + job, np.arange(3), [10, 20, 30]))
    assert [f.tolist() for f in found] == [[10, 11, 12], [20, 21, 22], [30, 31, 32]]
