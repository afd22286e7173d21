"""Log-cosh error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def log_cosh(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(cosh(error)) an output, from 0 up: half the square of a small error, a large one's size less log 2.

    Source: Saleh and Saleh 2022, "Statistical properties of the log-cosh loss function used in machine learning".
    """
    size = np.abs(errors)
    return np.asarray(size + np.log1p(np.exp(-2 * size)) - np.log(2))
