"""Exact nearest neighbours of a few queries by one pass over all vectors: ground truth, and search without an index."""

from __future__ import annotations

from collections.abc import Iterable

import faiss
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
Neighbors = tuple[Floats, Rows]  # (q, k) cosines, highest first, and (q, k) global rows


def empty_result(queries: int) -> Neighbors:
    """No neighbours of that many queries: two arrays of shape (queries, 0)."""
    return np.empty((queries, 0), np.float32), np.empty((queries, 0), np.int64)


def merge(first: Neighbors, second: Neighbors, k: int) -> Neighbors:
    """The k nearest of both, for each query."""
    similarities = np.concatenate([first[0], second[0]], axis=1)
    rows = np.concatenate([first[1], second[1]], axis=1)
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(similarities, order, axis=1), np.take_along_axis(rows, order, axis=1)


def scan(
    blocks: Iterable[NDArray[np.float16]],
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
            count = min(k, len(rows))
            similarities, positions = faiss.knn(queries, block.astype(np.float32), count, faiss.METRIC_INNER_PRODUCT)
            found = merge(found, (similarities, rows[positions]), k)
    return found
