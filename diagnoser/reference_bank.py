"""The reference bank: phrases about everything, that a lift is read against and support thresholds are taken from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.centring import mean_vector
from fsearch.diagnoser.lift import MEMBERSHIP_ERROR, Scale
from fsearch.diagnoser.retrieval import Retriever
from fsearch.diagnoser.support import SupportThresholds
from fsearch.indexer.vector_index.exact_search import NearestImages
from fsearch.indexer.workspace.calibration import Calibration

Floats = NDArray[np.float64]

TIED = 1e-4

# A contrastive encoder raises its temperature while it learns, and CLIP reaches the limit that its training sets.
# One that stopped at an eighth of that tells less than its memberships say: on such an encoder (benchmarks/scenes) the
# slope of the truth on membership is 0.4 in the median, on CLIP it is 1. Between the two, by the logarithm.
SURE, WEAK = 100.0, 12.5
GENERIC = 0.5, 1.0  # share of the mean phrase taken off phrases: with more, CLIP finds captions less well
DILUTION = MEMBERSHIP_ERROR, 2.0
TRUST = 1.0, 0.8


@dataclass(frozen=True)
class ReferenceBank:
    """What a fit must know of the text side of one encoder.

    Attributes
    ----------
    texts : (r, d) float32 unit embeddings of the reference phrases; (0, d) where there is no text side.
    logit_scale : the encoder's inverse temperature.
    thresholds : measured with this encoder, or None: then a margin over rivals stands in.
    vocabulary : (v, d) float32 unit embeddings of the rivals; None where they are not needed.
    calibration : what labelled images taught, if anything: the temperature and thresholds are then its own.
    learnt_scale : the temperature that training reached, where `logit_scale` is that of a calibration.
    """

    texts: NDArray[np.float32]
    logit_scale: float
    thresholds: SupportThresholds | None = None
    vocabulary: NDArray[np.float32] | None = None
    calibration: Calibration | None = None
    learnt_scale: float | None = None

    @property
    def mean(self) -> Floats:
        """(d,) the middle of the text cone."""
        return np.asarray(self.texts.mean(axis=0, dtype=np.float64))

    @property
    def rivals(self) -> NDArray[np.float32]:
        """(v, d) embeddings of the rivals; none where the thresholds were measured."""
        return self.texts[:0] if self.vocabulary is None else self.vocabulary

    @cached_property
    def text_mean(self) -> NDArray[np.float32]:
        """(d,) the middle of all phrases here, rivals and reference phrases, which phrases are centred by."""
        return mean_vector(np.concatenate([self.texts, self.rivals]))

    @cached_property
    def generic(self) -> NDArray[np.float32]:
        """(d,) what is taken off phrases before images are compared with them; zeros where there are no rivals."""
        if not len(self.rivals):
            return np.zeros(self.rivals.shape[1], np.float32)
        return np.asarray(_between(GENERIC, self.weakness) * mean_vector(self.rivals), np.float32)

    @property
    def weakness(self) -> float:
        """How much less the encoder tells than CLIP, 0 to 1, by its temperature."""
        scale = self.learnt_scale or self.logit_scale
        return float(np.clip(np.log(SURE / scale) / np.log(SURE / WEAK), 0.0, 1.0))

    def scale(self, loss_std: float, between: float) -> Scale:
        """The units of a diagnosis, and how far lifts may be off in them; a weak encoder is trusted less."""
        weakness = 0.0 if self.calibration or not len(self.rivals) else self.weakness
        dilution = self.membership_error if self.calibration else _between(DILUTION, weakness)
        return Scale(loss_std, between, self.membership_error, dilution, _between(TRUST, weakness))

    def calibrated(self, calibration: Calibration | None) -> ReferenceBank:
        """The same by what labelled images taught; as it is where that is None, or there is no text side."""
        if calibration is None or not len(self.texts):
            return self
        thresholds = self.thresholds
        if calibration.centred_similarity is not None and calibration.log_mean_exp is not None:
            taught = calibration.centred_similarity, calibration.log_mean_exp
            thresholds = SupportThresholds.of_labels(*taught, rivals=len(self.rivals))
        return replace(
            self,
            logit_scale=calibration.logit_scale,
            thresholds=thresholds,
            calibration=calibration,
            learnt_scale=self.learnt_scale or self.logit_scale,
        )

    @property
    def membership_error(self) -> float:
        """How far lifts are off because memberships are chances, as a share of the lift."""
        return MEMBERSHIP_ERROR if self.calibration is None else self.calibration.slope_error

    @property
    def slope(self) -> float:
        """Of the truth on membership."""
        return 1.0 if self.calibration is None else self.calibration.slope

    def retriever(self, index: NearestImages, rows: NDArray[np.int64]) -> Retriever:
        """Retrieval as this encoder asks for it, among the images at some global `rows`, (n,) rising."""
        centred = len(self.rivals) or self.in_force.centred is not None
        return Retriever(index, rows, self.logit_scale, self.slope, self.generic, self.text_mean if centred else None)

    @property
    def in_force(self) -> SupportThresholds:
        """The thresholds measured, or else those on the margin over rivals."""
        return self.thresholds or SupportThresholds.of_rivals(len(self.rivals))


@dataclass(frozen=True, slots=True)
class BankResult:
    """The reference phrases, retrieved and evaluated.

    Attributes
    ----------
    lifts : (r,) float64.
    conformal : factor on the standard error that makes a 90% interval, as halves of the evidence ask for.
    calibration : by which memberships were read.
    """

    lifts: Floats
    conformal: float
    calibration: Calibration | None = None

    def percentile(self, lifts: Floats) -> Floats:
        """(q,) share of the reference phrases with a lower lift than each of `lifts`, in percent; see `percentile`."""
        return percentile(lifts, self.lifts)


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + share * (ends[1] - ends[0])


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
