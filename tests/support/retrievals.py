"""Retrievals made by hand: what evidence is computed from, without an index or an encoder."""

from __future__ import annotations

import numpy as np

from fsearch.diagnoser.retrieval import Retrieved
from fsearch.diagnoser.retrieval_quality import RetrievalQuality
from fsearch.diagnoser.support import Support


def retrieval(
    memberships: np.ndarray, neighbours: np.ndarray, images: int, copies: np.ndarray | None = None
) -> Retrieved:
    """A retrieval with these memberships, (q, k), at these positions, (q, k), among `images`."""
    q = len(memberships)
    stands_for = np.ones(memberships.shape, np.float32) if copies is None else copies.astype(np.float32)
    chances = memberships.astype(np.float64)
    anchor = np.full(q, 0.3, np.float32)
    return Retrieved(
        texts=np.zeros((q, 4), np.float32),
        directions=np.zeros((q, 4), np.float32),
        similarities=np.full(chances.shape, 0.3, np.float32),
        neighbours=neighbours.astype(np.int64),
        memberships=chances,
        copies=stands_for,
        scale=np.full(q, 100.0),
        quality=RetrievalQuality.of(chances, stands_for, images),
        support=Support(anchor, np.zeros(q), np.full(q, np.nan)),
    )


def shown(truth: np.ndarray) -> Retrieved:
    """A retrieval of all images, (q, n) bool, that is never wrong."""
    q, n = truth.shape
    return retrieval(np.where(truth, 1.0, 1e-12), np.tile(np.arange(n), (q, 1)), n)
