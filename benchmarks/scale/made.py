"""Made embeddings of any number: a mixture of clusters in a low-dimensional space, inside CLIP's narrow cone.

The constants were set, before anything was measured with them, to look like real CLIP ViT-B/32 embeddings of 500
photographs: mean cosine 0.5 between two images, its deviation 0.09, participation ratio of the spectrum 45. A text-like
query lies in another cone, as text does: cosine 0.16 with any image, 0.3 with the one it describes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]
DIM = 512
ROWS = 65_536
_CLUSTERS, _LATENT, _DECAY, _WITHIN, _NOISE, _CONE = 5_000, 64, 0.2, 0.5, 0.3, 1.1


@dataclass(frozen=True, slots=True)
class World:
    """Where images lie; blocks are made one by one, each from its own seed, so any number can be had in any order."""

    seed: int
    cone: Singles
    text_cone: Singles
    directions: Singles
    centres: Singles
    edges: NDArray[np.float64]

    @classmethod
    def of(cls, seed: int) -> World:
        """The world of one seed."""
        rng = np.random.default_rng([seed, 1])
        cone, text_cone = (_unit(rng.standard_normal((1, DIM), dtype=np.float32)) for _ in range(2))
        directions = rng.standard_normal((_LATENT, DIM), dtype=np.float32)
        directions *= ((1 + np.arange(_LATENT)) ** -_DECAY).astype(np.float32)[:, None]
        directions /= np.sqrt((directions**2).sum())
        centres = rng.standard_normal((_CLUSTERS, _LATENT), dtype=np.float32)
        return cls(seed, cone, text_cone, directions, centres, np.cumsum(rng.dirichlet(np.ones(_CLUSTERS))))

    def block(self, number: int, rows: int = ROWS) -> Singles:
        """(rows, 512) unit embeddings of images."""
        rng = np.random.default_rng([self.seed, 2, number])
        return _unit(_CONE * self.cone + self._content(rng, rows))

    def blocks(self, rows: int) -> Iterator[Singles]:
        """Embeddings of `rows` images, block by block."""
        for number, start in enumerate(range(0, rows, ROWS)):
            yield self.block(number, min(ROWS, rows - start))

    def texts(self, count: int) -> Singles:
        """(count, 512) unit embeddings of phrases, each of something that images may show."""
        rng = np.random.default_rng([self.seed, 3])
        noise = rng.standard_normal((count, DIM), dtype=np.float32) / np.float32(np.sqrt(DIM))
        return _unit(self.text_cone + 0.3 * self.cone + 0.6 * self._content(rng, count) + 0.9 * noise)

    def _content(self, rng: np.random.Generator, rows: int) -> Singles:
        cluster = np.searchsorted(self.edges, rng.random(rows)).clip(max=_CLUSTERS - 1)
        latent = self.centres[cluster] + _WITHIN * rng.standard_normal((rows, _LATENT), dtype=np.float32)
        noise = rng.standard_normal((rows, DIM), dtype=np.float32)
        content: Singles = latent @ self.directions + np.float32(_NOISE / np.sqrt(DIM)) * noise
        return content


def _unit(vectors: Singles) -> Singles:
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
