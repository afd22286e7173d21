"""Memory while a million images are indexed, and the seconds of every stage of a fit and a ranking at a million."""

from __future__ import annotations

import io
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from benchmarks.measure import resident_memory
from benchmarks.scale.made import DIM, World
from PIL import Image

import fsearch
from fsearch.diagnoser import estimate, fit, retrieval
from fsearch.indexer.embedding.pipeline import index_images, local_engine
from fsearch.indexer.sources.base import Item, encoded_item
from fsearch.indexer.storage.rows import insert, utc_now
from fsearch.indexer.storage.shards import write_shard
from fsearch.indexer.vector_index import sync
from fsearch.indexer.workspace.encoder_spec import EncoderSpec
from fsearch.indexer.workspace.store import Store
from fsearch.search import query, runs

SIDE, BASES = 16, 64
EARLY = 100_000
MILLION = 1_000_000
PHRASES = 1_000
Step = Callable[..., dict[str, Any]]


class Stream:
    """A stream of small JPEG images, each of bytes of its own."""

    name, schema = "made", None

    def __init__(self, count: int) -> None:
        self._count, self._bases = count, []
        rng = np.random.default_rng(0)
        for _ in range(BASES):
            data = io.BytesIO()
            Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(data, "JPEG")
            self._bases.append(data.getvalue())

    def keys(self) -> None:
        """None: a stream."""

    def items(self) -> Iterator[Item]:
        """Each base, again and again, with other bytes behind its end."""
        for i in range(self._count):
            yield encoded_item(f"images/{i:09d}.jpg", self._bases[i % BASES] + i.to_bytes(8, "big"), 1, {})


class Free:
    """Stands for an encoder whose forward pass costs nothing: one multiplication by a random matrix."""

    def __init__(self) -> None:
        self._matrix = np.random.default_rng(0).standard_normal((SIDE * SIDE * 3, DIM), dtype=np.float32)

    def prepare(self, image: Image.Image) -> Any:
        """Its pixels."""
        return np.asarray(image, np.float32).ravel()

    def embed_images(self, prepared: list[Any]) -> Any:
        """(n, 512) unit rows."""
        found = np.stack(prepared) @ self._matrix
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def memory(folder: str, images: str) -> dict[str, Any]:
    """Index a stream; what the process holds after EARLY images and after all."""
    store = Store.create(Path(folder, "w"), EncoderSpec("made", None, "0" * 64, DIM))
    held: dict[int, int] = {}

    def tick(done: int, _: int) -> None:
        if done in (EARLY, int(images)):
            held[done] = resident_memory()

    with store.writer():
        report = index_images(store, local_engine(Free), Stream(int(images)), tick)  # type: ignore[arg-type]
    assert report.embedded == int(images), report
    return {"early": held[EARLY] / 2**20, "all": held[int(images)] / 2**20}


def print_memory(step: Step, work: Path) -> None:
    """Run and print it."""
    found = step("memory", str(work / "memory"), str(MILLION))
    print(
        f"\nindexing a stream of {MILLION:,} images, without FAISS: RSS {found['early']:.0f} MiB after {EARLY:,}, "
        f"{found['all']:.0f} MiB after all, {found['all'] - found['early']:.0f} MiB more; {found['seconds']:.0f} s"
    )


