"""A planted world: images, losses and phrases of which it is known what fails. Each setting makes them, one a seed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from sklearn.metrics import roc_auc_score

from fsearch.diagnoser.reference_bank import ReferenceBank

SMALL_EFFECT, SHARE_OF_MEAN, HARMLESS = 0.2, 0.5, 0.05
ENOUGH = 10  # images, or groups of images, that show a phrase: with fewer it is neither present nor absent


@dataclass(frozen=True, kw_only=True)
class World:
    """One planted world of n images and q phrases.

    Attributes
    ----------
    vectors, texts : (n, d) and (q, d) float32 unit embeddings; `phrases` : the words of the latter.
    losses : (n,) float64; `shown` : (q, n) bool, whether the image truly shows the phrase.
    gaps : (q,) true mean loss of images that show the phrase less that of the others; `lifts` : less that of all.
    reference : the encoder's reference phrases and temperature; `encoder` : its name, by which thresholds are shipped.
    groups : (n,) int64, images of one video clip share a number; None where every image stands for itself.
    unknown : (q,) bool, phrases in words that the encoder never read; `concepts` : what each phrase is made of.
    planted : what was made to fail.
    expected : (n,) the mean that each loss was drawn about, or the loss itself where it was not drawn; None where that
        is not known.
    supported : whether `shown` is complete, so that support and intervals can be judged.
    negates : (q,) of phrases that are all negations, what each is the negation of: `texts` are of these.
    """

    setting: str
    seed: int
    vectors: np.ndarray
    texts: np.ndarray
    phrases: tuple[str, ...]
    losses: np.ndarray
    shown: np.ndarray
    gaps: np.ndarray
    lifts: np.ndarray
    reference: ReferenceBank
    encoder: str
    groups: np.ndarray | None = None
    unknown: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    concepts: tuple[tuple[str, ...], ...] = ()
    planted: tuple[str, ...] = ()
    expected: np.ndarray | None = None
    supported: bool = True
    negates: tuple[str, ...] = ()

    @property
    def null(self) -> bool:
        """Whether nothing fails."""
        return not self.planted

    @property
    def units(self) -> np.ndarray:
        """(q,) int64 images, or groups of images, that show each phrase."""
        if self.groups is None:
            return np.asarray(self.shown.sum(axis=1))
        return np.array([len(np.unique(self.groups[row])) for row in self.shown])

    @property
    def min_effect(self) -> float:
        """The smallest gap that matters: 0.2 standard deviations, or half the mean of losses that have no sign."""
        spread, mean = SMALL_EFFECT * float(self.losses.std()), float(self.losses.mean())
        return min(spread, SHARE_OF_MEAN * mean) if float(self.losses.min()) >= 0 else spread

    def without(self, i: int) -> World:
        """The images that do not show phrase i, of which the losses' means are known, with the truth about them."""
        assert self.expected is not None
        rest = ~self.shown[i]
        gaps, lifts = truth(self.shown[:, rest], self.expected[rest])
        groups = None if self.groups is None else self.groups[rest]
        values = {"vectors": self.vectors[rest], "losses": self.losses[rest], "expected": self.expected[rest]}
        return replace(self, shown=self.shown[:, rest], gaps=gaps, lifts=lifts, groups=groups, **values)

    def negated(self) -> World:
        """The negation of every phrase: shown by all images that do not show it; `shown` counts the others."""
        counts = self.shown.sum(axis=1)
        odds = counts / np.maximum(self.shown.shape[1] - counts, 1)
        return replace(
            self,
            setting=f"negated-{self.setting.removeprefix('clip-')}",
            phrases=tuple(f"no {phrase.removeprefix('a ')}" for phrase in self.phrases),
            negates=self.phrases,
            shown=~self.shown,
            gaps=-self.gaps,
            lifts=-self.lifts * odds,
        )

    @property
    def harmless(self) -> float:
        """Phrases with a gap below it do not fail: to say so is a false discovery."""
        return min(HARMLESS * float(self.losses.std()), self.min_effect / 2)

    def aurocs(self) -> np.ndarray:
        """(q,) how well the encoder tells images that show each phrase from the others; NaN where there are none."""
        found = np.full(len(self.shown), np.nan)
        for i, (text, shown) in enumerate(zip(self.texts, self.shown, strict=True)):
            if 0 < shown.sum() < len(shown):
                found[i] = roc_auc_score(shown, self.vectors @ text)
        return found


def truth(shown: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gaps and lifts, (q,) each, of phrases shown as in `shown`, (q, n), where image i loses `expected`[i], (n,).

    They are 0 for phrases that no image shows, or that all do.
    """
    mean = expected.mean()
    centred, counts = expected - mean, shown.sum(axis=1)
    lifts = np.array([centred[row].sum() for row in shown]) / np.maximum(counts, 1)
    rest = np.maximum(shown.shape[1] - counts, 1)
    gaps = np.where(counts < shown.shape[1], lifts * (1 + counts / rest), 0.0)
    return gaps, lifts
