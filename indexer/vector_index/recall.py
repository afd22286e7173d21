"""Measured recall of an approximate index, and the smallest nprobe that reaches a target.

Two depths are measured, because they differ: the 100 nearest that one looks at, and the 2,048 that a phrase is judged
by. An index tuned for the first alone may miss half of the second. And two kinds of query: images, and phrases, which
lie in another cone than the images and are found worse.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.storage.vectors import Embeddings, blocks
from fsearch.indexer.vector_index.exact_search import Floats, Rows, scan
from fsearch.indexer.vector_index.index import VectorIndex

NEAR, FAR = 100, 2048
_QUERIES = 64


@dataclass(frozen=True, slots=True)
class Recall:
    """Mean share of the true nearest neighbours found: the lower of that over images and that over phrases.

    Attributes
    ----------
    near, far : recall@100 and recall@2048.
    queries : how many it was measured with.
    """

    near: float
    far: float
    queries: int

    @property
    def worst(self) -> float:
        """The lower of both depths."""
        return min(self.near, self.far)


EXACT = Recall(1.0, 1.0, 0)


def tune(index: VectorIndex, vectors: Embeddings, target: float, texts: Floats | None = None, seed: int = 0) -> Recall:
    """Set `index` to the smallest nprobe that reaches `target` at both depths; returns the recall it then has.

    Where codes are too coarse for the target, the smallest nprobe within half a percent of the best recall is set.

    Parameters
    ----------
    vectors : (rows, dim), everything that the index holds.
    texts : (t, dim) unit embeddings of phrases; without them, images alone are the queries.
    """
    if not index.kind.nlist:
        return EXACT
    rng = np.random.default_rng([seed, 53])
    picks = np.sort(rng.choice(len(vectors), min(_QUERIES, len(vectors)), replace=False))
    groups = [vectors[picks].astype(np.float32)]
    if texts is not None and len(texts):
        groups.append(np.asarray(texts[rng.permutation(len(texts))[:_QUERIES]], np.float32))
    queries = np.concatenate(groups)
    truth = scan(blocks(vectors), queries, min(FAR, len(vectors)))[1]
    bounds = np.cumsum([len(g) for g in groups])[:-1]

    def recall(nprobe: int) -> Recall:
        found = index.search(queries, FAR, nprobe=nprobe)[1]
        near, far = (_worst_group_recall(found, truth, k, bounds) for k in (NEAR, FAR))
        return Recall(near, far, len(queries))

    steps = range(1, index.kind.nlist + 1)
    best = recall(index.kind.nlist).worst
    enough = target if best >= target else best - 0.005
    index.nprobe = steps[bisect.bisect_left(steps, enough, key=lambda n: recall(n).worst, hi=len(steps) - 1)]
    return recall(index.nprobe)


def _worst_group_recall(found: Rows, truth: Rows, k: int, bounds: NDArray[np.int64]) -> float:
    """Mean recall@k in the worst group of queries; `bounds` are the positions where groups after the first begin."""
    k = min(k, truth.shape[1])
    shares = np.array([np.isin(t[:k], f[:k]).mean() for f, t in zip(found, truth, strict=True)])
    return float(min(part.mean() for part in np.split(shares, bounds)))
