"""Verdicts: one word a row that a person can act on, and the rule that gave it. A wrong `fine` is the worst answer.

`min_effect` is the smallest lift that matters: 0.2 standard deviations of the loss (Cohen's small effect) or half the
mean loss, whichever is less. A few huge losses widen the first until a doubled loss would hide in it; the second does
not.

| verdict | rule, first match wins |
|---|---|
| unseen  | the encoder was not made for these images, or never saw a word of the phrase in training |
| unseen  | a negation ("no hat") of what no image, or fewer than 5, seem to show: it is true of all |
| unseen  | no image seems to show the phrase and the nearest do not fail; or fewer than 2, or 5 groups, do |
| unclear | lift of half of `min_effect` or more, with interval > 0 or q <= 0.10; but perhaps no image shows it |
| fails   | q <= 0.10, an ensemble better than chance predicts a lift, interval > 0, lift of `min_effect` or more |
| suspect | lift of half of `min_effect` or more, with interval > 0 or q <= 0.10 |
| suspect | the 12 nearest images lose significantly more (q <= 0.10), and the interval reaches `min_effect` |
| fine    | `min_effect` is above the interval and the observed lift's one-sided 99% bound; 10 images surely show it |
| unclear | anything else: the data cannot tell |
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

MIN_SUPPORT = 10.0  # images that show the phrase: with fewer, images like it are judged with them
MIN_EVIDENCE = 5.0  # groups of images that carry the evidence
MIN_SHOWN = 2.0  # images that show the phrase
Q_LEVEL = 0.10
SMALL_EFFECT, SHARE_OF_MEAN = 0.2, 0.5
_ONE_SIDED_99 = 2.326  # one true failure of a hundred may be called fine


class Verdict(StrEnum):
    """The word of a finding; compares and prints as that word."""

    FAILS = "fails"
    SUSPECT = "suspect"
    FINE = "fine"
    UNSEEN = "unseen"
    UNCLEAR = "unclear"

    @property
    def style(self) -> str:
        """Its colour on a terminal, as rich names it."""
        return _STYLES[self]


_STYLES = {
    Verdict.FAILS: "bold red",
    Verdict.SUSPECT: "yellow",
    Verdict.FINE: "green",
    Verdict.UNSEEN: "magenta",
    Verdict.UNCLEAR: "dim",
}


@dataclass(frozen=True, slots=True)
class VerdictInputs:
    """What a verdict is decided from, for one phrase; lifts in units of the loss.

    Attributes
    ----------
    predicted_lift : by the ensemble alone.
    lift, lo, hi : corrected by real losses, and its interval.
    observed_lift, observed_error : difference of real losses, and its standard error under permutation.
    min_effect : the smallest lift that matters, from `minimum_effect`.
    shown : expected number of images that show the phrase.
    absent : whether the index seems to hold no image of the phrase.
    doubtful, uncertain : whether it perhaps holds none, so that the phrase is not called failing, or not fine.
    nearest_fail : whether the nearest few images lose significantly more than the rest.
    negates : the positive phrase, where this one is its negation: `absent` and the doubts are then of the positive.
    left : expected number of images that do not show the phrase.
    signal : whether the fit is better than chance.
    """

    predicted_lift: float
    lift: float
    lo: float
    hi: float
    observed_lift: float
    observed_error: float
    n_effective: float
    q_value: float
    min_effect: float
    shown: float
    absent: bool = False
    doubtful: bool = False
    uncertain: bool = False
    nearest_fail: bool = False
    unknown_words: tuple[str, ...] = ()
    foreign_images: bool = False
    negates: str | None = None
    left: float = float("inf")
    signal: bool = True


def minimum_effect(losses: NDArray[np.float64]) -> float:
    """The smallest lift that matters, from the spread of the losses, and their mean where none is negative."""
    spread, mean = SMALL_EFFECT * float(losses.std()), float(losses.mean())
    return min(spread, SHARE_OF_MEAN * mean) if losses.min() >= 0 < mean else spread


def decide(inputs: VerdictInputs) -> tuple[Verdict, str]:
    """The verdict and, in words, the rule that gave it; where the fit has no signal, the words say so."""
    verdict, reason = _unseen(inputs) or _judged(inputs)
    if inputs.shown < MIN_SUPPORT and verdict != Verdict.UNSEEN:
        reason += f"; about {inputs.shown:.0f} images show it, so images like it are judged with them"
    if inputs.negates is not None and verdict != Verdict.UNSEEN:
        reason += f"; read as all but {inputs.negates!r}"
    return verdict, reason if inputs.signal else f"{reason}; the fit is no better than chance"


def _unseen(inputs: VerdictInputs) -> tuple[Verdict, str] | None:
    if inputs.foreign_images:
        return Verdict.UNSEEN, "the encoder was not made for these images"
    if inputs.unknown_words:
        words = ", ".join(repr(w) for w in inputs.unknown_words)
        return Verdict.UNSEEN, f"the encoder never saw {words} in training"
    if inputs.negates is not None and (inputs.absent or inputs.left < MIN_EVIDENCE):
        none = "no image" if inputs.absent else f"only about {inputs.left:.0f} images"
        reason = f"{none} here seem{'s' if inputs.absent else ''} to show {inputs.negates!r}"
        return Verdict.UNSEEN, f"{reason}, so that there is nothing to compare those without it with"
    if inputs.absent and not _higher_loss(inputs):
        reason = "no image here seems to show it: the nearest fit no better than images of something else would"
        return Verdict.UNSEEN, reason
    if inputs.shown < MIN_SHOWN:
        return Verdict.UNSEEN, f"about {inputs.shown:.1f} images here show it; the answer would be extrapolation"
    if inputs.n_effective < MIN_EVIDENCE:
        return Verdict.UNSEEN, f"only {inputs.n_effective:.0f} images like this; the answer would be extrapolation"
    return None


def _significant(inputs: VerdictInputs) -> bool:
    return inputs.q_value <= Q_LEVEL and inputs.observed_lift > 0


def _higher_loss(inputs: VerdictInputs) -> bool:
    """Whether the nearest images seem to fail, whatever they show: such a phrase is not hidden among the unseen."""
    return _significant(inputs) or inputs.lo > 0 or inputs.nearest_fail


def _judged(inputs: VerdictInputs) -> tuple[Verdict, str]:
    matters = inputs.lift >= inputs.min_effect / 2
    if matters and (inputs.lo > 0 or _significant(inputs)):
        return _higher(inputs)
    if inputs.nearest_fail and inputs.hi >= inputs.min_effect:
        return _nearest_fail(inputs)
    if inputs.hi < inputs.min_effect:
        return _ruled_out(inputs)
    return Verdict.UNCLEAR, "neither a higher loss that matters nor its absence is shown"


def _ruled_out(inputs: VerdictInputs) -> tuple[Verdict, str]:
    """The verdict on a phrase whose interval lies below what matters: fine, if nothing speaks against it."""
    said, matters = "no higher loss is shown", f"a lift of {inputs.min_effect:.3g} or more"
    if inputs.observed_lift + _ONE_SIDED_99 * inputs.observed_error >= inputs.min_effect:
        return Verdict.UNCLEAR, f"{said}, but the losses observed do not surely rule out {matters}"
    if not inputs.signal:
        return Verdict.UNCLEAR, said
    if inputs.uncertain:
        return Verdict.UNCLEAR, f"{said}, but perhaps no image shows it"
    if inputs.shown < MIN_SUPPORT:
        return Verdict.UNCLEAR, f"{said}, but on images like it"
    return Verdict.FINE, f"{matters} is ruled out"


def _nearest_fail(inputs: VerdictInputs) -> tuple[Verdict, str]:
    said = "the 12 nearest images lose significantly more"
    if inputs.doubtful or inputs.absent:
        return Verdict.UNCLEAR, f"{said}, but perhaps none of them shows it"
    return Verdict.SUSPECT, f"{said}, though not all images that may show it"


def _higher(inputs: VerdictInputs) -> tuple[Verdict, str]:
    """The verdict on a phrase with a lift that may matter, above zero or significantly observed."""
    q = f"q = {inputs.q_value:.3g}"
    if inputs.doubtful or inputs.absent:
        return Verdict.UNCLEAR, f"the loss of the nearest images is higher ({q}), but perhaps none of them shows it"
    if not _significant(inputs):
        return Verdict.SUSPECT, f"the lift is above zero, but what was observed is not significant ({q})"
    if not (inputs.signal and inputs.predicted_lift > 0):
        return Verdict.SUSPECT, f"the observed loss is higher ({q}), but the ensemble does not predict it"
    if inputs.lo <= 0 or inputs.lift < inputs.min_effect:
        return Verdict.SUSPECT, f"the observed loss is higher ({q}), but the lift may be too small to matter"
    return Verdict.FAILS, f"predicted and observed loss are both higher, {q}"
