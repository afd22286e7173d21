"""Absolute error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def absolute_error(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Absolute error an output, in units of the target, from 0 up.

    Source: sklearn.metrics.mean_absolute_error before its mean over images.
    """
    return np.abs(errors)
