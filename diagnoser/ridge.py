"""The linear side of each member: ridge regression from embedding to loss, on the member's own bootstrap weights.

A linear head transfers from images to text far better than trees do (DrML, ICLR 2023), and on real CLIP embeddings it
is the better half of the ensemble; trees find what bends. Which weighs how much is measured out of bag (`blend`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PENALTY = 3.0  # on unit embeddings; between 0.3 and 30 hardly anything changes
ROWS = 16_384  # more rows make a line no straighter; above it, evenly spaced rows are used


def ridge(
    embeddings: NDArray[np.float32], target: Floats, weights: NDArray[np.float32], penalty: float = PENALTY
) -> Floats:
    """(d + 1,) coefficients, intercept last, of ridge regression (Hoerl and Kennard, 1970) with row weights.

    Parameters
    ----------
    embeddings : (n, d); `target` and `weights` : (n,), weights not all zero. The intercept is not penalised.
    """
    if len(target) > ROWS:
        some = np.linspace(0, len(target) - 1, ROWS).astype(np.int64)
        embeddings, target, weights = embeddings[some], target[some], weights[some]
    total = float(weights.sum())
    middle = weights @ embeddings / total
    level = float(weights @ target / total)
    centred = embeddings - middle
    weighted = centred * weights[:, None]
    gram = (weighted.T @ centred).astype(np.float64)
    gram[np.diag_indices_from(gram)] += penalty
    slopes = np.linalg.solve(gram, weighted.T.astype(np.float64) @ (target - level))
    return np.append(slopes, level - float(middle @ slopes))


def predict(coefficients: Floats, points: NDArray[np.floating]) -> Floats:
    """(b, m) what each of `coefficients`, (b, d + 1), says at each of `points`, (m, d)."""
    return np.asarray(coefficients[:, :-1] @ points.T.astype(np.float64) + coefficients[:, -1:], np.float64)
