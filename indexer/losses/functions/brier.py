"""Brier score."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.losses.functions.scores import Scores


def brier(scores: Scores, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum over classes of (p - [class = y])^2, from 0 to 2.

    Source: Brier 1950, "Verification of forecasts expressed in terms of probability", equation 2, for one forecast.
    """
    errors = scores.probabilities.copy()
    errors[np.arange(len(labels)), labels] -= 1
    return np.asarray((errors**2).sum(axis=1))
