"""A slice: all phrases of a batch, retrieved and estimated among some of the images, and what is found of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.bridge import Bridge
from fsearch.diagnoser.comparison import adjust_failing, contrast_groups
from fsearch.diagnoser.complement import as_asked, interval_of_opposite
from fsearch.diagnoser.diagnosis import MIN_FIT_IMAGES, Diagnosis
from fsearch.diagnoser.estimate import Estimates, bank_result, estimate
from fsearch.diagnoser.exhibits import exhibits
from fsearch.diagnoser.finding import Finding, Found, Phrase
from fsearch.diagnoser.lift import interval
from fsearch.diagnoser.narrowing import narrowed
from fsearch.diagnoser.reference_bank import BankResult
from fsearch.diagnoser.retrieval import Retrieved
from fsearch.diagnoser.rivals import Rivalry
from fsearch.diagnoser.tested import tested
from fsearch.diagnoser.verdict import Verdict, VerdictInputs, decide, minimum_effect

Floats = NDArray[np.float64]

SHOWS_IT = 0.1  # membership from which an image is left out where the question is asked apart from a phrase


@dataclass(frozen=True, slots=True)
class Asking:
    """How a batch is asked, in every slice alike; see `findings.find`."""

    bridge: Bridge
    permutations: int
    seed: int
    foreign_images: bool
    top: int


@dataclass(frozen=True, slots=True)
class Slice:
    """All phrases of a batch in one slice, retrieved and estimated.

    Attributes
    ----------
    within : what the answers call it; None for all images.
    found : what the index gave for what was embedded; `retrieved` : for the phrases, which may be negations of that.
    rivals : how the phrases stand against theirs, among all images.
    conformal : the factor on standard errors that calibration asked for.
    """

    within: str | None
    diagnosis: Diagnosis
    phrases: Sequence[Phrase]
    found: Retrieved
    retrieved: Retrieved
    rivals: Rivalry
    estimates: Estimates
    conformal: float
    asking: Asking

    @classmethod
    def of(
        cls,
        within: str | None,
        diagnosis: Diagnosis,
        phrases: Sequence[Phrase],
        found: Retrieved,
        rivals: Rivalry,
        asking: Asking,
        bank: BankResult | None = None,
    ) -> Slice:
        """The slice of the images of `diagnosis`, for which the index gave `found`; `bank` as of these by default."""
        negated = np.array([p.negates is not None for p in phrases])
        reference = diagnosis.artifact.reference
        retrieved = as_asked(found, phrases, len(diagnosis), reference)
        bank = bank or bank_result(diagnosis, asking.bridge)
        how: dict[str, Any] = {"bridge": asking.bridge, "permutations": asking.permutations, "seed": asking.seed}
        estimates = estimate(diagnosis, retrieved, bank, rivals, negated=negated, **how)
        if negated.any():
            some = np.flatnonzero(negated).tolist()
            asked = found[some]
            positive = estimate(diagnosis, asked, bank, _of(rivals, some), **how)
            lo, hi = interval_of_opposite(positive.lo, positive.hi, asked.quality.prevalence)
            estimates.lo[some] = np.minimum(estimates.lo[some], lo)
            estimates.hi[some] = np.maximum(estimates.hi[some], hi)
        return cls(within, diagnosis, phrases, found, retrieved, rivals, estimates, bank.conformal, asking)

    def apart_from(self, worst: int, asked: list[int]) -> Slice | None:
        """The phrases at the positions `asked`, but for their groups, among images that do not show the `worst` one.

        The index is not asked again, and the calibration is that of this slice. None where too few images are left.
        """
        shows = self.diagnosis.retriever.memberships(self.found, worst)
        shows = shows if self.phrases[worst].negates is None else 1 - shows
        rows = self.diagnosis.retriever.rows[shows < SHOWS_IT]
        if len(rows) < MIN_FIT_IMAGES:
            return None
        rest = (self.diagnosis.whole or self.diagnosis).within(rows)
        reference = self.diagnosis.artifact.reference
        phrases = [replace(self.phrases[i], group=None) for i in asked]
        found = narrowed(self.found[asked], shows < SHOWS_IT, reference.logit_scale, reference.slope)
        none = BankResult(np.empty(0), self.conformal)
        within = f"apart from {self.phrases[worst].text}"
        return Slice.of(within, rest, phrases, found, _of(self.rivals, asked), self.asking, none)

    @property
    def tested(self) -> NDArray[np.bool_]:
        """(q,) whether each phrase may be called failing, whatever the losses are: what may not is no test of them."""
        n_effective, images = self.estimates.observed.n_effective, len(self.diagnosis)
        foreign = self.asking.foreign_images
        return tested(self.phrases, self.estimates.presence, self.retrieved, n_effective, images, foreign)

    def findings(self, q: Floats) -> list[Found]:
        """What is found of each of the phrases, whose q-values are `q`."""
        return self._compared([self._finding(i, float(q[i]), p) for i, p in enumerate(self.phrases)])

    def _finding(self, i: int, q: float, phrase: Phrase) -> Finding:
        """The finding on phrase i, with its verdict."""
        diagnosis, lift, observed = self.diagnosis, self.estimates.lift, self.estimates.observed
        inputs = VerdictInputs(
            predicted_lift=float(lift.predicted[i]),
            lift=float(lift.value[i]),
            lo=float(self.estimates.lo[i]),
            hi=float(self.estimates.hi[i]),
            observed_lift=float(observed.lift[i]),
            observed_error=float(observed.error[i]),
            n_effective=float(observed.n_effective[i]),
            q_value=q,
            min_effect=minimum_effect(diagnosis.losses),
            shown=float(self.retrieved.quality.count[i]),
            absent=bool(self.estimates.presence.absent[i]),
            doubtful=bool(self.estimates.presence.doubtful[i]),
            uncertain=bool(self.estimates.presence.uncertain[i]),
            nearest_fail=bool(self.estimates.nearest_fail[i]),
            unknown_words=phrase.unknown_words,
            negates=phrase.negates,
            left=len(diagnosis) - float(self.retrieved.quality.count[i]),
            foreign_images=self.asking.foreign_images,
            signal=diagnosis.report.signal,
        )
        verdict, reason = decide(inputs)
        thresholds = diagnosis.artifact.reference.in_force
        percentile, centred = self.estimates.percentile[i], self.retrieved.support.centred[i]
        return Finding(
            hypothesis=phrase.text,
            expected_loss=diagnosis.baseline + inputs.lift,
            baseline=diagnosis.baseline,
            lift=inputs.lift,
            lo=inputs.lo,
            hi=inputs.hi,
            observed_lift=inputs.observed_lift,
            n_effective=inputs.n_effective,
            p_value=float(observed.p_value[i]),
            q_value=q,
            verdict=verdict,
            reason=reason,
            predicted_lift=inputs.predicted_lift,
            percentile=float(percentile) if np.isfinite(percentile) else None,
            share=float(self.retrieved.quality.prevalence[i]),
            purity=float(self.retrieved.quality.purity[i]),
            within=self.within,
            shrinkage=float(lift.shrinkage[i]),
            standard_error=float(lift.error[i]),
            conformal=self.conformal,
            similarity=float(self.retrieved.support.similarity[i]),
            log_mean_exp=float(self.retrieved.support.log_mean_exp[i]),
            similarity_threshold=thresholds.similarity,
            log_mean_exp_threshold=thresholds.log_mean_exp,
            centred_similarity=float(centred) if np.isfinite(centred) else None,
            centred_threshold=thresholds.centred,
            calibrated=thresholds.calibrated,
            shown=inputs.shown,
            margin=float(self.rivals.margin[i]) if np.isfinite(self.rivals.margin[i]) else None,
            margin_threshold=thresholds.margin,
            winners=None if thresholds.margin is None else int(self.rivals.winners[i]),
            observed_error=inputs.observed_error,
            nearest_p=None if phrase.negates else float(self.estimates.observed.nearest_p[i]),
            min_effect=inputs.min_effect,
            loss_std=diagnosis.loss_std,
        )

    def _compared(self, findings: list[Finding]) -> list[Found]:
        """The findings with contrasts, adjustments and images."""
        phrases = self.phrases
        diagnosis, lift, presence = self.diagnosis, self.estimates.lift.value, self.estimates.presence
        losses, repeats = diagnosis.losses, diagnosis.groups
        judged = [f.verdict != Verdict.UNSEEN and not d for f, d in zip(findings, presence.doubtful, strict=True)]
        names = [p.group if use else None for p, use in zip(phrases, judged, strict=True)]
        contrasts = contrast_groups(names, self.retrieved, losses, repeats, self.asking.permutations, self.asking.seed)
        failing = [i for i, f in enumerate(findings) if f.verdict == Verdict.FAILS]
        adjusted = adjust_failing(failing, lift, self.estimates.observed.lift, self.retrieved, losses, repeats)
        shown = exhibits(diagnosis, self.retrieved, self.asking.top)
        found = []
        for i, finding in enumerate(findings):
            shares: tuple[tuple[str, float], ...] = ()
            if (contrast := contrasts.get(i)) is not None:
                lo, hi = interval(contrast.difference, contrast.error)
                finding = replace(finding, contrast=contrast.difference, contrast_lo=lo, contrast_hi=hi)
                finding = replace(finding, contrast_p=contrast.p_value)
            if (beside := adjusted.get(i)) is not None:
                by = beside.explained_by
                reason = finding.reason + ("" if by is None else f"; mostly explained by {phrases[by].text!r}")
                finding = replace(finding, adjusted_lift=beside.lift, reason=reason)
                if beside.lift is not None and beside.error is not None:
                    lo, hi = interval(beside.lift, beside.error)
                    finding = replace(finding, adjusted_lo=lo, adjusted_hi=hi)
                shares = tuple((phrases[j].text, overlap) for j, overlap in beside.shares_with)
            found.append(Found(finding, shown[i], shares))
        return found


def _of(rivals: Rivalry, some: list[int]) -> Rivalry:
    """How some of the phrases stand."""
    return Rivalry(rivals.margin[some], rivals.winners[some], rivals.standing[some], rivals.excess[some])
