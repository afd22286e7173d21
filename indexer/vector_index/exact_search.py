"""Exact nearest neighbours of a few queries, by going through all vectors once: the truth, where no index has it."""

from __future__ import annotations

from collections.abc import Iterable

import faiss
import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]
Rows = NDArray[np.int64]
Found = tuple[Singles, Rows]  # (q, k) cosines, highest first, and (q, k) global rows


def nothing(queries: int) -> Found:
    """No neighbours yet."""
    return np.empty((queries, 0), np.float32), np.empty((queries, 0), np.int64)


def merged(first: Found, second: Found, k: int) -> Found:
    """The k nearest of both, for each query."""
    similarities = np.concatenate([first[0], second[0]], axis=1)
    rows = np.concatenate([first[1], second[1]], axis=1)
    order = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(similarities, order, axis=1), np.take_along_axis(rows, order, axis=1)


def scan(
    blocks: Iterable[NDArray[np.float16]],
    queries: Singles,
    k: int,
    *,
    start: int = 0,
    allowed: NDArray[np.bool_] | None = None,
) -> Found:
    """The k nearest of each of `queries`, (q, dim), in `blocks` of unit rows, (n, dim) each.

    Parameters
    ----------
    start : global row of the first vector.
    allowed : (rows,) bool over global rows; only these count.
    """
    found = nothing(len(queries))
    for block in blocks:
        rows = np.arange(start, start + len(block))
        start += len(block)
        if allowed is not None:
            kept = allowed[rows]
            block, rows = block[kept], rows[kept]
        if len(rows):
            here = min(k, len(rows))
            similarities, places = faiss.knn(queries, block.astype(np.float32), here, faiss.METRIC_INNER_PRODUCT)
            found = merged(found, (similarities, rows[places]), k)
    return found
