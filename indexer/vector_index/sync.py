"""Keep the index file up to the committed shards: top it up, build it anew where it was outgrown, measure it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsearch.indexer.device import Device
from fsearch.indexer.storage.catalog import Catalog, insert, utc_now
from fsearch.indexer.storage.files import file_sha256
from fsearch.indexer.storage.vectors import Vectors, blocks, placed_blocks
from fsearch.indexer.vector_index.build import make
from fsearch.indexer.vector_index.index import VectorIndex, exact, read
from fsearch.indexer.vector_index.recall import EXACT, TARGET, Recall, tune
from fsearch.indexer.vector_index.spec import EXACT_ROWS, choose

_log = logging.getLogger(__name__)
_MEASURED_FOR = 1.1  # times the rows it was measured with, until it is measured again

Progress = Callable[[int, int], None]  # (vectors added, vectors in all)
Texts = Callable[[], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """What the index of a workspace is to be: at most so much memory, at least so much recall."""

    memory_gib: float | None = None
    recall: float = TARGET


@dataclass(frozen=True, slots=True)
class IndexStats:
    """What is known of the index file; the one row of the table `vector_index`."""

    kind: str
    rows: int
    lists: int
    probes: int
    bytes: int
    recall_100: float
    recall_2048: float
    target: float
    measured_rows: int
    queries: int
    sha256: str
    saved_at: datetime

    @property
    def missed(self) -> bool:
        """Whether it finds less than was asked for."""
        return min(self.recall_100, self.recall_2048) < self.target

    def __str__(self) -> str:
        if not self.lists:
            return f"{self.kind}, {self.rows:,} vectors"
        found = f"recall@100 {self.recall_100:.3f}, recall@2048 {self.recall_2048:.3f}"
        line = f"{self.kind}, {self.rows:,} vectors, {self.probes:,} of {self.lists:,} lists a query; {found}"
        missed = f", below the {self.target:g} asked for: allow more with --memory-gib"
        return line + (missed if self.missed else "")


def record(catalog: Catalog) -> IndexStats | None:
    """What is known of the index file; None before the first one."""
    with catalog.read() as con:
        rows = con.execute("SELECT * FROM vector_index").fetchall()
    return IndexStats(*rows[0]) if rows else None


def open_readonly(catalog: Catalog, vectors: Vectors, device: Device) -> VectorIndex:
    """The index as a reader has it: the file, and what is not in it yet from the shards."""
    index = read(catalog.layout.index, vectors, device, mapped=True)
    if index is None or index.rows < len(vectors) <= EXACT_ROWS:
        index = exact(vectors, vectors.shape[1], device)
        if len(vectors) <= EXACT_ROWS:  # so few are read at once
            index.add(blocks(vectors))
    return index


def sync(
    catalog: Catalog,
    vectors: Vectors,
    wanted: IndexConfig,
    texts: Texts | None = None,
    progress: Progress | None = None,
    device: Device = "auto",
) -> VectorIndex:
    """Bring the index file up to `vectors`, measure it and record it. For the writer.

    `texts` gives phrases to measure with; it is called only if something must be measured.
    """
    path, (rows, dim) = catalog.layout.index, vectors.shape
    kind = choose(rows, dim, wanted.memory_gib)
    known, index = record(catalog), read(path, vectors, device)
    if index is None and path.exists():
        _log.warning("%s is damaged; it is rebuilt from the shards", path)
    fresh = index is None or index.kind.outgrown_by(kind)
    if index is None or fresh:
        made = make(kind, dim, lambda n: _sample(vectors, n), device=device)
        index = VectorIndex(kind, made, vectors, device)
    elif index.rows == rows and known is not None and known.rows == rows and known.target == wanted.recall:
        return index
    index.add(_counted(vectors, index.rows, progress))
    recall, measured = _measure(index, vectors, wanted, None if fresh else known, texts)
    index.save(path)
    _record(catalog, index, recall, measured, wanted)
    return index


def _counted(vectors: Vectors, start: int, progress: Progress | None) -> Iterator[NDArray[np.float16]]:
    """The rows from `start` on, block by block, each counted as it is taken."""
    for first, block in placed_blocks(vectors, start):
        if progress:
            progress(first + len(block), len(vectors))
        yield block


def _sample(vectors: Vectors, count: int) -> NDArray[np.float32]:
    """Evenly drawn vectors, (n, dim), read block by block: random reads of a cold disk would take longer."""
    rng = np.random.default_rng(59)
    picked = np.sort(rng.choice(len(vectors), min(count, len(vectors)), replace=False))
    found = np.empty((len(picked), vectors.shape[1]), np.float32)
    filled = 0
    for start, block in placed_blocks(vectors):
        here = picked[(picked >= start) & (picked < start + len(block))] - start
        found[filled : filled + len(here)] = block[here]
        filled += len(here)
    return found[rng.permutation(len(found))]


def _measure(
    index: VectorIndex, vectors: Vectors, wanted: IndexConfig, known: IndexStats | None, texts: Texts | None
) -> tuple[Recall, int]:
    """The recall of `index`, and the rows it was measured with: what is `known`, as long as it may still hold."""
    rows = len(vectors)
    if not index.kind.lists:
        return EXACT, rows
    if known is not None and known.target == wanted.recall and rows <= _MEASURED_FOR * known.measured_rows:
        return Recall(known.recall_100, known.recall_2048, known.queries), known.measured_rows
    return tune(index, vectors, wanted.recall, texts() if texts else None), rows


def _record(catalog: Catalog, index: VectorIndex, recall: Recall, measured: int, wanted: IndexConfig) -> None:
    path: Path = catalog.layout.index
    row = {
        "kind": index.kind.name,
        "rows": index.rows,
        "lists": index.kind.lists,
        "probes": index.probes,
        "bytes": path.stat().st_size,
        "recall_100": recall.near,
        "recall_2048": recall.far,
        "target": wanted.recall,
        "measured_rows": measured,
        "queries": recall.queries,
        "sha256": file_sha256(path),
        "saved_at": utc_now(),
    }
    with catalog.write() as con:
        con.execute("DELETE FROM vector_index")
        insert(con, "vector_index", pa.Table.from_pylist([row]))
