"""Verdicts on a change: one word that a release can be stopped by. A wrong `same` is the worst answer.

The smallest change that matters is that of a lift: 0.2 standard deviations of the losses before, or half their mean.

| verdict | rule, first match wins |
|---|---|
| unseen  | the encoder was not made for these images, or never saw a word of the phrase in training |
| unseen  | a negation ("no hat") of what no image, or fewer than 5, seem to show: it is of all |
| unseen  | no image seems to show it and the nearest did not change; or fewer than 2 pairs, or 5 groups of them, do |
| unclear | the change, or its interval, is no number |
| unclear | the loss changed, but perhaps no image shows the phrase |
| worse   | q <= 0.10, interval above zero, a rise of half of what matters or more |
| unclear | more than a tenth of the images that show it lack one of the losses: these may be what got worse |
| better  | q <= 0.10, interval below zero, a fall of half of what matters or more |
| same    | the interval lies within what matters, either way; 10 such images are there, and surely |
| unclear | anything else: the data cannot tell |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from fsearch.diagnoser.verdict import MIN_EVIDENCE, MIN_SHOWN, MIN_SUPPORT, Q_LEVEL

MIN_PAIRED = 0.9  # of the images that show a phrase, to have a loss of both models


class ChangeVerdict(StrEnum):
    """The word of a change; compares and prints as that word."""

    WORSE = "worse"
    BETTER = "better"
    SAME = "same"
    UNSEEN = "unseen"
    UNCLEAR = "unclear"

    @property
    def style(self) -> str:
        """Its colour on a terminal, as rich names it."""
        return _STYLES[self]


_STYLES = {
    ChangeVerdict.WORSE: "bold red",
    ChangeVerdict.BETTER: "green",
    ChangeVerdict.SAME: "blue",
    ChangeVerdict.UNSEEN: "magenta",
    ChangeVerdict.UNCLEAR: "dim",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeInputs:
    """What a verdict on a change is decided from, for one phrase; changes in units of the loss.

    Attributes
    ----------
    change, lo, hi : of the mean loss on images that show it, and its 90% interval.
    shown : expected number of pairs that show it; paired : their share of the images with a loss of either model.
    absent, doubtful, uncertain, negates, left : see VerdictInputs.
    """

    change: float
    lo: float
    hi: float
    q_value: float
    min_effect: float
    n_effective: float
    shown: float
    paired: float = 1.0
    absent: bool = False
    doubtful: bool = False
    uncertain: bool = False
    unknown_words: tuple[str, ...] = ()
    negates: str | None = None
    left: float = float("inf")
    foreign_images: bool = False


def decide_change(inputs: ChangeInputs) -> tuple[ChangeVerdict, str]:
    """The verdict and, in words, the rule that gave it."""
    verdict, reason = _unseen(inputs) or _judged(inputs)
    if inputs.shown < MIN_SUPPORT and verdict != ChangeVerdict.UNSEEN:
        reason += f"; about {inputs.shown:.0f} images show it, so images like it are judged with them"
    if inputs.negates is not None and verdict != ChangeVerdict.UNSEEN:
        reason += f"; read as all but {inputs.negates!r}"
    return verdict, reason


def _changed(inputs: ChangeInputs) -> bool:
    """Whether the loss surely changed, by half of what matters or more."""
    sure = inputs.q_value <= Q_LEVEL and (inputs.lo > 0 or inputs.hi < 0)
    return sure and abs(inputs.change) >= inputs.min_effect / 2


def _unseen(inputs: ChangeInputs) -> tuple[ChangeVerdict, str] | None:
    if inputs.foreign_images:
        return ChangeVerdict.UNSEEN, "the encoder was not made for these images"
    if inputs.unknown_words:
        words = ", ".join(repr(w) for w in inputs.unknown_words)
        return ChangeVerdict.UNSEEN, f"the encoder never saw {words} in training"
    if inputs.negates is not None and (inputs.absent or not inputs.left >= MIN_EVIDENCE):
        few = "no image here seems" if inputs.absent else f"only about {inputs.left:.0f} images here seem"
        return ChangeVerdict.UNSEEN, f"{few} to show {inputs.negates!r}, so that it is a question about all images"
    if inputs.absent and not _changed(inputs):
        return ChangeVerdict.UNSEEN, "no image here seems to show it"
    if not inputs.shown >= MIN_SHOWN:
        return ChangeVerdict.UNSEEN, f"about {inputs.shown:.1f} images with a loss of both models show it"
    if not inputs.n_effective >= MIN_EVIDENCE:
        return ChangeVerdict.UNSEEN, f"only {inputs.n_effective:.0f} images like this have a loss of both models"
    return None


def _judged(inputs: ChangeInputs) -> tuple[ChangeVerdict, str]:
    numbers = (inputs.change, inputs.lo, inputs.hi, inputs.q_value, inputs.min_effect, inputs.n_effective, inputs.shown)
    if not all(map(math.isfinite, (*numbers, inputs.paired))):
        return ChangeVerdict.UNCLEAR, "the change, or its interval, is no number"
    q = f"q = {inputs.q_value:.3g}"
    if _changed(inputs):
        if inputs.doubtful or inputs.absent:
            return ChangeVerdict.UNCLEAR, f"the loss changed ({q}), but perhaps none of these images shows it"
        if inputs.change > 0:
            return ChangeVerdict.WORSE, f"the loss rose, {q}"
    if not inputs.paired >= MIN_PAIRED:
        missing = 1 - inputs.paired
        return ChangeVerdict.UNCLEAR, f"{missing:.0%} of the images that show it lack a loss of one of the models"
    if _changed(inputs):
        return ChangeVerdict.BETTER, f"the loss fell, {q}"
    if -inputs.min_effect < inputs.lo and inputs.hi < inputs.min_effect:
        if inputs.uncertain:
            return ChangeVerdict.UNCLEAR, "no change is shown, but perhaps no image shows it"
        if inputs.shown < MIN_SUPPORT:
            return ChangeVerdict.UNCLEAR, "no change is shown, but on images like it"
        return ChangeVerdict.SAME, f"a change of {inputs.min_effect:.3g} or more is ruled out"
    return ChangeVerdict.UNCLEAR, "neither a change that matters nor its absence is shown"
