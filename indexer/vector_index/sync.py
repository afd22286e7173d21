"""Synchronise the index file with the committed shards: add rows, rebuild an outgrown index, measure its recall."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsearch.indexer.device import Device
from fsearch.indexer.storage.catalog import Catalog, Connection
from fsearch.indexer.storage.files import file_sha256
from fsearch.indexer.storage.rows import insert, utc_now
from fsearch.indexer.storage.vectors import Vectors, placed_blocks
from fsearch.indexer.vector_index.build import make
from fsearch.indexer.vector_index.index import VectorIndex, exact_index, read_index
from fsearch.indexer.vector_index.index_stats import IndexConfig, IndexStats, Progress, Texts, read_stats
from fsearch.indexer.vector_index.recall import EXACT, Recall, tune
from fsearch.indexer.vector_index.spec import choose

_log = logging.getLogger(__name__)
_REMEASURE_GROWTH = 1.1  # times the rows it was measured with, past which recall is measured again


def open_approximate(catalog: Catalog, vectors: Vectors, device: Device) -> VectorIndex:
    """The index for a reader: the file, mapped into memory, and rows that it lacks from the shards."""
    index = read_index(catalog.layout.index, vectors, device, mapped=True)
    return exact_index(vectors, vectors.shape[1], device) if index is None else index


def sync(
    catalog: Catalog,
    vectors: Vectors,
    config: IndexConfig,
    texts: Texts | None = None,
    progress: Progress | None = None,
    device: Device = "auto",
) -> tuple[VectorIndex, IndexStats | None]:
    """Bring the index file up to `vectors` and measure its recall. For the writer.

    Returns the index, and statistics of the file for `store_stats`; None where it was up to date. `texts` returns
    embeddings of phrases, (t, dim), to measure with; it is called only if recall must be measured.
    """
    path, (rows, dim) = catalog.layout.index, vectors.shape
    kind = choose(rows, dim, config.memory_gib, config.exact_rows)
    known, index = read_stats(catalog), read_index(path, vectors, device)
    if index is None and path.exists():
        _log.warning("%s is damaged; it is rebuilt from the shards", path)
    rebuilt = index is None or index.kind.outgrown_by(kind)
    if index is None or rebuilt:
        empty = make(kind, dim, lambda n: _sample(vectors, n), device=device)
        index = VectorIndex(kind, empty, vectors, device)
    elif index.rows == rows and known is not None and known.rows == rows and known.target == config.recall:
        return index, None
    index.add(_blocks_with_progress(vectors, index.rows, progress))
    recall, measured_rows = _measure(index, vectors, config, None if rebuilt else known, texts)
    index.save(path)
    return index, _stats(path, index, recall, measured_rows, config)


def store_stats(con: Connection, stats: IndexStats) -> None:
    """Store the statistics of the index file."""
    con.execute("DELETE FROM vector_index")
    insert(con, "vector_index", pa.Table.from_pylist([asdict(stats)]))


def _blocks_with_progress(vectors: Vectors, start: int, progress: Progress | None) -> Iterator[NDArray[np.float16]]:
    """The rows from `start` on, block by block."""
    for first, block in placed_blocks(vectors, start):
        if progress:
            progress(first + len(block), len(vectors))
        yield block


def _sample(vectors: Vectors, count: int) -> NDArray[np.float32]:
    """Uniformly sampled vectors, (n, dim), read block by block: random reads of a cold disk would take longer."""
    rng = np.random.default_rng(59)
    picked = np.sort(rng.choice(len(vectors), min(count, len(vectors)), replace=False))
    found = np.empty((len(picked), vectors.shape[1]), np.float32)
    filled = 0
    for start, block in placed_blocks(vectors):
        in_block = picked[(picked >= start) & (picked < start + len(block))] - start
        found[filled : filled + len(in_block)] = block[in_block]
        filled += len(in_block)
    return found[rng.permutation(len(found))]


def _measure(
    index: VectorIndex, vectors: Vectors, config: IndexConfig, known: IndexStats | None, texts: Texts | None
) -> tuple[Recall, int]:
    """The recall of `index`, and the rows it was measured with: `known`, until there are so many more rows."""
    rows = len(vectors)
    if not index.kind.nlist:
        return EXACT, rows
    if known is not None and known.target == config.recall and rows <= _REMEASURE_GROWTH * known.measured_rows:
        return Recall(known.recall_100, known.recall_2048, known.queries), known.measured_rows
    return tune(index, vectors, config.recall, texts() if texts else None), rows


def _stats(path: Path, index: VectorIndex, recall: Recall, measured_rows: int, config: IndexConfig) -> IndexStats:
    return IndexStats(
        kind=index.kind.name,
        rows=index.rows,
        lists=index.kind.nlist,
        probes=index.nprobe,
        bytes=path.stat().st_size,
        recall_100=recall.near,
        recall_2048=recall.far,
        target=config.recall,
        measured_rows=measured_rows,
        queries=recall.queries,
        sha256=file_sha256(path),
        saved_at=utc_now(),
    )
