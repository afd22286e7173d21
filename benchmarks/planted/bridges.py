"""Bridges that the product does not have, behind its interface: the benchmark compares them with its two.

a point, of which the ensemble predicts the loss
shift       the text moved by the difference of the modality means, and made unit again
centre      the same without making it unit. Centring both modalities and fitting anew gives the same answer,
because trees and ridge do not care where the origin lies
prototype   the unit mean of the nearest images
a weight for each of the nearest images, whose out-of-bag predictions are averaged
attention   softmax of the standardised similarities
mixture     chance under two normal components fitted to the similarities
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.bridge import DEFAULT, Bridge, Raw
from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.observed import normalised
from fsearch.diagnoser.retrieval import Retrieved
from fsearch.indexer.storage.vectors import unit

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

PROTOTYPE_IMAGES = 20
TEMPERATURE = 0.5  # in standard deviations of a query's similarity over the index


@dataclass(frozen=True, slots=True)
class Moments:
    """First and second moments of the images' embeddings: mean (d,), covariance (d, d), both float64."""

    mean: Floats
    covariance: Floats

    @classmethod
    def of(cls, embeddings: Singles) -> Moments:
        """The moments of `embeddings`, (n, d)."""
        centred = embeddings - embeddings.mean(axis=0)
        return cls(embeddings.mean(axis=0, dtype=np.float64), (centred.T @ centred / len(centred)).astype(np.float64))

    def standardise(self, queries: Singles, similarities: Singles) -> Floats:
        """Cosines, (q, k), as standard deviations above their mean over all images, for `queries` (q, d).

        Mean and variance of t.v over the images follow from the moments: t.mean and t.covariance.t. Phrases differ in
        both, and encoders far more, so a temperature only has one meaning on this scale.
        """
        mean = queries @ self.mean
        spread = np.sqrt(np.einsum("qd,de,qe->q", queries, self.covariance, queries).clip(min=1e-12))
        return (similarities - mean[:, None]) / spread[:, None]  # type: ignore[no-any-return]


def attention(scores: Floats, temperature: float = TEMPERATURE) -> Floats:
    """Weights from standardised similarities, (q, k): softmax over the k images, scaled so that the largest is one."""
    return np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature)  # type: ignore[no-any-return]


class Point:
    """Predict at a point of embedding space that is made of the text: `move(retrieved, diagnosis)` is (q, d)."""

    corrected = False

    def __init__(self, name: str, move: Callable[[Retrieved, Diagnosis], Singles]) -> None:
        self.name, self._move = name, move

    def member_lifts(self, retrieved: Retrieved, diagnosis: Diagnosis) -> Floats:
        """(b, q) lifts."""
        return diagnosis.lifts_at(self._move(retrieved, diagnosis))


class Weighted:
    """Average out-of-bag predictions with weights made of standardised similarities: `weigh(scores)` is (q, k)."""

    corrected = False

    def __init__(self, name: str, weigh: Callable[[Floats], Floats], moments: Moments) -> None:
        self.name, self._weigh, self._moments = name, weigh, moments

    def member_lifts(self, retrieved: Retrieved, diagnosis: Diagnosis) -> Floats:
        """(b, q) lifts."""
        scores = self._moments.standardise(retrieved.texts, retrieved.similarities)
        return diagnosis.member_lifts(normalised(self._weigh(scores)), retrieved.neighbours)


def all_bridges(moments: Moments) -> dict[str, Bridge]:
    """Every bridge by name, those of the product too; `moments` are of the images' embeddings."""

    def text_mean(diagnosis: Diagnosis) -> Floats:
        return diagnosis.artifact.reference.mean

    found: list[Bridge] = [
        Raw(),
        Point("shift", lambda r, d: shift(r.texts, moments.mean, text_mean(d))),
        Point("centre", lambda r, d: centre(r.texts, moments.mean, text_mean(d))),
        Point("prototype", lambda r, d: prototype(d.retriever.embeddings(r.neighbours[:, :PROTOTYPE_IMAGES]))),
        Weighted("attention", attention, moments),
        Weighted("mixture", mixture, moments),
        DEFAULT,
    ]
    return {bridge.name: bridge for bridge in found}


def mixture(scores: Floats, rounds: int = 40) -> Floats:
    """Chance of the upper of two normal components, (q, k), by expectation-maximisation (Dempster et al., 1977).

    `scores` are the standardised similarities of the k nearest images; both components share one variance.
    """
    low, high = scores.min(axis=1, keepdims=True), scores.max(axis=1, keepdims=True)
    share, deviation = np.full_like(low, 0.5), np.maximum(scores.std(axis=1, keepdims=True), 1e-6)
    probability = np.full_like(scores, 0.5)
    for _ in range(rounds):
        odds = np.log(share / (1 - share)) + ((scores - low) ** 2 - (scores - high) ** 2) / (2 * deviation**2)
        probability = 1 / (1 + np.exp(-odds.clip(-50, 50)))
        inside = probability.sum(axis=1, keepdims=True).clip(1e-9, scores.shape[1] - 1e-9)
        high = (probability * scores).sum(axis=1, keepdims=True) / inside
        low = ((1 - probability) * scores).sum(axis=1, keepdims=True) / (scores.shape[1] - inside)
        parts = probability * (scores - high) ** 2 + (1 - probability) * (scores - low) ** 2
        deviation = np.sqrt(parts.mean(axis=1, keepdims=True)).clip(min=1e-6)
        share = (inside / scores.shape[1]).clip(1e-4, 1 - 1e-4)
    return probability.clip(min=1e-12)


def shift(texts: Singles, image_mean: Floats, text_mean: Floats) -> Singles:
    """`texts`, (q, d), moved from the text cone to the image cone and made unit again."""
    return unit(centre(texts, image_mean, text_mean))


def centre(texts: Singles, image_mean: Floats, text_mean: Floats) -> Singles:
    """`texts`, (q, d), as far from the images' mean as they were from the texts' mean."""
    return np.asarray(texts + (image_mean - text_mean), np.float32)


def prototype(neighbours: Singles) -> Singles:
    """The unit mean of each phrase's nearest images: (q, k, d) to (q, d)."""
    return unit(neighbours.mean(axis=1))
