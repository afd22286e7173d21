"""The lift of a phrase and how far off it may be: what the ensemble predicts, corrected by what was observed.

The ensemble's prediction varies little but is drawn towards the mean; the real losses are right on average but vary.
Their residuals on the images found are therefore added to the prediction, shrunk by how uncertain they are (empirical
Bayes: Efron and Morris, JASA 1973). With few images the answer leans on the ensemble, with many on the losses.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.observed import n_effective, normalised

Floats = NDArray[np.float64]

LEVEL = 0.90
_Z = 1.6448536269514722  # of a normal distribution, two-sided LEVEL

# How far the ensemble may be off on the images of a phrase: this share of the losses' standard deviation, and this
# share of what it predicts, whichever way it errs. Set on development seeds of benchmarks/planted.
PRIOR_SPREAD, PRIOR_SHARE = 0.10, 0.50
MEMBERSHIP_ERROR = 0.25  # of the lift: memberships are chances, and the encoder is wrong about some of them


class Lift(NamedTuple):
    """Lifts over the mean of all images, in units of the loss; every array is (q,) float64.

    Attributes
    ----------
    predicted : by the ensemble alone.
    value, error : prediction corrected by the shrunk residuals, and its standard error.
    shrinkage : weight of the residual in the correction, 0 to 1.
    """

    predicted: Floats
    value: Floats
    error: Floats
    shrinkage: Floats


def combine(predicted: Floats, residual: Floats, residual_variance: Floats, variance: Floats, loss_std: float) -> Lift:
    """Correct `predicted` lifts by `residual`, real less predicted; all (q,), variances in squared units of the loss.

    `variance` is the variance of the predicted lift over bootstrap members: its own sampling variance.
    """
    prior = (PRIOR_SPREAD * loss_std) ** 2 + (PRIOR_SHARE * predicted) ** 2
    shrinkage = prior / (prior + residual_variance)
    value = predicted + shrinkage * residual
    total = shrinkage * residual_variance + (1 - shrinkage) ** 2 * variance + (MEMBERSHIP_ERROR * value) ** 2
    return Lift(predicted, value, np.sqrt(total), shrinkage)


def member_lifts(weights: Floats, members: NDArray[np.float32], out_of_bag: NDArray[np.bool_], base: Floats) -> Floats:
    """(b, q) lift that each member predicts for each phrase from neighbours it did not train on.

    Parameters
    ----------
    weights : (q, k), rows sum to one.
    members : (b, q, k) predictions for the neighbours.
    out_of_bag : (b, q, k). Members with no out-of-bag neighbour are NaN; if every member is (one image carries all the
        weight), fall back to in-bag predictions.
    base : (b,) mean out-of-bag prediction of each member over all images.
    """
    free = weights[None] * out_of_bag
    total = free.sum(axis=2)
    means = np.divide((free * members).sum(axis=2), total, out=np.full(total.shape, np.nan), where=total > 1e-12)
    no_oob = np.isnan(means).all(axis=0)
    if no_oob.any():
        means[:, no_oob] = (weights[None] * members).sum(axis=2)[:, no_oob]
    return means - base[:, None]  # type: ignore[no-any-return]


def member_variance(lifts: Floats) -> Floats:
    """(q,) sample variance of `lifts`, (b, q), over the members that are not NaN; 0 where only one is not."""
    n_members = np.isfinite(lifts).sum(axis=0)
    return np.where(n_members > 1, np.nanvar(lifts, axis=0) * n_members / np.maximum(n_members - 1, 1), 0.0)


def residual_lift(memberships: Floats, residuals: Floats, mean: float, variance: float) -> tuple[Floats, Floats]:
    """Mean residual of the images found less `mean`, that of all images, and the variance of it; both (q,).

    `residuals`, (q, k), are real less predicted losses of the neighbours; `variance` is that of all residuals. The
    variance of a mean uses the neighbours' own and the overall one, half each: few neighbours tell little about theirs.
    """
    weights = normalised(memberships)
    found = (weights * residuals).sum(axis=1)
    own = ((weights * residuals**2).sum(axis=1) - found**2).clip(min=0)
    return found - mean, (own + variance) / 2 / n_effective(weights)


def conformal_quantile(errors: Floats, level: float = LEVEL) -> float:
    """The factor that covers `level` of the scaled `errors`, (m,): split conformal (Lei et al., JASA 2018)."""
    rank = int(np.ceil((len(errors) + 1) * level))
    if rank > len(errors):
        return float(np.max(np.abs(errors)))
    return float(np.sort(np.abs(errors))[rank - 1])


def half_width(error: Floats, conformal: float) -> Floats:
    """Half of the interval: a normal quantile of `error`, (q,), never narrower than the calibration found needed."""
    return error * max(_Z, conformal)
