"""One word a row that a person can act on, and the rule that gave it. A wrong `fine` is the worst answer there is.

| verdict | rule, first match wins |
|---|---|
| unseen  | the encoder was not made for these images or never saw a word, or fewer than 10 images carry the evidence |
| unclear | the fit is no better than chance: no phrase can be judged by it |
| fails   | the observed lift is significant (q <= 0.10), and predicted and observed lift are both positive |
| suspect | the whole interval of the predicted lift is above zero, but the observed lift is not significant |
| fine    | a lift of 0.2 standard deviations of the loss (Cohen's small effect) is ruled out, predicted and observed |
| unclear | anything else: the data cannot tell |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["fails", "suspect", "fine", "unseen", "unclear"]

MIN_EFFECTIVE = 10.0
Q_LEVEL = 0.10
SMALL_EFFECT = 0.2
_ONE_SIDED_95 = 1.645


@dataclass(frozen=True, slots=True)
class Facts:
    """What a verdict is made from, for one phrase; lifts and `loss_std` in units of the loss."""

    lift: float
    lo: float
    hi: float
    observed_lift: float
    observed_error: float
    n_effective: float
    q_value: float
    loss_std: float
    unknown_words: tuple[str, ...] = ()
    foreign_images: bool = False
    signal: bool = True


def judge(facts: Facts) -> tuple[Verdict, str]:
    """The verdict and, in words, the rule that gave it; where the fit has no signal, the words say so."""
    word, reason = _first_match(facts)
    return word, reason if facts.signal else f"{reason}; the fit is no better than chance"


def _first_match(facts: Facts) -> tuple[Verdict, str]:
    if facts.foreign_images:
        return "unseen", "the encoder was not made for these images"
    if facts.unknown_words:
        words = ", ".join(repr(w) for w in facts.unknown_words)
        return "unseen", f"the encoder never saw {words} in training"
    if facts.n_effective < MIN_EFFECTIVE:
        return "unseen", f"only {facts.n_effective:.0f} images like this; the answer would be extrapolation"
    significant = facts.q_value <= Q_LEVEL and facts.observed_lift > 0
    if not facts.signal:
        shown = f"the observed loss is higher, q = {facts.q_value:.3g}" if significant else "no higher loss is shown"
        return "unclear", shown
    if significant and facts.lift > 0:
        return "fails", f"predicted and observed loss are both higher, q = {facts.q_value:.3g}"
    if facts.lo > 0:
        return "suspect", f"predicted loss is higher, the observed lift not significant (q = {facts.q_value:.2g})"
    small = SMALL_EFFECT * facts.loss_std
    if max(facts.hi, facts.observed_lift + _ONE_SIDED_95 * facts.observed_error) < small:
        return "fine", f"a lift above {small:.3g} is ruled out"
    if significant:
        return "unclear", "observed loss is higher, but the ensemble does not predict it"
    return "unclear", "neither a higher loss nor its absence is shown"
