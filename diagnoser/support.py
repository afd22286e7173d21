"""Support: does the index hold images of a phrase at all? CLIP always returns a nearest image, even of nothing.

Two figures tell an absent concept from one that is present, each in the encoder's own logits:

    similarity    cosine of the anchor images, the nearest few: low where nothing fits well
    log_mean_exp  log of the mean of exp(logit_scale * cosine) over all images, as far as the fitting ones carry it. For
                  a contrastive encoder this is one constant for every phrase whose images are as frequent as in its
                  training, common or rare (the density ratio of retrieval.membership averages to one); an absent
                  concept falls far short of it.

A phrase is absent where both lie below their threshold: a concept that is merely rarer here than in training has a low
log_mean_exp but a high similarity, one that fits every image a little has a low similarity but a full log_mean_exp.
These thresholds are measured with one encoder on concepts known to be absent; where they are learnt from labelled
images, the centred similarity (centring.py) stands in place of the similarity. For any encoder but the first a further
figure is known, the margin over rival phrases (rivals.py), which needs no measuring: what clearly wins is there, what
clearly loses is absent, and what lies between is doubtful, called neither failing nor fine. It is absent where it does
not stand out from common things at large either (standing.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ABSENT_WINNERS, DOUBTFUL_WINNERS = 7, 4  # least number of rivals that share the nearest images of such a phrase
STANDS_OUT = 0.8  # share of common things above which a doubtful phrase is not absent
LEAST_EXCESS = 0.015  # cosine by which images fit a phrase more than they fit the mean of common things
DOUBTFUL, UNCERTAIN = 1.25, 3.5  # nats above the absent level: below the first not `fails`, below the second not `fine`
WINS = 1.75  # nats above it from which a phrase is there, whatever labels taught


@dataclass(frozen=True, slots=True)
class Support:
    """How well the index supports q phrases.

    Attributes
    ----------
    anchor : (q,) float32 cosines; `log_mean_exp` : (q,) float64.
    centred : (q,) float64, from `centring.centred_similarity`.
    """

    anchor: NDArray[np.float32]
    log_mean_exp: Floats
    centred: Floats

    @classmethod
    def of(cls, anchor: NDArray[np.float32], prevalence: Floats, logit_scale: float, centred: Floats) -> Support:
        """From the anchor similarities, the prevalence among all images and centred similarities, (q,) each."""
        return cls(anchor, logit_scale * anchor.astype(np.float64) + np.log(prevalence), centred)

    @classmethod
    def joined(cls, parts: Sequence[Support]) -> Support:
        """Of several batches of phrases, one after the other."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    @property
    def similarity(self) -> Floats:
        """(q,) float64 anchor similarities."""
        return self.anchor.astype(np.float64)


class Presence(NamedTuple):
    """Whether the index holds images of each phrase; (q,) bool each, and each implies the next.

    Attributes
    ----------
    absent : no image shows it.
    doubtful : perhaps none does, so that it is not called failing.
    uncertain : perhaps none does, so that it is not called fine.
    """

    absent: NDArray[np.bool_]
    doubtful: NDArray[np.bool_]
    uncertain: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SupportThresholds:
    """The least support of a phrase that can be judged: measured with one encoder, or a margin over rivals.

    Attributes
    ----------
    similarity, log_mean_exp : a phrase below both is absent.
    margin : nats over rival phrases below which a phrase is absent, and near which it is doubtful; None where there are
        no rivals.
    centred : in place of `similarity`, where labelled images taught it.
    """

    similarity: float
    log_mean_exp: float
    margin: float | None = None
    centred: float | None = None

    @property
    def calibrated(self) -> bool:
        """Whether they were measured with this encoder."""
        return self.margin is None or self.centred is not None

    @classmethod
    def of_rivals(cls, rivals: int) -> SupportThresholds:
        """Thresholds of an encoder with which nothing was measured, beside so many rivals: no cosine lies below -1."""
        return cls(-1.0, 0.0, level(rivals))

    @classmethod
    def of_labels(cls, centred: float, log_mean_exp: float, rivals: int) -> SupportThresholds:
        """Thresholds that labelled images taught, beside the margin over so many rivals, if any."""
        return cls(-1.0, log_mean_exp, level(rivals) if rivals else None, centred)

    def presence(
        self, support: Support, margin: Floats, winners: NDArray[np.int64], standing: Floats, excess: Floats
    ) -> Presence:
        """Whether images show each phrase, from its support and how it stands against its rivals, (q,) each.

        A margin of NaN is of images that were given, of which nobody has to ask whether they are there.
        """
        low = support.similarity < self.similarity if self.centred is None else support.centred < self.centred
        absent = low & (support.log_mean_exp < self.log_mean_exp)
        if self.margin is None:
            return Presence(absent, absent, absent)
        absent &= margin < self.margin + WINS
        doubtful = lost_to_rivals(margin, winners, self.margin)
        absent |= (margin < self.margin) & (winners >= ABSENT_WINNERS)
        absent |= doubtful & (standing < STANDS_OUT) | (excess < LEAST_EXCESS)
        doubtful |= absent
        return Presence(absent, doubtful, doubtful | np.isposinf(margin) | (margin < self.margin + UNCERTAIN))


def lost_to_rivals(margin: Any, winners: Any, least: float) -> Any:
    """Whether a phrase is doubtful by its margin over rivals, and the number of those that win: numbers or arrays."""
    return (margin < least + DOUBTFUL) & (winners >= DOUBTFUL_WINNERS)


def level(rivals: int) -> float:
    """Margin in nats below which a phrase is absent, among so many rivals.

    Half a nat below zero for a thousand rivals: chosen on labelled real CLIP sets, where it loses a fiftieth of the
    concepts that are present (benchmarks/absence.py). The best of more rivals fits better, by the log of their number.
    """
    return -0.5 - float(np.log(max(rivals, 1) / 1000))
