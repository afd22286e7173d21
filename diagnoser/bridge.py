"""From text to image space: what the ensemble is asked when a phrase is asked. Each bridge is a short pure function.

Text and image embeddings of a CLIP model lie in different cones (the modality gap: Liang et al., NeurIPS 2022), so
trees trained on images extrapolate on raw text. A bridge says what to ask instead. Two kinds:

    a point, of which the ensemble predicts the loss
        raw         the text itself, after LLM2Loss (Ardeshir, 2023): for comparison
        shift       the text moved by the difference of the modality means, and made unit again
        centre      the same without making it unit. Centring both modalities and fitting anew gives the same answer,
                    because trees and ridge do not care where the origin lies
        prototype   the unit mean of the nearest images
    a weight for each of the nearest images, whose out-of-bag predictions are averaged
        attention   softmax of the standardised similarities
        mixture     chance under two normal components fitted to the similarities
        membership  chance that the image shows the phrase, from the encoder's own training objective (the default)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

Bridge = Literal["raw", "shift", "centre", "prototype", "attention", "mixture", "membership"]
BRIDGES: tuple[str, ...] = get_args(Bridge)
DEFAULT: Bridge = "membership"

TEMPERATURE = 0.5  # in standard deviations of a phrase's similarity over the index
PROTOTYPE_IMAGES = 20
ALLOWANCE = 0.8  # nats that images which surely show a phrase differ by


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


def reference_similarity(similarities: Singles, images: int) -> Singles:
    """(q,) the median cosine of the nearest handful: what images that surely show the phrase reach.

    `similarities`, (q, k), fall along each row; the handful is a hundredth of the `images`, from 5 to 20.
    """
    handful = max(5, min(20, images // 100))
    return np.median(similarities[:, :handful], axis=1)


def membership(similarities: Singles, reference: Singles, logit_scale: float) -> Floats:
    """The chance that each of k images shows a phrase, (q, k) in [0, 1].

    A contrastive encoder is trained until logit_scale * cosine is, up to a constant, the log of the density ratio
    p(image | text) / p(image) (van den Oord et al., 2018, section 2.3). So the chance that an image shows the phrase is
    proportional to exp(logit_scale * cosine), and it is 1 where the cosine is what surely fitting images reach.

    Parameters
    ----------
    similarities : (q, k) cosines.
    reference : (q,) from `reference_similarity`.
    logit_scale : the encoder's inverse temperature.
    """
    sure = reference.astype(np.float64) - ALLOWANCE / logit_scale
    chance = np.exp(np.minimum(0.0, (similarities - sure[:, None]) * logit_scale))
    return chance.clip(min=1e-12)


def attention(scores: Floats, temperature: float = TEMPERATURE) -> Floats:
    """Weights from standardised similarities, (q, k): softmax over the k images, scaled so that the largest is one."""
    return np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature)  # type: ignore[no-any-return]


def mixture(scores: Floats, rounds: int = 40) -> Floats:
    """Chance of the upper of two normal components, (q, k), by expectation-maximisation (Dempster et al., 1977).

    `scores` are the standardised similarities of the k nearest images; both components share one variance.
    """
    low, high = scores.min(axis=1, keepdims=True), scores.max(axis=1, keepdims=True)
    share, spread = np.full_like(low, 0.5), np.maximum(scores.std(axis=1, keepdims=True), 1e-6)
    chance = np.full_like(scores, 0.5)
    for _ in range(rounds):
        odds = np.log(share / (1 - share)) + ((scores - low) ** 2 - (scores - high) ** 2) / (2 * spread**2)
        chance = 1 / (1 + np.exp(-odds.clip(-50, 50)))
        inside = chance.sum(axis=1, keepdims=True).clip(1e-9, scores.shape[1] - 1e-9)
        high = (chance * scores).sum(axis=1, keepdims=True) / inside
        low = ((1 - chance) * scores).sum(axis=1, keepdims=True) / (scores.shape[1] - inside)
        parts = chance * (scores - high) ** 2 + (1 - chance) * (scores - low) ** 2
        spread = np.sqrt(parts.mean(axis=1, keepdims=True)).clip(min=1e-6)
        share = (inside / scores.shape[1]).clip(1e-4, 1 - 1e-4)
    return chance.clip(min=1e-12)


def shift(texts: Singles, image_mean: Floats, text_mean: Floats) -> Singles:
    """`texts`, (q, d), moved from the text cone to the image cone and made unit again."""
    return unit(centre(texts, image_mean, text_mean))


def centre(texts: Singles, image_mean: Floats, text_mean: Floats) -> Singles:
    """`texts`, (q, d), as far from the images' mean as they were from the texts' mean."""
    return np.asarray(texts + (image_mean - text_mean), np.float32)


def prototype(neighbours: Singles) -> Singles:
    """The unit mean of each phrase's nearest images: (q, k, d) to (q, d)."""
    return unit(neighbours.mean(axis=1))


def unit(vectors: NDArray[np.floating]) -> Singles:
    """Rows scaled to length one; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return np.asarray(scaled, np.float32)
