"""One minus the reciprocal rank of the right answer: of scores over candidates, and of embeddings among each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.losses.functions.scores import Scores

_CHUNK = 1024


def reciprocal_rank(scores: Scores, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 - 1 / (1 + candidates that score higher than the right one): from 0 to almost 1.

    Source: Voorhees 1999, "The TREC-8 question answering track report", for one question.
    """
    right = scores.values[np.arange(len(labels)), labels]
    return np.asarray(1 - 1 / (1 + (scores.values > right[:, None]).sum(axis=1)))


def embedding_reciprocal_rank(embeddings: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 - 1 / rank of the nearest other image of the same label, by cosine among all others: from 0 to almost 1.

    NaN where there is no such image.

    `embeddings` : (n, d); `labels` : (n,) int64. Ties are in favour of the same label. Source: as `reciprocal_rank`,
    the set being its own gallery, each image left out of its own.
    """
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    losses = np.full(len(units), np.nan)
    for start in range(0, len(units), _CHUNK):
        cosines = units[start : start + _CHUNK] @ units.T
        here = np.arange(len(cosines))
        cosines[here, start + here] = -np.inf
        same = labels[start : start + _CHUNK, None] == labels
        same[here, start + here] = False
        best = np.where(same, cosines, -np.inf).max(axis=1)
        rank = 1 + (cosines > best[:, None]).sum(axis=1)
        losses[start : start + _CHUNK] = np.where(same.any(axis=1), 1 - 1 / rank, np.nan)
    return losses
