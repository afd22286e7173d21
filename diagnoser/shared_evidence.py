"""Concepts: phrases that are shown by the same images are one question in other words, and have one vote together.

The evidence of a phrase is linear in the losses, its weights being the centred memberships of the images. So where
nothing fails, the evidence of two phrases is correlated as their memberships are over all images. Phrases that have
half of the variance of their evidence in common are of one concept, and so are phrases that a chain of such phrases
joins. Where everything is joined, or nothing is, votes are counted as if there were no concepts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.retrieval import BATCH, Retrieved, empty

Singles = NDArray[np.float32]
Rows = NDArray[np.int64]

ALIKE = 0.5**0.5  # correlation of memberships from which two phrases are of one concept
_WORK = 10**11  # products of a comparison of all pairs, by which the number of columns is bounded
_WIDEST, _NARROWEST = 8192, 256
_HASH = np.uint64(0x9E3779B97F4A7C15)  # multiplicative hashing (Knuth, volume 3, section 6.4)


def concepts(retrieved: Retrieved) -> Rows:
    """(q,) number of the concept of each phrase of `retrieved`.

    Past `_WIDEST` images, or with very many phrases, the images are folded to fewer columns, each added with a random
    sign to one of them: products stay what they were on average (count sketch: Charikar, Chen and Farach-Colton, 2004).
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    q, images = len(retrieved), float(retrieved.copies[0].sum())
    columns = _columns(retrieved, images)
    mean = retrieved.weights.sum(axis=1) / images
    spread = np.sqrt(((retrieved.weights * retrieved.memberships).sum(axis=1) / images - mean**2).clip(min=1e-30))
    found: Rows = np.arange(q)
    for start in range(0, q, BATCH):
        part = slice(start, start + BATCH)
        covariance = columns[part] @ columns.T / images - np.outer(mean[part], mean)
        alike = covariance >= ALIKE * np.outer(spread[part], spread)
        one, other = np.nonzero(alike)
        pairs = found[one + start], found[other]
        graph = coo_array((np.ones(len(one), bool), pairs), shape=(q, q))
        found = connected_components(graph, directed=False)[1][found].astype(np.int64)
    return found


def _columns(retrieved: Retrieved, images: float) -> Singles:
    """(q, w) roots of the weights of each phrase by image, or by what images are folded to."""
    q, most = len(retrieved), int(retrieved.neighbours.max()) + 1
    width = int(np.clip(_WORK / q**2, _NARROWEST, _WIDEST))
    found: Singles = empty((q, min(most, width)), np.float32)
    for start in range(0, q, BATCH):
        part = retrieved[start : start + BATCH]
        at, roots = part.neighbours, part.memberships * np.sqrt(part.copies)
        if most > width:
            hashed = at.astype(np.uint64) * _HASH
            roots = np.where(hashed >> np.uint64(63), roots, -roots)
            at = ((hashed >> np.uint64(20)) % np.uint64(width)).astype(np.int64)
        for row, places, values in zip(found[start:], at, roots, strict=False):
            row[:] = np.bincount(places, values, minlength=len(row))
    return found
