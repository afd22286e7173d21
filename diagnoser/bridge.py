"""Bridges from text to image space: what the ensemble is asked when a phrase is asked.

Text and image embeddings of a CLIP model lie in different cones (the modality gap: Liang et al., NeurIPS 2022), so
trees trained on images extrapolate on raw text. A bridge says what to ask instead. The product has two:

    membership  mean out-of-bag prediction of the retrieved images, each weighted by the probability that it shows the
                phrase, corrected by their real losses (the default)
    raw         the text embedding itself, after LLM2Loss (Ardeshir, 2023): for comparison

A bridge is one class with `name`, `corrected` and `member_lifts`; benchmarks/planted/bridges.py holds five more behind
the same interface, and the benchmark compares them all.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.observed import normalised
from fsearch.diagnoser.retrieval import Retrieved

Floats = NDArray[np.float64]


class Bridge(Protocol):
    """How the ensemble is asked about phrases.

    Attributes
    ----------
    name : what `--bridge` and the column `bridge` of `runs` call it.
    corrected : whether the residuals of the retrieved images, and their precision, correct what it predicts.
    """

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def corrected(self) -> bool:
        """Whether it is corrected."""

    def member_lifts(self, retrieved: Retrieved, diagnosis: Diagnosis) -> Floats:
        """(b, q) predicted lift of each of q phrases by each of b ensemble members; NaN for no prediction."""


class Membership:
    """Out-of-bag predictions of the retrieved images, weighted by membership."""

    name, corrected = "membership", True

    def member_lifts(self, retrieved: Retrieved, diagnosis: Diagnosis) -> Floats:
        """(b, q) lifts."""
        return diagnosis.member_lifts(normalised(retrieved.weights), retrieved.neighbours)


class Raw:
    """The prediction at the text embedding itself."""

    name, corrected = "raw", False

    def member_lifts(self, retrieved: Retrieved, diagnosis: Diagnosis) -> Floats:
        """(b, q) lifts."""
        return diagnosis.lifts_at(retrieved.texts)


DEFAULT: Bridge = Membership()
BRIDGES: dict[str, Bridge] = {bridge.name: bridge for bridge in (DEFAULT, Raw())}
