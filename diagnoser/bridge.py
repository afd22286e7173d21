"""From text to image space: what the ensemble is asked when a phrase is asked.

Text and image embeddings of a CLIP model lie in different cones (the modality gap: Liang et al., NeurIPS 2022), so
trees trained on images extrapolate on raw text. A bridge says what to ask instead. Each is a pure function.

    raw        the text itself, after LLM2Loss (Ardeshir, 2023): for comparison
    shift      the text moved by the difference of the modality means
    prototype  the mean of the nearest images
    attention  the nearest images themselves, softmax-weighted; predictions are averaged (the default)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Bridge = Literal["raw", "shift", "prototype", "attention"]
BRIDGES: tuple[str, ...] = get_args(Bridge)
DEFAULT: Bridge = "attention"

TEMPERATURE = 0.5  # in standard deviations of a phrase's similarity over the index
PROTOTYPE_IMAGES = 20


@dataclass(frozen=True, slots=True)
class Moments:
    """First and second moments of the images' embeddings: mean (d,), covariance (d, d), both float64."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @classmethod
    def of(cls, embeddings: NDArray[np.float32]) -> Moments:
        """The moments of `embeddings`, (n, d)."""
        centred = embeddings - embeddings.mean(axis=0)
        return cls(embeddings.mean(axis=0, dtype=np.float64), (centred.T @ centred / len(centred)).astype(np.float64))

    def standardise(self, queries: NDArray[np.float32], similarities: NDArray[np.float32]) -> NDArray[np.float64]:
        """Cosines, (q, k), as standard deviations above their mean over all images, for `queries` (q, d).

        Mean and variance of t.v over the images follow from the moments: t.mean and t.covariance.t. Phrases differ in
        both, and encoders far more, so a temperature only has one meaning on this scale.
        """
        mean = queries @ self.mean
        spread = np.sqrt(np.einsum("qd,de,qe->q", queries, self.covariance, queries).clip(min=1e-12))
        return (similarities - mean[:, None]) / spread[:, None]  # type: ignore[no-any-return]


def attention(scores: NDArray[np.float64], temperature: float = TEMPERATURE) -> NDArray[np.float64]:
    """Softmax of standardised similarities, (q, k), over the k images: each row sums to one."""
    raised = np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature)
    return raised / raised.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


def shift(
    texts: NDArray[np.float32], image_mean: NDArray[np.float64], text_mean: NDArray[np.float64]
) -> NDArray[np.float32]:
    """`texts`, (q, d), moved from the text cone to the image cone and made unit again."""
    return unit(texts + (image_mean - text_mean))


def prototype(neighbours: NDArray[np.float32]) -> NDArray[np.float32]:
    """The unit mean of each phrase's nearest images: (q, k, d) to (q, d)."""
    return unit(neighbours.mean(axis=1))


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows scaled to length one; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return np.asarray(scaled, np.float32)
