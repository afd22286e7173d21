"""One word a row that a person can act on, and the rule that gave it. A wrong `fine` is the worst answer there is.

`material` is the lift that matters: 0.2 standard deviations of the loss (Cohen's small effect) or half the mean loss,
whichever is less. A few huge losses widen the first until a doubled loss would hide in it; the second does not.

| verdict | rule, first match wins |
|---|---|
| unseen  | the encoder was not made for these images, or never saw a word of the phrase in training |
| unseen  | no image seems to show the phrase, or fewer than 10 do, or fewer than 10 carry the evidence |
| unclear | the fit is no better than chance: no phrase can be judged by it |
| fails   | q <= 0.10, the ensemble predicts a lift, and interval > 0 with a lift of half of `material` or more |
| suspect | interval > 0 with a lift of half of `material` or more, but q > 0.10 |
| fine    | `material` is above the interval and the observed lift's one-sided 95% bound, and such images are there |
| unclear | anything else: the data cannot tell |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["fails", "suspect", "fine", "unseen", "unclear"]

MIN_IMAGES = 10.0
Q_LEVEL = 0.10
SMALL_EFFECT, SHARE_OF_MEAN = 0.2, 0.5
_ONE_SIDED_95 = 1.645


@dataclass(frozen=True, slots=True)
class Facts:
    """What a verdict is made from, for one phrase; lifts in units of the loss.

    Attributes
    ----------
    predicted_lift : by the ensemble alone.
    lift, lo, hi : corrected by real losses, and its interval.
    observed_lift, observed_error : difference of real losses, and its standard error under permutation.
    material : the lift that matters, from `material_lift`.
    shown : expected number of images that show the phrase.
    absent : whether the index seems to hold no image of the phrase; doubtful : whether that cannot be told.
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
    material: float
    shown: float
    absent: bool = False
    doubtful: bool = False
    unknown_words: tuple[str, ...] = ()
    foreign_images: bool = False
    signal: bool = True


def material_lift(loss_std: float, baseline: float) -> float:
    """The least lift that matters, from the spread of the losses and their mean (which counts where it is positive)."""
    spread = SMALL_EFFECT * loss_std
    return min(spread, SHARE_OF_MEAN * baseline) if baseline > 0 else spread


def judge(facts: Facts) -> tuple[Verdict, str]:
    """The verdict and, in words, the rule that gave it; where the fit has no signal, the words say so."""
    word, reason = _unseen(facts) or _judged(facts)
    return word, reason if facts.signal else f"{reason}; the fit is no better than chance"


def _unseen(facts: Facts) -> tuple[Verdict, str] | None:
    if facts.foreign_images:
        return "unseen", "the encoder was not made for these images"
    if facts.unknown_words:
        words = ", ".join(repr(w) for w in facts.unknown_words)
        return "unseen", f"the encoder never saw {words} in training"
    if facts.absent:
        return "unseen", "no image here seems to show it: the nearest fit no better than images of something else would"
    few = min(facts.n_effective, facts.shown)
    if few < MIN_IMAGES:
        return "unseen", f"only {few:.0f} images like this; the answer would be extrapolation"
    return None


def _judged(facts: Facts) -> tuple[Verdict, str]:
    significant = facts.q_value <= Q_LEVEL and facts.observed_lift > 0
    if not facts.signal:
        shown = f"the observed loss is higher, q = {facts.q_value:.3g}" if significant else "no higher loss is shown"
        return "unclear", shown
    matters = facts.lo > 0 and facts.lift >= facts.material / 2
    if matters and significant and facts.predicted_lift > 0:
        return "fails", f"predicted and observed loss are both higher, q = {facts.q_value:.3g}"
    if matters and not significant:
        return "suspect", f"the lift is above zero, but what was observed is not significant (q = {facts.q_value:.2g})"
    if max(facts.hi, facts.observed_lift + _ONE_SIDED_95 * facts.observed_error) < facts.material:
        if facts.doubtful:
            return (
                "unclear",
                "no higher loss is shown, but perhaps no image shows it: this encoder was never calibrated",
            )
        return "fine", f"a lift of {facts.material:.3g} or more is ruled out"
    if significant and not facts.predicted_lift > 0:
        return "unclear", "observed loss is higher, but the ensemble does not predict it"
    return "unclear", "neither a higher loss that matters nor its absence is shown"
