"""Verdicts: one word a row that a person can act on, and the rule that gave it. A wrong `fine` is the worst answer.

`min_effect` is the smallest lift that matters: 0.2 standard deviations of the loss (Cohen's small effect) or half the
mean loss, whichever is less. A few huge losses widen the first until a doubled loss would hide in it; the second does
not.

| verdict | rule, first match wins |
|---|---|
| unseen  | the encoder was not made for these images, or never saw a word of the phrase in training |
| unseen  | no image seems to show the phrase, or fewer than 10 do, or fewer than 10 carry the evidence |
| unclear | the fit is no better than chance: no phrase can be judged by it |
| fails   | q <= 0.10, the ensemble predicts a lift, and interval > 0 with a lift of half of `min_effect` or more |
| suspect | interval > 0 with a lift of half of `min_effect` or more, but q > 0.10 |
| fine    | `min_effect` is above the interval and the observed lift's one-sided 95% bound, and such images are there |
| unclear | anything else: the data cannot tell |
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MIN_SUPPORT = 10.0  # images
Q_LEVEL = 0.10
SMALL_EFFECT, SHARE_OF_MEAN = 0.2, 0.5
_ONE_SIDED_95 = 1.645


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
    absent : whether the index seems to hold no image of the phrase; indeterminate : whether that cannot be told.
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
    indeterminate: bool = False
    unknown_words: tuple[str, ...] = ()
    foreign_images: bool = False
    signal: bool = True


def minimum_effect(loss_std: float, baseline: float) -> float:
    """The smallest lift that matters, from the spread of the losses and their mean (which counts where positive)."""
    spread = SMALL_EFFECT * loss_std
    return min(spread, SHARE_OF_MEAN * baseline) if baseline > 0 else spread


def decide(inputs: VerdictInputs) -> tuple[Verdict, str]:
    """The verdict and, in words, the rule that gave it; where the fit has no signal, the words say so."""
    verdict, reason = _unseen(inputs) or _judged(inputs)
    return verdict, reason if inputs.signal else f"{reason}; the fit is no better than chance"


def _unseen(inputs: VerdictInputs) -> tuple[Verdict, str] | None:
    if inputs.foreign_images:
        return Verdict.UNSEEN, "the encoder was not made for these images"
    if inputs.unknown_words:
        words = ", ".join(repr(w) for w in inputs.unknown_words)
        return Verdict.UNSEEN, f"the encoder never saw {words} in training"
    if inputs.absent:
        reason = "no image here seems to show it: the nearest fit no better than images of something else would"
        return Verdict.UNSEEN, reason
    few = min(inputs.n_effective, inputs.shown)
    if few < MIN_SUPPORT:
        return Verdict.UNSEEN, f"only {few:.0f} images like this; the answer would be extrapolation"
    return None


def _judged(inputs: VerdictInputs) -> tuple[Verdict, str]:
    significant = inputs.q_value <= Q_LEVEL and inputs.observed_lift > 0
    if not inputs.signal:
        shown = f"the observed loss is higher, q = {inputs.q_value:.3g}" if significant else "no higher loss is shown"
        return Verdict.UNCLEAR, shown
    matters = inputs.lo > 0 and inputs.lift >= inputs.min_effect / 2
    if matters and significant and inputs.predicted_lift > 0:
        return Verdict.FAILS, f"predicted and observed loss are both higher, q = {inputs.q_value:.3g}"
    if matters and not significant:
        reason = f"the lift is above zero, but what was observed is not significant (q = {inputs.q_value:.2g})"
        return Verdict.SUSPECT, reason
    if max(inputs.hi, inputs.observed_lift + _ONE_SIDED_95 * inputs.observed_error) < inputs.min_effect:
        if inputs.indeterminate:
            return (
                Verdict.UNCLEAR,
                "no higher loss is shown, but perhaps no image shows it: this encoder was never calibrated",
            )
        return Verdict.FINE, f"a lift of {inputs.min_effect:.3g} or more is ruled out"
    if significant and not inputs.predicted_lift > 0:
        return Verdict.UNCLEAR, "observed loss is higher, but the ensemble does not predict it"
    return Verdict.UNCLEAR, "neither a higher loss that matters nor its absence is shown"