def fill(folder: str, rows: str) -> dict[str, Any]:
    """A workspace of made vectors with images, and losses that are high in some clusters; its index is built."""
    from benchmarks.indexing import random_weights

    n, world = int(rows), World.of(0)
    spec = random_weights(Path(folder))
    store = Store.create(Path(folder, "w"), spec)
    rng = np.random.default_rng(1)
    start = 0
    for number, block in enumerate(world.blocks(n)):
        shard = write_shard(store.layout, number, block)
        ids = np.arange(start, start + len(block))
        images = {
            "image_id": ids,
            "source": ["made"] * len(ids),
            "key": [f"images/{i:09d}.jpg" for i in ids],
            "sha256": [f"{i:064x}" for i in ids],
            "width": np.full(len(ids), 224, np.int32),
            "height": np.full(len(ids), 224, np.int32),
            "bytes": np.full(len(ids), 1),
            "mtime_ns": np.full(len(ids), 1),
            "row": ids,
            "status": ["present"] * len(ids),
            "indexed_at": [utc_now()] * len(ids),
        }
        loss = rng.gamma(1.0, np.exp(6 * (block @ world.directions[0])))
        losses = {"model": ["made"] * len(ids), "image_id": ids, "loss": loss}
        nulls = {name: pa.nulls(len(ids), pa.string()) for name in ("label", "prediction")}
        with store.catalog.write() as con:
            con.execute(
                "INSERT INTO shards (shard, first_row, rows, sha256) VALUES (?, ?, ?, ?)",
                [number, start, shard.rows, shard.sha256],
            )
            insert(con, "images", pa.table(images))
            insert(con, "losses", pa.table(losses | nulls))
        start += len(block)
    with store.writer():
        store.sync_index(lambda: world.texts(64))
    return {"index": str(sync.read_stats(store.catalog))}


def stages(folder: str) -> dict[str, Any]:
    """Fit, rank PHRASES hypotheses, store the run; seconds of every stage."""
    spent: defaultdict[str, float] = defaultdict(float)
    _time(spent, Store, "losses", "read the losses")
    _time(spent, fit, "fitting_rows", "draw the sample")
    _time(spent, fit, "train", "train members")
    _time(spent, fit, "_predict_all", "predict for every image")
    _time(spent, estimate, "half_errors", "calibrate")
    _time(spent, fit, "_record", "write predictions")
    _time(spent, query, "embed", "embed phrases")
    _time(spent, retrieval.Retriever, "find", "retrieve images")
    _time(spent, estimate, "observe", "observed lift, permutations")
    _time(spent, runs, "record", "write the run")
    ws = fsearch.open(Path(folder, "w"))
    began = time.perf_counter()
    ws.fit()
    fitted = time.perf_counter() - began
    in_fit = dict(spent)
    spent.clear()
    began = time.perf_counter()
    ranking = ws.rank([f"a photo of thing number {i}" for i in range(PHRASES)])
    ranked = time.perf_counter() - began
    assert len(ranking.answers) == PHRASES
    assert all(a.q_value >= a.p_value for a in ranking.answers)
    return {"fit_s": fitted, "in_fit": in_fit, "rank_s": ranked, "in_rank": dict(spent)}


def _time(spent: dict[str, float], owner: Any, name: str, stage: str) -> None:
    real = getattr(owner, name)

    def timed(*args: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return real(*args, **options)
        finally:
            spent[stage] += time.perf_counter() - began

    setattr(owner, name, timed)


BOUND = {
    "read the losses": "memory: a join and a sort in DuckDB",
    "draw the sample": "memory: every vector is read once",
    "train members": "FLOPs: histograms over 50,000 x 512",
    "predict for every image": "memory latency: a walk down every tree",
    "calibrate": "memory: every vector is read once",
    "write predictions": "disk: a row an image",
    "embed phrases": "FLOPs: the text tower, one phrase at a time",
    "find what shows them": "memory: the lists that are looked at",
    "observed lift, permutations": "FLOPs: 5,000 permutations of 2,048 losses a phrase",
    "write the run": "disk",
}


def print_stages(step: Step, work: Path) -> None:
    """Run and print them."""
    folder = work / "whole"
    folder.mkdir()
    filled = step("fill-workspace", str(folder), str(MILLION))
    found = step("whole", str(folder))
    print(f"\nthe whole path at {MILLION:,} images ({filled['index']})")
    for head, total, parts in (
        ("fit", found["fit_s"], found["in_fit"]),
        (f"rank {PHRASES:,} phrases", found["rank_s"], found["in_rank"]),
    ):
        print(f"  {head}: {total:.0f} s")
        for stage, seconds in parts.items():
            print(f"    {seconds:6.1f} s  {stage} ({BOUND[stage]})")
        print(f"    {total - sum(parts.values()):6.1f} s  the rest")
    print(f"  peak RSS {found['peak_gib']:.1f} GiB, its own {found['own_gib']:.1f} GiB")
