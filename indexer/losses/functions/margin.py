"""Multi-class margin (hinge) loss."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.losses.functions.scores import Scores


def margin(scores: Scores, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """max(0, 1 + max over other classes of s - s[y]) on the scores as given.

    From 0 to 2 on probabilities, from 0 up on logits.
    Source: Crammer and Singer 2001, "On the algorithmic implementation of multiclass kernel-based vector machines".
    """
    rows = np.arange(len(labels))
    others = scores.values.copy()
    others[rows, labels] = -np.inf
    return np.asarray(np.maximum(0.0, 1 + others.max(axis=1) - scores.values[rows, labels]))
