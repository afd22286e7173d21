"""How far off a predicted lift may be: conformal calibration on neighbourhoods of images, with out-of-bag predictions.

A phrase's prediction is an average over a neighbourhood, so the calibration asks it of neighbourhoods whose truth is
at hand: take an image as the query, leave it out, predict the lift of its neighbours, compare with their real losses.
The 90% quantile of the scaled error (split conformal, Lei et al., JASA 2018) widens the ensemble's own spread.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LEVEL = 0.90


def member_lifts(weights: Floats, members: NDArray[np.float32], out_of_bag: NDArray[np.bool_], base: Floats) -> Floats:
    """(b, q) lift that each member predicts for each phrase from neighbours it did not train on.

    Parameters
    ----------
    weights : (q, k).
    members : (b, q, k) predictions for the neighbours.
    out_of_bag : (b, q, k); a member that trained on every neighbour has no say, and its lift is NaN. Where that holds
        of every member (one image carries all the weight), all of them speak after all.
    base : (b,) mean out-of-bag prediction of each member over all images.
    """
    free = weights[None] * out_of_bag
    total = free.sum(axis=2)
    means = np.divide((free * members).sum(axis=2), total, out=np.full(total.shape, np.nan), where=total > 1e-12)
    speechless = np.isnan(means).all(axis=0)
    if speechless.any():
        means[:, speechless] = (weights[None] * members).sum(axis=2)[:, speechless]
    return means - base[:, None]  # type: ignore[no-any-return]


def scale(lifts: Floats, residual_variance: float, n_effective: Floats) -> Floats:
    """(q,) one standard error of a predicted lift: spread of the members, (b, q), and noise of finitely many images."""
    members = np.maximum(np.isfinite(lifts).sum(axis=0), 1)
    spread = np.nanvar(lifts, axis=0) / members
    return np.sqrt(spread + residual_variance / n_effective)  # type: ignore[no-any-return]


def conformal_quantile(errors: Floats, level: float = LEVEL) -> float:
    """The factor on `scale` that covers `level` of the scaled `errors`, (m,), with the finite-sample correction."""
    rank = int(np.ceil((len(errors) + 1) * level))
    if rank > len(errors):
        return float(np.max(np.abs(errors)))
    return float(np.sort(np.abs(errors))[rank - 1])
