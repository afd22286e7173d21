"""Does the index hold images of a phrase at all? CLIP always returns a nearest image; this says when it means nothing.

Two figures tell an absent concept from one that is there, each in the encoder's own logits:

    similarity  what the nearest handful of images reach: low where nothing fits well
    mass        log of the mean of exp(logit_scale * cosine) over all images, as far as the fitting ones carry it. For a
                contrastive encoder this is one constant for every phrase whose images are as frequent as in its
                training, common or rare (the density ratio of bridge.membership averages to one); an absent concept
                falls far short of it.

A phrase is unseen where both lie below their floor: a concept that is merely rarer here than in training has little
mass but high similarity, one that fits every image a little has low similarity but full mass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BANK_QUANTILE = 0.05
DOUBT_QUANTILE = 0.5


@dataclass(frozen=True, slots=True)
class Support:
    """How well the index supports q phrases; (q,) float64 each."""

    similarity: Floats
    mass: Floats

    @classmethod
    def of(cls, reference: NDArray[np.float32], share: Floats, logit_scale: float) -> Support:
        """From the reference similarities and the shares of images that show each phrase, (q,) each."""
        similarity = reference.astype(np.float64)
        return cls(similarity, logit_scale * similarity + np.log(share))


@dataclass(frozen=True, slots=True)
class Floors:
    """The least support of a phrase that can be judged.

    Attributes
    ----------
    similarity, mass : a phrase below both is unseen.
    doubt : (similarity, mass) below both of which a phrase may be absent for all that is known, and is never fine; None
        where the floors were measured with this encoder on concepts known to be absent, and nothing is left to doubt.
    """

    similarity: float
    mass: float
    doubt: tuple[float, float] | None = None

    @property
    def calibrated(self) -> bool:
        """Whether they were measured with this encoder, not estimated on the user's own images."""
        return self.doubt is None

    @classmethod
    def of_bank(cls, support: Support) -> Floors:
        """Floors from the support of reference phrases, some of which are surely absent, no telling which."""
        values = (support.similarity, support.mass)
        similarity, mass = (float(np.quantile(v, BANK_QUANTILE)) for v in values)
        doubt = tuple(float(np.quantile(v, DOUBT_QUANTILE)) for v in values)
        return cls(similarity, mass, (doubt[0], doubt[1]))

    def unseen(self, support: Support) -> NDArray[np.bool_]:
        """(q,) True where nothing in the index shows the phrase."""
        return (support.similarity < self.similarity) & (support.mass < self.mass)

    def doubtful(self, support: Support) -> NDArray[np.bool_]:
        """(q,) True where it cannot be told whether anything shows the phrase."""
        if self.doubt is None:
            return np.zeros(len(support.mass), bool)
        return (support.similarity < self.doubt[0]) & (support.mass < self.doubt[1])
