"""Ranking of new phrases with ViT-B-32's text tower, as a ratio to the same with phrases embedded one at a time.

    python -m benchmarks.ranking --phrases 1000 --images 100000

One at a time means by torch, as fsearch once did: with every phrase padded to the 77 tokens that it knows. All else of
a ranking is the same on both sides: the second ranks phrases whose embeddings it has. Weights are random, which time
like trained ones, and the images are synthetic clusters of unit vectors. Two ratios, of time and of processor time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from benchmarks.indexing import NAME, random_weights
from benchmarks.measure import machine
from benchmarks.query import clusters, fill

import fsearch
from fsearch.indexer.embedding.open_clip_encoder import OpenClipEncoder, load
from fsearch.indexer.workspace.store import Store
from fsearch.search.workspace import Workspace

THINGS = ("a dog", "two people at a table", "an old red car in the rain", "a cat that sleeps on a warm roof in summer")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--phrases", type=int, default=200)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--turns", type=int, default=3)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), asked.phrases, asked.images, asked.turns)


def measure(work: Path, phrases: int, images: int, turns: int) -> None:
    spec = random_weights(work)
    store = Store.create(work / "w", spec)
    with store.writer():
        fill(store, clusters(images, spec.dim))
        store.sync_index()
    ws, encoder = fsearch.open(work / "w", NAME), load(spec, "cpu")
    ws.fit()
    ws.rank(list(THINGS))
    costs = [turn(ws, encoder, [f"{THINGS[i % 4]}, number {t} {i}" for i in range(phrases)]) for t in range(turns)]
    print(f"ranking: {phrases:,} new phrases, {images:,} x {spec.dim}, median of {turns} turns ({machine()})")
    for name, (ours, one_by_one, rest) in zip(
        ("time", "processor time"), np.moveaxis(costs, 2, 0).swapaxes(1, 2), strict=True
    ):
        before, ratio = one_by_one + rest, np.median(ours / (one_by_one + rest))
        print(
            f"  {name}: {np.median(ours):.1f} s; embedded one at a time {np.median(before):.1f} s; ratio {ratio:.2f}; "
            f"without embedding {np.median(rest):.1f} s"
        )


def turn(ws: Workspace, encoder: OpenClipEncoder, texts: list[str]) -> list[tuple[float, float]]:
    """What it costs to rank new phrases, to embed them one at a time, and to rank them when that is done."""
    one_by_one = cost(lambda: encoder.embed_by_torch(texts))
    return [cost(lambda: ws.rank(texts)), one_by_one, cost(lambda: ws.rank(texts))]


def cost(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock, and on the processor."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
