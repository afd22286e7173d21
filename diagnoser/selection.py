"""A selection of images on a map: which points lie in a polygon, and the mean loss of some images with its interval."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def within(points: NDArray[np.floating], corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) whether each of `points`, (n, 2), lies in the polygon of `corners`, (c, 2), by the even-odd rule."""
    x, y = points[:, 0].astype(np.float64), points[:, 1].astype(np.float64)
    inside = np.zeros(len(points), bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        crosses = (y0 > y) != (y1 > y)
        at = np.divide((x1 - x0) * (y - y0), y1 - y0, out=np.zeros_like(y), where=crosses) + x0
        inside ^= crosses & (x < at)
    return inside


def mean_interval(values: NDArray[np.float64], groups: NDArray[np.int64]) -> tuple[float, float] | None:
    """90% interval of the mean of `values`, (n,), that are independent between `groups`, (n,); None for one group.

    The standard error is cluster-robust (Liang and Zeger, Biometrika 1986), with G / (G - 1) for G groups, and the
    interval that of Student's t with G - 1 degrees of freedom.
    """
    from scipy.special import stdtrit

    _, codes = np.unique(groups, return_inverse=True)
    sums = np.bincount(codes, values - values.mean())
    if len(sums) < 2:
        return None
    error = np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)) / len(values)
    reach = float(stdtrit(len(sums) - 1, 0.95) * error)
    return float(values.mean()) - reach, float(values.mean()) + reach
