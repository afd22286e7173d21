"""Concepts: phrases that share their images are wordings of one thing, and count as one. Pure functions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.confounding import SAME_IMAGES

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.int64]


def overlaps(weights: Floats, others: Floats) -> NDArray[np.float64]:
    """(f, g) weighted Jaccard index (Ruzicka, 1958) of each of `weights`, (f, n), with each of `others`, (g, n)."""
    found = np.empty((len(weights), len(others)))
    for i, row in enumerate(weights):
        both = np.minimum(others, row).sum(axis=1)
        found[i] = both / np.maximum(row.sum() + others.sum(axis=1) - both, 1e-300)
    return found


def inside(weights: Floats, others: Floats) -> float:
    """The largest share of the images with `weights`, (n,), that are of one of `others`, (g, n)."""
    return float((np.minimum(others, weights).sum(axis=1) / max(float(weights.sum()), 1e-300)).max(initial=0.0))


def fold(overlap: Floats, order: Rows, level: float = SAME_IMAGES) -> Rows:
    """(f,) the head of each phrase's concept, a position; a head is its own.

    In `order`, a phrase joins the head that it shares most images with, if that is more than `level`, and else heads a
    concept of its own. So a head never shares that many with another head.

    Parameters
    ----------
    overlap : (f, f) of the images that show each pair, 1 on the diagonal.
    order : (f,) positions of the phrases, the one that may head first.
    """
    found: Rows = np.arange(len(overlap), dtype=np.int64)
    heads: list[int] = []
    for i in order.tolist():
        nearest = max(heads, key=lambda h: float(overlap[i, h]), default=None)
        if nearest is not None and overlap[i, nearest] > level:
            found[i] = nearest
        else:
            heads.append(i)
    return found
