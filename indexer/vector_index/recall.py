"""How much of the truth an approximate index finds, and how many lists it must look at to find enough.

Two depths are measured, because they differ: the 100 nearest that one looks at, and the 2,048 that a phrase is judged
by. An index set by the first alone may miss half of the second. And two kinds of query: images, and phrases, which lie
in another cone than the images and are found worse.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.storage.vectors import Embeddings, blocks
from fsearch.indexer.vector_index.exact_search import Rows, Singles, scan
from fsearch.indexer.vector_index.index import VectorIndex

NEAR, FAR = 100, 2048
TARGET = 0.95
_QUERIES = 64


@dataclass(frozen=True, slots=True)
class Recall:
    """Mean share of the true nearest neighbours found, over images and phrases, whichever is lower.

    Attributes
    ----------
    near, far : of the 100 and of the 2,048 nearest.
    queries : how many it was measured with.
    """

    near: float
    far: float
    queries: int

    @property
    def least(self) -> float:
        """The worse of both."""
        return min(self.near, self.far)


EXACT = Recall(1.0, 1.0, 0)


def tune(index: VectorIndex, vectors: Embeddings, target: float, texts: Singles | None = None, seed: int = 0) -> Recall:
    """Set `index` to look at the fewest lists that reach `target`, at both depths; the recall it then has.

    Where codes are too coarse to reach it, all lists but the useless ones are looked at: the fewest within half a
    percent of the best.

    Parameters
    ----------
    texts : (t, dim) unit embeddings of phrases; without them, images alone are asked with.
    """
    if not index.kind.lists:
        return EXACT
    rng = np.random.default_rng([seed, 53])
    picks = np.sort(rng.choice(len(vectors), min(_QUERIES, len(vectors)), replace=False))
    groups = [vectors[picks].astype(np.float32)]
    if texts is not None and len(texts):
        groups.append(np.asarray(texts[rng.permutation(len(texts))[:_QUERIES]], np.float32))
    queries = np.concatenate(groups)
    truth = scan(blocks(vectors), queries, min(FAR, len(vectors)))[1]
    bounds = np.cumsum([len(g) for g in groups])[:-1]

    def recall(probes: int) -> Recall:
        found = index.search(queries, FAR, probes=probes)[1]
        near, far = (_least(found, truth, k, bounds) for k in (NEAR, FAR))
        return Recall(near, far, len(queries))

    steps = range(1, index.kind.lists + 1)
    best = recall(index.kind.lists).least
    wanted = target if best >= target else best - 0.005
    index.probes = steps[bisect.bisect_left(steps, wanted, key=lambda p: recall(p).least, hi=len(steps) - 1)]
    return recall(index.probes)


def _least(found: Rows, truth: Rows, k: int, bounds: NDArray[np.int64]) -> float:
    """Mean share of the k rows of `truth` that are among the k first of `found`, in the worst group of queries."""
    k = min(k, truth.shape[1])
    shares = np.array([np.isin(t[:k], f[:k]).mean() for f, t in zip(found, truth, strict=True)])
    return float(min(part.mean() for part in np.split(shares, bounds)))
