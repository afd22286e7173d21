"""The lift of a phrase and how far off it may be: what the ensemble predicts, corrected by what was observed.

The ensemble's prediction varies little but is drawn towards the mean; the real losses are right on average but vary.
Their residuals on the images found are therefore added to the prediction, shrunk by how uncertain they are (empirical
Bayes: Efron and Morris, JASA 1973). With few images the answer leans on the ensemble, with many on the losses.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.evidence import Slope
from fsearch.diagnoser.retrieval_quality import RetrievalQuality

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

LEVEL = 0.90
Z = 1.6448536269514722  # of a normal distribution, two-sided LEVEL

# How far the ensemble may be off on the images of a phrase: this share of the losses' standard deviation, and this
# share of what it predicts, whichever way it errs. Set on development seeds of benchmarks/planted.
PRIOR_SPREAD, PRIOR_SHARE = 1.0, 0.50
# Memberships are chances, and the encoder is wrong about some of them: by this share of the lift, and where images of
# something else are among those found, by this share of the spread of losses between kinds of image.
MEMBERSHIP_ERROR, CONTAMINATION = 0.25, 0.5
_LEAST_CLEAN = 0.05


class Scale(NamedTuple):
    """Units of a diagnosis: standard deviation of the losses, and of mean losses between kinds of image.

    `membership_error` is how far lifts are off because memberships are chances, as a share of the lift; `dilution` how
    much larger than it seems a lift may be because images of something else are among those found; `trust` how much of
    the purity that memberships claim is believed. The last two are those of a weak encoder (reference_bank.py).
    """

    loss_std: float
    between: float
    membership_error: float = MEMBERSHIP_ERROR
    dilution: float = MEMBERSHIP_ERROR
    trust: float = 1.0


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


def combine(
    predicted: Floats, variance: Floats, residual: Slope, quality: RetrievalQuality, n_effective: Floats, scale: Scale
) -> Lift:
    """Correct `predicted` lifts, (q,), by the lifts of the residuals, real less predicted.

    Parameters
    ----------
    variance : (q,) variance of the predicted lift over bootstrap members: its own sampling variance.
    residual : slope of the residuals on membership, with its variance.
    n_effective : (q,) groups that carry the evidence; few make the interval wider (Student's t).
    """
    share = 1 - quality.prevalence
    noise = residual.variance * share**2 * small_sample(n_effective) ** 2
    prior = (PRIOR_SPREAD * scale.loss_std) ** 2 + (PRIOR_SHARE * predicted) ** 2
    shrinkage = prior / (prior + noise)
    value = predicted + shrinkage * residual.value * share
    doubt = (scale.membership_error * value) ** 2 + contamination(quality, scale) ** 2
    total = shrinkage * noise + (1 - shrinkage) ** 2 * variance + doubt
    return Lift(predicted, value, np.sqrt(total), shrinkage)


def contamination(quality: RetrievalQuality, scale: Scale) -> Floats:
    """(q,) how far a mean is off because images of something else, otherwise hard, are among those found."""
    apart = scale.trust * (quality.purity - quality.prevalence)
    mixed = (1 - quality.prevalence) * (1 - quality.prevalence - apart)
    return np.asarray(CONTAMINATION * scale.between * (mixed / np.maximum(apart, _LEAST_CLEAN)), np.float64)


def small_sample(n: Floats) -> Floats:
    """(q,) factor from a normal to Student's quantile with n - 1 degrees of freedom, at `LEVEL`."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(np.maximum(n - 1, 2.0), (1 + LEVEL) / 2) / Z)


def member_lifts(
    weights: Floats, neighbours: Rows, members: NDArray[np.float32], out_of_bag: NDArray[np.bool_], base: Floats
) -> Floats:
    """(b, q) lift that each member predicts for each phrase from neighbours it did not train on.

    Parameters
    ----------
    weights, neighbours : (q, k), rows of `weights` sum to one.
    members, out_of_bag : (b, n) predictions for all images. Members with no out-of-bag neighbour are NaN; if every
        member is (one image carries all the weight), fall back to in-bag predictions.
    base : (b,) mean out-of-bag prediction of each member over all images.
    """
    means = np.full((len(members), len(weights)), np.nan)
    for mean, predicted, free in zip(means, members, out_of_bag, strict=True):
        used = weights * free[neighbours]
        total = used.sum(axis=1)
        np.divide((used * predicted[neighbours]).sum(axis=1), total, out=mean, where=total > 1e-12)
    no_oob = np.flatnonzero(np.isnan(means).all(axis=0))
    means[:, no_oob] = (weights[no_oob] * members[:, neighbours[no_oob]]).sum(axis=2)
    return np.asarray(means - base[:, None])


def member_variance(lifts: Floats) -> Floats:
    """(q,) sample variance of `lifts`, (b, q), over the members that are not NaN; 0 where only one is not."""
    n_members = np.isfinite(lifts).sum(axis=0)
    return np.where(n_members > 1, np.nanvar(lifts, axis=0) * n_members / np.maximum(n_members - 1, 1), 0.0)


def conformal_quantile(errors: Floats, level: float = LEVEL) -> float:
    """The factor that covers `level` of the scaled `errors`, (m,): split conformal (Lei et al., JASA 2018)."""
    if not len(errors):
        return 0.0
    rank = int(np.ceil((len(errors) + 1) * level))
    if rank > len(errors):
        return float(np.max(np.abs(errors)))
    return float(np.sort(np.abs(errors))[rank - 1])


def half_width(error: Floats, conformal: float) -> Floats:
    """Half of the interval: a normal quantile of `error`, (q,), never narrower than the calibration found needed."""
    return error * max(Z, conformal)


def interval(value: float, error: float) -> tuple[float, float]:
    """The interval of a difference that no membership error is added to, from its standard error."""
    width = float(half_width(np.array(error), 0.0))
    return value - width, value + width
