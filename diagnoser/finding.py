"""What is known about one phrase in one slice: the finding, and what is shown with it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

from fsearch.diagnoser.exhibits import Exhibits
from fsearch.diagnoser.support import lost_to_rivals
from fsearch.diagnoser.verdict import Verdict

_NORMAL = NormalDist()

DOUBTED = 0.7  # set on development seeds of benchmarks/planted


@dataclass(frozen=True, slots=True)
class Phrase:
    """A phrase to be judged.

    Attributes
    ----------
    group : of phrases that are contrasted, if it has one.
    unknown_words : its words that the encoder never saw.
    negates : the positive phrase that was embedded, where this one is its negation.
    """

    text: str
    group: str | None = None
    unknown_words: tuple[str, ...] = ()
    negates: str | None = None


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
    centred_similarity: float | None
    centred_threshold: float | None
    calibrated: bool
    shown: float
    margin: float | None
    margin_threshold: float | None
    winners: int | None
    observed_error: float
    nearest_p: float | None = None
    min_effect: float
    loss_std: float

    @property
    def strength(self) -> float:
        """By which findings are ranked: three looks at the evidence, in standard errors; a large lift on little is low.

        The lift in its own standard errors; the p-value of the observed lift, and with half the weight that of the
        nearest few images, as normal scores (Stouffer's weighted method: Mosteller and Bush, 1954). The last of them
        sees what few images show; the first two see the rest. A dozen images may all have no error where the model
        fails on one of twenty: that they lose little is no evidence of less. Negations, whose nearest images show
        nothing, lack this look. Where perhaps no image shows the phrase, all of it counts DOUBTED.
        """
        looks = [(self.lift / max(self.standard_error, 1e-300), 1.0), (_score(self.p_value), 1.0)]
        if self.nearest_p is not None:
            looks.append((max(_score(self.nearest_p), 0.0), 0.5))
        strength = sum(z * weight for z, weight in looks) / sum(weight for _, weight in looks)
        return strength * DOUBTED if self.doubtful and strength > 0 else strength

    @property
    def doubtful(self) -> bool:
        """Whether perhaps no image shows the phrase, by its margin over rivals."""
        if self.margin is None or self.margin_threshold is None or self.winners is None:
            return False
        return bool(lost_to_rivals(self.margin, self.winners, self.margin_threshold))


def _score(p: float) -> float:
    """The one-sided normal score of a p-value: 1.64 for 0.05."""
    return -_NORMAL.inv_cdf(min(max(p, 1e-300), 1 - 1e-9))


@dataclass(frozen=True, slots=True)
class Found:
    """A finding with its images, and (text, overlap) of the failing phrases that share them."""

    finding: Finding
    exhibits: Exhibits
    shares_with: tuple[tuple[str, float], ...] = ()
