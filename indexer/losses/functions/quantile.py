"""Quantile (pinball) loss."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def quantile(errors: NDArray[np.float64], q: float = 0.5) -> NDArray[np.float64]:
    """The share q of what a prediction is too low, 1 - q times what it is too high, in units of the target; from 0 up.

    Source: Koenker and Bassett 1978, "Regression quantiles"; sklearn.metrics.mean_pinball_loss before its mean.
    """
    return np.maximum(-q * errors, (1 - q) * errors)
