"""Squared error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def squared_error(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """error^2 an output, in squared units of the target, from 0 up.

    Source: sklearn.metrics.mean_squared_error before its mean over images.
    """
    return errors**2
