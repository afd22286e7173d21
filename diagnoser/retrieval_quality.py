"""How clean a retrieval is, by its own memberships: precision, prevalence, and how many images show the phrase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_MIN_DILUTION = 0.05  # least difference of precision and prevalence that is divided by


@dataclass(frozen=True, slots=True)
class RetrievalQuality:
    """How clean q retrievals are, by their own memberships; every array is (q,) float64.

    Attributes
    ----------
    precision : expected share of images that show the phrase among those retrieved, weighted by membership.
    prevalence : expected share of images that show the phrase among all images.
    count : expected number of images that show the phrase, at the encoder's own temperature.
    purity : the precision at that temperature: lower, where a starved phrase is judged by images like it.
    """

    precision: Floats
    prevalence: Floats
    count: Floats
    purity: Floats

    @classmethod
    def of(cls, memberships: Floats, copies: Singles, images: int, own: Floats | None = None) -> RetrievalQuality:
        """From `memberships` and `copies`, (q, k), of the judged images among all `images`.

        `own`, (q, k), are the memberships at the encoder's own temperature, where these are others.
        """
        own = memberships if own is None else own
        weights = memberships * copies
        total = weights.sum(axis=1)
        precision, purity = (weights * memberships).sum(axis=1) / total, (weights * own).sum(axis=1) / total
        return cls(precision, (total / images).clip(max=1.0), (own * copies).sum(axis=1), purity)

    @property
    def against_all(self) -> Floats:
        """Factor that turns (mean retrieved - mean of all) into (mean of those that show it - mean of all).

        With a and b the mean losses of images that do and do not show the phrase, the mean retrieved is precision a +
        (1 - precision) b and the mean of all is prevalence a + (1 - prevalence) b. This is regression calibration for a
        misclassified group (Carroll et al., Measurement Error in Nonlinear Models, 2006, chapter 4).
        """
        return (1 - self.prevalence) * self.against_rest

    @property
    def against_rest(self) -> Floats:
        """The same for (mean of those that show it - mean of those that do not)."""
        return 1 / np.maximum(self.precision - self.prevalence, _MIN_DILUTION)

    @classmethod
    def joined(cls, parts: Sequence[RetrievalQuality]) -> RetrievalQuality:
        """Of several batches, one after the other."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def corrected(self, slope: float) -> RetrievalQuality:
        """With precision and purity above prevalence by `slope` times what memberships say.

        `slope` is that of the truth on membership, where labels taught it; 1 changes nothing.
        """
        if slope == 1.0:
            return self
        precision, purity = (
            self.prevalence + slope * (share - self.prevalence) for share in (self.precision, self.purity)
        )
        return replace(self, precision=precision, purity=purity.clip(0.0, 1.0))
