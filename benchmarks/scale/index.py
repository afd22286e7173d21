"""Steps of the scale benchmark that concern the index alone: fill a workspace with made vectors, build, ask."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.measure import paired
from benchmarks.scale.made import DIM, World
from numpy.typing import NDArray

from fsearch.indexer.storage.shards import write_shard
from fsearch.indexer.storage.vectors import blocks
from fsearch.indexer.vector_index import sync
from fsearch.indexer.vector_index.exact_search import scan
from fsearch.indexer.workspace.encoder_spec import EncoderSpec
from fsearch.indexer.workspace.store import Store

TOP, DEEP = 100, 2048
HELD_OUT = 10**6  # number of a block that no workspace holds
SINGLES, BATCHES, PER_BATCH = 200, 5, 200
Rows = NDArray[np.int64]


def fill(folder: str, rows: str) -> dict[str, Any]:
    """A workspace of made vectors, without images."""
    store = Store.create(Path(folder, "w"), EncoderSpec("made", None, "0" * 64, DIM))
    start = 0
    for number, block in enumerate(World.of(0).blocks(int(rows))):
        shard = write_shard(store.layout, number, block)
        with store.catalog.write() as con:
            con.execute(
                "INSERT INTO shards (shard, first_row, rows, sha256) VALUES (?, ?, ?, ?)",
                [number, start, shard.rows, shard.sha256],
            )
        start += shard.rows
    return {"rows": start}


def build(folder: str, memory_gib: str | None = None) -> dict[str, Any]:
    """Train, add, measure and save the index, anew if another one was there."""
    store = Store.open(Path(folder, "w"))
    with store.writer():
        store = store.with_settings(memory_gib=None if memory_gib is None else float(memory_gib))
        began = time.perf_counter()
        store.sync_index(lambda: World.of(0).texts(64))
    took = time.perf_counter() - began
    told = sync.read_stats(store.catalog)
    assert told is not None
    return {"build_s": took, "index": str(told), "bytes_per_vector": told.bytes / told.rows}


def ask(folder: str) -> dict[str, Any]:
    """Recall on queries the build did not see, and times beside bare FAISS with the same index."""
    store = Store.open(Path(folder, "w"))
    world = World.of(0)
    texts = World(1, *(getattr(world, n) for n in ("cone", "text_cone", "directions", "centres", "edges"))).texts(1000)
    queries = {"images": world.block(HELD_OUT, 200), "phrases": texts[:200]}
    truth = scan(blocks(store.vectors()), np.concatenate(list(queries.values())), DEEP)[1]
    asked_of_both = {f"true_{name}": true for name, true in zip(queries, np.split(truth, 2), strict=True)}
    np.savez(Path(folder, "asked.npz"), **queries, **asked_of_both)
    ours = store.index()
    bare = ours._index  # the very same FAISS index, asked without us
    found: dict[str, Any] = {"kind": ours.kind.name}
    for (name, asked), true in zip(queries.items(), np.split(truth, 2), strict=True):
        found[f"recall_100_{name}"] = _recall(ours.search(asked, TOP)[1], true[:, :TOP])
        found[f"recall_2048_{name}"] = _recall(ours.search(asked, DEEP)[1], true)
        found[f"bare_recall_100_{name}"] = _recall(bare.search(asked, TOP)[1], true[:, :TOP])
    stream = iter(np.concatenate([texts[200:], world.block(HELD_OUT + 1, 20_000)]))
    single = [np.stack([next(stream)]) for _ in range(2 * SINGLES)]
    batches = [np.stack([next(stream) for _ in range(PER_BATCH)]) for _ in range(2 * BATCHES + 2)]
    with store.layout.index.open("rb") as file:  # into the page cache: what is timed is a warm index
        while file.read(2**24):
            pass
    ours.search(batches.pop(), TOP)
    bare.search(batches.pop(), TOP)
    mine, other = _in_turns(ours, bare, single, TOP)
    found |= {"ours_p50_ms": _percentile(mine, 50), "ours_p99_ms": _percentile(mine, 99)}
    found |= {"bare_p50_ms": _percentile(other, 50), "bare_p99_ms": _percentile(other, 99)}
    supply = iter(batches)
    ours_s, bare_s, ratio = paired(
        lambda: ours.search(next(supply), TOP), lambda: bare.search(next(supply), TOP), BATCHES
    )
    found |= {"ours_per_s": PER_BATCH / ours_s, "bare_per_s": PER_BATCH / bare_s, "batch_ratio": ratio}
    deep, _ = _in_turns(ours, bare, single[:60], DEEP)
    return found | {"deep_p50_ms": _percentile(deep, 50)}


def lines(asked: dict[str, Any]) -> list[str]:
    """What `ask` found, as a reader wants it."""
    recalls = ", ".join(
        f"{name}: @100 {asked[f'recall_100_{name}']:.3f} (bare {asked[f'bare_recall_100_{name}']:.3f}), "
        f"@2048 {asked[f'recall_2048_{name}']:.3f}"
        for name in ("images", "phrases")
    )
    return [
        f"recall of unseen queries; {recalls}",
        f"single query, 100 nearest: p50 {asked['ours_p50_ms']:.2f} ms, p99 {asked['ours_p99_ms']:.2f} ms; bare FAISS "
        f"{asked['bare_p50_ms']:.2f} and {asked['bare_p99_ms']:.2f}; ratio "
        f"{asked['bare_p50_ms'] / asked['ours_p50_ms']:.2f}; 2,048 nearest: p50 {asked['deep_p50_ms']:.1f} ms",
        f"batches of {PER_BATCH}: {asked['ours_per_s']:.0f} queries/s; bare FAISS {asked['bare_per_s']:.0f}; "
        f"ratio {asked['batch_ratio']:.2f}",
    ]


def _recall(found: Rows, truth: Rows) -> float:
    return float(np.mean([np.isin(t, f).mean() for f, t in zip(found, truth, strict=True)]))


def _in_turns(ours: Any, bare: Any, queries: list[Any], k: int) -> tuple[list[float], list[float]]:
    """Seconds of each query: every other one goes to ours, the rest to bare FAISS."""
    times: tuple[list[float], list[float]] = ([], [])
    for i, query in enumerate(queries):
        began = time.perf_counter()
        (ours, bare)[i % 2].search(query, k)
        times[i % 2].append(time.perf_counter() - began)
    return times


def _percentile(times: list[float], share: int) -> float:
    """In milliseconds."""
    return 1e3 * (statistics.median(times) if share == 50 else float(np.percentile(times, share)))
