"""Stacking of trees and ridge regression by their out-of-bag predictions (Wolpert 1992; Breiman 1996)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stacking:
    """trees * (tree prediction - tree_level) + linear * (linear prediction - linear_level): the loss less its `level`.

    The weights are not forced to sum to one: where neither explains anything out of bag both go to zero, and the
    ensemble predicts the mean loss, `level`, everywhere.
    """

    trees: float
    linear: float
    level: float
    tree_level: float
    linear_level: float

    @classmethod
    def of(cls, trees: Floats, linear: Floats, losses: Floats) -> Stacking:
        """Non-negative least squares of `losses` on both out-of-bag predictions; all (n,), NaN left out.

        All is divided by a power of two near the largest, which rounds nothing: SciPy 1.13 stops where a gradient is
        small in whatever unit.
        """
        import scipy.optimize

        seen = np.isfinite(trees) & np.isfinite(linear)
        means = [float(v[seen].mean()) for v in (losses, trees, linear)]
        sides = np.column_stack([trees[seen] - means[1], linear[seen] - means[2]])
        away = losses[seen] - means[0]
        power = -int(np.frexp(max(np.abs(sides).max(), np.abs(away).max()))[1])
        weights, _ = scipy.optimize.nnls(np.ldexp(sides, power), np.ldexp(away, power))
        return cls(float(weights[0]), float(weights[1]), *means)

    def mix(self, trees: Floats, linear: Floats) -> Floats:
        """Both predictions, of any one shape, as one: the expected loss less `level`."""
        return self.trees * (trees - self.tree_level) + self.linear * (linear - self.linear_level)
