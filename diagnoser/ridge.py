"""Ridge regression from embedding to loss: the linear side of each member, on its own bootstrap weights.

A linear head transfers from images to text far better than trees do (DrML, ICLR 2023), and on real CLIP embeddings it
is the better half of the ensemble; trees find what is not linear. Stacking weighs them by their out-of-bag predictions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PENALTY = 3.0  # on unit embeddings; between 0.3 and 30 hardly anything changes
MAX_ROWS = 16_384  # above it, evenly spaced rows are used: more hardly change the coefficients


def ridge(
    embeddings: NDArray[np.float32], target: Floats, weights: NDArray[np.float32], penalty: float = PENALTY
) -> Floats:
    """(d + 1,) coefficients, intercept last, of ridge regression (Hoerl and Kennard, 1970) with row weights.

    Parameters
    ----------
    embeddings : (n, d); `target` and `weights` : (n,), weights not all zero. The intercept is not penalised.
    """
    if len(target) > MAX_ROWS:
        some = np.linspace(0, len(target) - 1, MAX_ROWS).astype(np.int64)
        embeddings, target, weights = embeddings[some], target[some], weights[some]
    total = float(weights.sum())
    centre = weights @ embeddings / total
    mean = float(weights @ target / total)
    centred = embeddings - centre
    weighted = centred * weights[:, None]
    gram = (weighted.T @ centred).astype(np.float64)
    gram[np.diag_indices_from(gram)] += penalty
    slopes = np.linalg.solve(gram, weighted.T.astype(np.float64) @ (target - mean))
    return np.append(slopes, mean - float(centre @ slopes))


def predict(coefficients: Floats, points: NDArray[np.floating]) -> Floats:
    """(b, m) predictions of each of `coefficients`, (b, d + 1), at each of `points`, (m, d)."""
    return np.asarray(coefficients[:, :-1] @ points.T.astype(np.float64) + coefficients[:, -1:], np.float64)
