"""Estimates for retrieved phrases, as arrays: lift with its interval, percentile, observed evidence. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.bridge import DEFAULT, Bridge
from fsearch.diagnoser.calibration import half_errors
from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.discoveries import q_values
from fsearch.diagnoser.evidence import Design, group_means
from fsearch.diagnoser.lift import Lift, combine, conformal_quantile, half_width, member_variance
from fsearch.diagnoser.observed import Observed, observe
from fsearch.diagnoser.reference_bank import BankResult
from fsearch.diagnoser.retrieval import Retrieved
from fsearch.diagnoser.rivals import Rivalry, rivalry
from fsearch.diagnoser.support import Presence
from fsearch.diagnoser.verdict import Q_LEVEL

Floats = NDArray[np.float64]

PERMUTATIONS = 2000


class Estimates(NamedTuple):
    """What is estimated for q phrases; arrays are (q,) float64.

    Attributes
    ----------
    lift : over the baseline; lo, hi : its 90% interval.
    percentile : of the lift among the reference phrases, 0 to 100.
    observed : real losses of the images that show it against the rest.
    presence : whether the index holds images of the phrase.
    nearest_fail : bool, whether the nearest few images lose significantly more; where their own interval lies above
        that of the lift, `hi` is their mean.
    """

    lift: Lift
    lo: Floats
    hi: Floats
    percentile: Floats
    observed: Observed
    presence: Presence
    nearest_fail: NDArray[np.bool_]


def estimate(
    diagnosis: Diagnosis,
    retrieved: Retrieved,
    bank: BankResult,
    rivals: Rivalry,
    *,
    bridge: Bridge = DEFAULT,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    negated: NDArray[np.bool_] | None = None,
) -> Estimates:
    """Estimates for the phrases of `retrieved`; `bank` is the reference bank's result through the same bridge.

    `rivals` is from `rivalry_of`. The nearest few images of phrases that are `negated`, (q,), show nothing they share.
    """
    draws = diagnosis.draws(retrieved.neighbours.shape[1], permutations, seed)
    lifts, seen = [], []
    for part in retrieved.batches():
        design = Design(part, diagnosis.groups)
        lifts.append(_lift(diagnosis, part, design, bridge))
        seen.append(observe(part, design, diagnosis.losses, diagnosis.groups, draws))
    lift = Lift(*_joined(lifts))
    width = half_width(lift.error, bank.conformal)
    far = diagnosis.scale.dilution * lift.value
    observed = Observed(*_joined(seen))
    alike = np.ones(len(retrieved), bool) if negated is None else ~negated
    nearest_fail = alike & (q_values(np.where(alike, observed.nearest_p, 1.0)) <= Q_LEVEL)
    least = observed.nearest_lift - half_width(observed.nearest_error, 0.0)
    hi = lift.value + width + np.maximum(far, 0.0)  # what is found wrongly draws a lift towards zero, never away
    contradicted = nearest_fail & (least > hi)
    return Estimates(
        lift,
        lift.value - width + np.minimum(far, 0.0),
        np.where(contradicted, observed.nearest_lift, hi),
        bank.percentile(lift.value),
        observed,
        diagnosis.artifact.reference.in_force.presence(retrieved.support, *rivals),
        nearest_fail,
    )


def rivalry_of(diagnosis: Diagnosis, retrieved: Retrieved) -> Rivalry:
    """How the phrases stand against their rivals, among all images: whether there are any is no question to a slice."""
    reference = diagnosis.artifact.reference
    common = diagnosis.background
    return rivalry(retrieved, diagnosis.retriever, reference.rivals, reference.logit_scale, common)


def estimate_lift(diagnosis: Diagnosis, retrieved: Retrieved, bridge: Bridge = DEFAULT) -> Lift:
    """The lift over all images: predicted through `bridge`, corrected by the residuals of the retrieved images."""
    parts = retrieved.batches()
    return Lift(*_joined([_lift(diagnosis, part, Design(part, diagnosis.groups), bridge) for part in parts]))


def _lift(diagnosis: Diagnosis, retrieved: Retrieved, design: Design, bridge: Bridge) -> Lift:
    lifts = bridge.member_lifts(retrieved, diagnosis)
    predicted, variance = np.nanmean(lifts, axis=0), member_variance(lifts)
    if not bridge.corrected:
        none = np.zeros_like(predicted)
        return Lift(predicted, predicted, np.sqrt(variance), none)
    residuals = diagnosis.residuals - diagnosis.mean_residual
    slope = design.slope(residuals[retrieved.neighbours], group_means(residuals, diagnosis.groups))
    clean = retrieved.quality.against_all
    return combine(
        predicted * clean, variance * clean**2, slope, retrieved.quality, design.n_effective, diagnosis.scale
    )


def bank_result(diagnosis: Diagnosis, bridge: Bridge = DEFAULT) -> BankResult:
    """The lifts of the reference phrases among the images of `diagnosis`, and the support thresholds.

    The result for all images through the default bridge is stored with the fit, and used while the fit is current.
    """
    stored, reference = diagnosis.artifact.bank, diagnosis.artifact.reference
    if stored is not None and diagnosis.whole is None and not diagnosis.stale and bridge is DEFAULT:
        return stored
    if not len(reference.texts):
        return BankResult(np.empty(0), 0.0, reference.calibration)
    found = diagnosis.reference
    errors = half_errors(found, diagnosis.residuals - diagnosis.mean_residual, diagnosis.groups)
    lifts = estimate_lift(diagnosis, found, bridge).value
    return BankResult(lifts, conformal_quantile(errors), reference.calibration)


def _joined(parts: Iterable[tuple[Floats, ...]]) -> list[Floats]:
    """The arrays of several batches, one after the other."""
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
