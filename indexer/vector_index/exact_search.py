"""Exact nearest neighbours by one pass over all vectors: ground truth, and search without an index.

By NumPy alone: loading FAISS takes longer than a search of the 100,000 vectors that are searched exactly, and for the
2,048 nearest of many queries a matrix product with a partial sort takes a seventh of the time of faiss.knn.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.storage.vectors import Embeddings, blocks

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
_TOGETHER = 16  # queries compared at once, always as many: a product of another shape rounds otherwise

Neighbors = tuple[Floats, Rows]  # (q, k) cosines, highest first, and (q, k) global rows


class NearestImages(Protocol):
    """Nearest neighbours by cosine among all of `vectors`: `index.VectorIndex`, or `ExactSearch`."""

    @property
    def vectors(self) -> Embeddings:
        """(rows, dim) unit embeddings."""

    def __len__(self) -> int: ...

    def search(
        self, queries: Floats, k: int, allowed: NDArray[np.bool_] | None = None, *, nprobe: int | None = None
    ) -> Neighbors:
        """The k nearest rows of each of `queries`, (q, dim), among those that `allowed`, (rows,), allows.

        `nprobe` is of an index that has lists to probe.
        """


class ExactSearch:
    """Searches `vectors`, (rows, dim), themselves; they are read once and kept as float32."""

    def __init__(self, vectors: Embeddings) -> None:
        self.vectors = vectors
        self._held: Floats | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def search(
        self, queries: Floats, k: int, allowed: NDArray[np.bool_] | None = None, *, nprobe: int | None = None
    ) -> Neighbors:
        """See NearestImages; k shrinks to the number of allowed rows."""
        if self._held is None:
            self._held = np.concatenate([b.astype(np.float32) for b in blocks(self.vectors)] or [self.vectors[:0]])
        return scan([self._held], np.ascontiguousarray(queries, np.float32), k, allowed=allowed)


def empty_result(queries: int) -> Neighbors:
    """No neighbours of that many queries: two arrays of shape (queries, 0)."""
    return np.empty((queries, 0), np.float32), np.empty((queries, 0), np.int64)


def merge(first: Neighbors, second: Neighbors, k: int) -> Neighbors:
    """The k nearest of both, for each query."""
    if not first[0].shape[1]:
        return second
    similarities = np.concatenate([first[0], second[0]], axis=1)
    rows = np.concatenate([first[1], second[1]], axis=1)
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(similarities, order, axis=1), np.take_along_axis(rows, order, axis=1)


def scan(
    blocks: Iterable[NDArray[np.floating]],
    queries: Floats,
    k: int,
    *,
    start: int = 0,
    allowed: NDArray[np.bool_] | None = None,
) -> Neighbors:
    """The k nearest of each of `queries`, (q, dim), in `blocks` of unit rows, (n, dim) each.

    Parameters
    ----------
    start : global row of the first vector.
    allowed : (rows,) bool over global rows; only these are searched. None searches all.
    """
    found = empty_result(len(queries))
    for block in blocks:
        rows = np.arange(start, start + len(block))
        start += len(block)
        if allowed is not None:
            mask = allowed[rows]
            block, rows = block[mask], rows[mask]
        if len(rows):
            similarities, positions = _nearest(queries, block.astype(np.float32, copy=False), min(k, len(rows)))
            found = merge(found, (similarities, rows[positions]), k)
    return found


def _nearest(queries: Floats, vectors: Floats, count: int) -> Neighbors:
    """The `count` nearest of `vectors`, (n, dim), to each of `queries`; of equals, the first.

    No cosine depends on what else is asked.
    """
    similarities, positions = np.empty((len(queries), count), np.float32), np.empty((len(queries), count), np.int64)
    for first in range(0, len(queries), _TOGETHER):
        part = slice(first, first + _TOGETHER)
        several = np.zeros((_TOGETHER, queries.shape[1]), np.float32)
        several[: len(queries[part])] = queries[part]
        cosines = (several @ vectors.T)[: len(queries[part])]
        best = np.argpartition(cosines, len(vectors) - count, axis=1)[:, len(vectors) - count :]
        best.sort(axis=1)
        near = np.take_along_axis(cosines, best, axis=1)
        order = np.argsort(-near, axis=1, kind="stable")
        similarities[part] = np.take_along_axis(near, order, axis=1)
        positions[part] = np.take_along_axis(best, order, axis=1)
    return similarities, positions
