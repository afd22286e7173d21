"""Estimates for retrieved phrases, as arrays: lift with its interval, percentile, observed evidence. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.bridge import DEFAULT, Bridge
from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.lift import Lift, combine, half_width, member_variance, residual_lift
from fsearch.diagnoser.observed import Observed, observe
from fsearch.diagnoser.reference_bank import BankResult
from fsearch.diagnoser.retrieval import Retrieved
from fsearch.diagnoser.support import SupportThresholds

Floats = NDArray[np.float64]

PERMUTATIONS = 5000


class Estimates(NamedTuple):
    """What is estimated for q phrases; arrays are (q,) float64.

    Attributes
    ----------
    lift : over the baseline; lo, hi : its 90% interval.
    percentile : of the lift among the reference phrases, 0 to 100.
    observed : real losses of the images that show it against the rest.
    absent, indeterminate : (q,) bool, whether the index holds no image of the phrase, or that cannot be told.
    """

    lift: Lift
    lo: Floats
    hi: Floats
    percentile: Floats
    observed: Observed
    absent: NDArray[np.bool_]
    indeterminate: NDArray[np.bool_]


def estimate(
    diagnosis: Diagnosis,
    retrieved: Retrieved,
    bank: BankResult,
    *,
    bridge: Bridge = DEFAULT,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Estimates:
    """Estimates for the phrases of `retrieved`; `bank` is the reference bank's result through the same bridge."""
    lift = estimate_lift(diagnosis, retrieved, bridge)
    width = half_width(lift.error, diagnosis.report.conformal)
    draws = diagnosis.draws(retrieved.neighbours.shape[1], permutations, seed)
    observed = Observed(
        *_joined(
            observe(part.memberships, part.quality, diagnosis.losses[part.neighbours], diagnosis.losses, draws)
            for part in retrieved.batches()
        )
    )
    return Estimates(
        lift,
        lift.value - width,
        lift.value + width,
        bank.percentile(lift.value),
        observed,
        bank.thresholds.absent(retrieved.support),
        bank.thresholds.is_indeterminate(retrieved.support),
    )


def estimate_lift(diagnosis: Diagnosis, retrieved: Retrieved, bridge: Bridge = DEFAULT) -> Lift:
    """The lift over all images: predicted through `bridge`, corrected by the residuals of the retrieved images."""
    return Lift(*_joined(_lift(diagnosis, part, bridge) for part in retrieved.batches()))


def _lift(diagnosis: Diagnosis, retrieved: Retrieved, bridge: Bridge) -> Lift:
    lifts = bridge.member_lifts(retrieved, diagnosis)
    residual, noise = residual_lift(
        retrieved.memberships,
        diagnosis.residuals[retrieved.neighbours],
        diagnosis.mean_residual,
        diagnosis.report.residual_variance,
    )
    predicted, variance = np.nanmean(lifts, axis=0), member_variance(lifts)
    if not bridge.corrected:
        return combine(predicted, np.zeros_like(noise), noise, variance, diagnosis.loss_std)
    clean = retrieved.quality.against_all
    return combine(predicted * clean, residual * clean, noise * clean**2, variance * clean**2, diagnosis.loss_std)


def bank_result(diagnosis: Diagnosis, bridge: Bridge = DEFAULT) -> BankResult:
    """The lifts of the reference phrases among the images of `diagnosis`, and the support thresholds.

    The result for all images through the default bridge is stored with the fit, and used while the fit is current.
    """
    stored, reference = diagnosis.artifact.bank, diagnosis.artifact.reference
    if stored is not None and diagnosis.whole is None and not diagnosis.stale and bridge is DEFAULT:
        return stored
    if not len(reference.texts):
        return BankResult(np.empty(0), reference.thresholds or SupportThresholds.unknown())
    found = diagnosis.reference
    thresholds = reference.thresholds or SupportThresholds.from_bank(found.support)
    return BankResult(estimate_lift(diagnosis, found, bridge).value, thresholds)


def _joined(parts: Iterable[tuple[Floats, ...]]) -> list[Floats]:
    """The arrays of several batches, one after the other."""
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
