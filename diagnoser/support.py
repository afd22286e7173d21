"""Support: does the index hold images of a phrase at all? CLIP always returns a nearest image, even of nothing.

Two figures tell an absent concept from one that is present, each in the encoder's own logits:

    similarity    cosine of the anchor images, the nearest few: low where nothing fits well
    log_mean_exp  log of the mean of exp(logit_scale * cosine) over all images, as far as the fitting ones carry it. For
                  a contrastive encoder this is one constant for every phrase whose images are as frequent as in its
                  training, common or rare (the density ratio of retrieval.membership averages to one); an absent
                  concept falls far short of it.

A phrase is absent where both lie below their threshold: a concept that is merely rarer here than in training has a low
log_mean_exp but a high similarity, one that fits every image a little has a low similarity but a full log_mean_exp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ABSENT_QUANTILE = 0.05  # of the reference bank
INDETERMINATE_QUANTILE = 0.5


@dataclass(frozen=True, slots=True)
class Support:
    """How well the index supports q phrases: `anchor` (q,) float32 cosines, `log_mean_exp` (q,) float64."""

    anchor: NDArray[np.float32]
    log_mean_exp: Floats

    @classmethod
    def of(cls, anchor: NDArray[np.float32], prevalence: Floats, logit_scale: float) -> Support:
        """From the anchor similarities and the prevalence of each phrase among all images, (q,) each."""
        return cls(anchor, logit_scale * anchor.astype(np.float64) + np.log(prevalence))

    @property
    def similarity(self) -> Floats:
        """(q,) float64 anchor similarities."""
        return self.anchor.astype(np.float64)


@dataclass(frozen=True, slots=True)
class SupportThresholds:
    """The least support of a phrase that can be judged.

    Attributes
    ----------
    similarity, log_mean_exp : a phrase below both is absent.
    indeterminate : (similarity, log_mean_exp) below both of which a phrase may be absent for all that is known, and is
        never fine; None where the thresholds were measured with this encoder on concepts known to be absent.
    """

    similarity: float
    log_mean_exp: float
    indeterminate: tuple[float, float] | None = None

    @property
    def calibrated(self) -> bool:
        """Whether they were measured with this encoder, not estimated on the user's own images."""
        return self.indeterminate is None

    @classmethod
    def from_bank(cls, support: Support) -> SupportThresholds:
        """Thresholds from the support of reference phrases, some of which are absent, no telling which."""
        values = (support.similarity, support.log_mean_exp)
        similarity, log_mean_exp = (float(np.quantile(v, ABSENT_QUANTILE)) for v in values)
        upper = tuple(float(np.quantile(v, INDETERMINATE_QUANTILE)) for v in values)
        return cls(similarity, log_mean_exp, (upper[0], upper[1]))

    @classmethod
    def unknown(cls) -> SupportThresholds:
        """Thresholds where nothing is known of the encoder's text side: nothing is absent, and nothing is certain."""
        return cls(-1.0, 0.0, (np.inf, np.inf))  # no cosine is below -1

    def absent(self, support: Support) -> NDArray[np.bool_]:
        """(q,) True where no image of the index shows the phrase."""
        return (support.similarity < self.similarity) & (support.log_mean_exp < self.log_mean_exp)

    def is_indeterminate(self, support: Support) -> NDArray[np.bool_]:
        """(q,) True where it cannot be told whether any image shows the phrase."""
        if self.indeterminate is None:
            return np.zeros(len(support.log_mean_exp), bool)
        return (support.similarity < self.indeterminate[0]) & (support.log_mean_exp < self.indeterminate[1])
