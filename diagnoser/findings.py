"""Findings: what is known about each phrase in each slice. q-values, verdicts, contrasts and adjustments happen here.

The command line, the Python API and the benchmark all call `find`; it asks the index once for a batch of phrases.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.bridge import DEFAULT, Bridge
from fsearch.diagnoser.choices import Correction
from fsearch.diagnoser.comparison import adjust_failing, contrast_groups
from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.estimate import PERMUTATIONS, Estimates, bank_result, estimate, rivalry_of
from fsearch.diagnoser.lift import interval
from fsearch.diagnoser.observed import q_values
from fsearch.diagnoser.retrieval import Retrieved
from fsearch.diagnoser.rivals import Rivalry
from fsearch.diagnoser.verdict import Verdict, VerdictInputs, decide, minimum_effect


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase to be judged: its text, its group if it has one, and its words that the encoder never saw."""

    text: str
    group: str | None = None
    unknown_words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is known about one phrase in one slice. Losses and lifts are in units of the loss; lifts are differences.

    The fields are the columns of the table `rankings`, where each is described (storage/schema/results.py).
    """

    hypothesis: str
    verdict: Verdict
    expected_loss: float
    baseline: float
    lift: float
    lo: float
    hi: float
    observed_lift: float
    n_effective: float
    p_value: float
    q_value: float
    reason: str
    predicted_lift: float
    percentile: float | None
    share: float
    purity: float
    within: str | None = None
    contrast: float | None = None
    contrast_q: float | None = None
    adjusted_lift: float | None = None
    contrast_p: float | None = None
    contrast_lo: float | None = None
    contrast_hi: float | None = None
    adjusted_lo: float | None = None
    adjusted_hi: float | None = None
    shrinkage: float
    standard_error: float
    conformal: float
    similarity: float
    log_mean_exp: float
    similarity_threshold: float
    log_mean_exp_threshold: float
    calibrated: bool
    shown: float
    margin: float | None
    margin_threshold: float | None
    winners: int | None
    observed_error: float
    min_effect: float
    loss_std: float


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest images of one finding: `image_ids` int64, `similarities` and `losses` float, (top,) each."""

    image_ids: NDArray[np.int64]
    similarities: NDArray[np.float32]
    losses: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Found:
    """A finding with its evidence: nearest images, and (text, overlap) of failing phrases that share its images."""

    finding: Finding
    nearest: Nearest
    shares_with: tuple[tuple[str, float], ...] = ()


def find(
    slices: Mapping[str | None, Diagnosis],
    texts: NDArray[np.float32],
    phrases: Sequence[Phrase],
    *,
    bridge: Bridge = DEFAULT,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    correction: Correction = "bh",
    foreign_images: bool = False,
    top: int = 8,
) -> list[Found]:
    """Findings for each of q `phrases` in each slice, slice by slice; q-values are adjusted over all of them.

    Parameters
    ----------
    texts : (q, d) float32 unit embeddings of the phrases.
    foreign_images : whether the encoder was not made for the images of the index: no answer can then be trusted.
    top : how many nearest images to give with each.
    """
    first = next(iter(slices.values()))
    all_images = first.whole or first
    whole = all_images.retriever.find(texts)
    rivals = rivalry_of(all_images, whole)
    evaluated: list[_Slice] = []
    for within, diagnosis in slices.items():
        retrieved = whole if diagnosis is all_images else diagnosis.retriever.find(texts, whole)
        bank = bank_result(diagnosis, bridge)
        estimates = estimate(diagnosis, retrieved, bank, rivals, bridge=bridge, permutations=permutations, seed=seed)
        evaluated.append(_Slice(within, diagnosis, retrieved, estimates, rivals, bank.conformal))
    q = np.split(q_values(np.concatenate([s.estimates.observed.p_value for s in evaluated]), correction), len(slices))
    found: list[Found] = []
    for part, q_slice in zip(evaluated, q, strict=True):
        findings = [part.finding(i, float(q_slice[i]), p, foreign_images) for i, p in enumerate(phrases)]
        found += part.compared(findings, phrases, permutations, seed, top)
    return _with_contrast_q(found, correction)


@dataclass(frozen=True, slots=True)
class _Slice:
    """All phrases of a batch in one slice, retrieved and estimated."""

    within: str | None
    diagnosis: Diagnosis
    retrieved: Retrieved
    estimates: Estimates
    rivals: Rivalry
    conformal: float

    def finding(self, i: int, q: float, phrase: Phrase, foreign_images: bool) -> Finding:
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
            foreign_images=foreign_images,
            signal=diagnosis.report.signal,
        )
        verdict, reason = decide(inputs)
        thresholds = diagnosis.artifact.reference.in_force
        percentile = self.estimates.percentile[i]
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
            calibrated=thresholds.calibrated,
            shown=inputs.shown,
            margin=float(self.rivals.margin[i]) if np.isfinite(self.rivals.margin[i]) else None,
            margin_threshold=thresholds.margin,
            winners=None if thresholds.margin is None else int(self.rivals.winners[i]),
            observed_error=inputs.observed_error,
            min_effect=inputs.min_effect,
            loss_std=diagnosis.loss_std,
        )

    def compared(
        self, findings: list[Finding], phrases: Sequence[Phrase], permutations: int, seed: int, top: int
    ) -> list[Found]:
        """The findings with contrasts, adjustments and nearest images."""
        diagnosis, lift, presence = self.diagnosis, self.estimates.lift.value, self.estimates.presence
        losses, repeats = diagnosis.losses, diagnosis.groups
        judged = [f.verdict != Verdict.UNSEEN and not d for f, d in zip(findings, presence.doubtful, strict=True)]
        names = [p.group if use else None for p, use in zip(phrases, judged, strict=True)]
        contrasts = contrast_groups(names, self.retrieved, losses, repeats, permutations, seed)
        failing = [i for i, f in enumerate(findings) if f.verdict == Verdict.FAILS]
        adjusted = adjust_failing(failing, lift, self.estimates.observed.lift, self.retrieved, losses, repeats)
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
            found.append(Found(finding, self._nearest(i, top), shares))
        return found

    def _nearest(self, i: int, top: int) -> Nearest:
        near = self.retrieved.neighbours[i, :top]
        return Nearest(
            self.diagnosis.image_ids[near], self.retrieved.similarities[i, :top], self.diagnosis.losses[near]
        )


def _with_contrast_q(found: list[Found], correction: Correction) -> list[Found]:
    """The contrasts' p-values adjusted together: they are questions of their own."""
    p = [f.finding.contrast_p for f in found if f.finding.contrast_p is not None]
    if not p:
        return found
    q = iter(q_values(np.array(p, np.float64), correction))
    return [
        f if f.finding.contrast_p is None else replace(f, finding=replace(f.finding, contrast_q=float(next(q))))
        for f in found
    ]
