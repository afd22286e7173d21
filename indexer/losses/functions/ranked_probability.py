"""Ranked probability score, for classes that have an order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.losses.functions.scores import Scores


def ranked_probability(scores: Scores, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum over k < C of (P(class <= k) - [y <= k])^2, over C - 1: from 0 to 1; near misses cost less than far ones.

    Source: Epstein 1969, "A scoring system for probability forecasts of ranked categories".
    """
    count = scores.values.shape[1]
    forecast = scores.probabilities.cumsum(axis=1)[:, :-1]
    truth = np.arange(count - 1) >= labels[:, None]
    return np.asarray(((forecast - truth) ** 2).sum(axis=1) / (count - 1))
