"""The reference bank: phrases about everything, that a lift is read against and support thresholds are taken from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.rivals import level
from fsearch.diagnoser.support import SupportThresholds

Floats = NDArray[np.float64]

TIED = 1e-4


@dataclass(frozen=True, slots=True)
class ReferenceBank:
    """What a fit must know of the text side of one encoder.

    Attributes
    ----------
    texts : (r, d) float32 unit embeddings of the reference phrases; (0, d) where there is no text side.
    logit_scale : the encoder's inverse temperature.
    thresholds : measured with this encoder, or None: then a margin over rivals stands in.
    vocabulary : (v, d) float32 unit embeddings of the rivals; None where they are not needed.
    """

    texts: NDArray[np.float32]
    logit_scale: float
    thresholds: SupportThresholds | None = None
    vocabulary: NDArray[np.float32] | None = None

    @property
    def mean(self) -> Floats:
        """(d,) the middle of the text cone."""
        return np.asarray(self.texts.mean(axis=0, dtype=np.float64))

    @property
    def rivals(self) -> NDArray[np.float32]:
        """(v, d) embeddings of the rivals; none where the thresholds were measured."""
        return self.texts[:0] if self.vocabulary is None else self.vocabulary

    @property
    def in_force(self) -> SupportThresholds:
        """The thresholds measured, or else those on the margin over rivals."""
        return self.thresholds or SupportThresholds.of_margin(level(len(self.rivals)))


@dataclass(frozen=True, slots=True)
class BankResult:
    """The reference phrases, retrieved and evaluated.

    Attributes
    ----------
    lifts : (r,) float64.
    conformal : factor on the standard error that makes a 90% interval, as halves of the evidence ask for.
    """

    lifts: Floats
    conformal: float

    def percentile(self, lifts: Floats) -> Floats:
        """(q,) share of the reference phrases with a lower lift than each of `lifts`, in percent; see `percentile`."""
        return percentile(lifts, self.lifts)


def percentile(values: Floats, bank: Floats) -> Floats:
    """(q,) share of `bank`, (r,), below each of `values`, in percent; ties count half, NaN for an empty bank.

    What differs by less than TIED of the bank's range is tied: a phrase of the bank that is asked again was perhaps
    embedded by other arithmetic, and must not come out above or below itself.
    Text predictions spread less than image predictions, so a lift is read against those of other phrases.
    """
    if not len(bank):
        return np.full(len(values), np.nan)
    ordered = np.sort(bank)
    tied = TIED * (ordered[-1] - ordered[0])
    below = np.searchsorted(ordered, values - tied, side="left")
    up_to = np.searchsorted(ordered, values + tied, side="right")
    return np.asarray(50.0 * (below + up_to) / len(bank), np.float64)
