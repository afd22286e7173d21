"""Huber loss."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def huber(errors: NDArray[np.float64], delta: float = 1.0) -> NDArray[np.float64]:
    """error^2 / 2 up to `delta` (in units of the target), delta (|error| - delta / 2) beyond; from 0 up.

    Source: Huber 1964, "Robust estimation of a location parameter", equation 5; torch.nn.HuberLoss.
    """
    size = np.abs(errors)
    return np.where(size <= delta, errors**2 / 2, delta * (size - delta / 2))
