"""How a concept tells which images are of it: by its text, by the catalog's columns, by where they lie, or by several.

A definition gives the chance that an image is of the concept. None of them knows a loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.discovery.mixture import Mixture
from fsearch.diagnoser.membership import membership

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Rows = NDArray[np.int64]


class Definition(Protocol):
    """Which images are of a concept."""

    def weights(self, embeddings: Singles, rows: Rows) -> Floats:
        """(n,) chance, 0 to 1, that each image is of it, from its unit embedding, (n, d), and global row, (n,)."""


@dataclass(frozen=True, slots=True)
class Text:
    """Images that show a phrase.

    Attributes
    ----------
    vector : (d,) its unit embedding; `direction` : (d,) what images are compared with.
    anchor, scale : the level and the temperature that its images are read at.
    """

    vector: Singles
    direction: Singles
    anchor: np.float32
    scale: float

    def weights(self, embeddings: Singles, rows: Rows) -> Floats:
        """See Definition."""
        found: Floats = membership((embeddings @ self.direction)[None], np.array([self.anchor]), self.scale)[0]
        return found


@dataclass(frozen=True, slots=True)
class Chosen:
    """Images that fulfil a condition on the catalog's columns: `holds` is (rows,) bool over the whole index."""

    holds: NDArray[np.bool_]

    def weights(self, embeddings: Singles, rows: Rows) -> Floats:
        """See Definition."""
        return self.holds[rows].astype(np.float64)


@dataclass(frozen=True, slots=True)
class Region:
    """Images of one component of a mixture: a region of the embedding space."""

    mixture: Mixture
    component: int

    def weights(self, embeddings: Singles, rows: Rows) -> Floats:
        """See Definition."""
        found: Floats = self.mixture.posterior(embeddings)[:, self.component]
        return found


@dataclass(frozen=True, slots=True)
class All:
    """Images that are of every part: the product of their chances."""

    parts: tuple[Definition, ...]

    def weights(self, embeddings: Singles, rows: Rows) -> Floats:
        """See Definition."""
        found: Floats = np.prod([part.weights(embeddings, rows) for part in self.parts], axis=0)
        return found
