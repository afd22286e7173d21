"""What is known of labelled images and phrases, as arrays: which shows which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Rows = NDArray[np.int64]
Bools = NDArray[np.bool_]

MIN_SHOWING = 3  # labelled images that show a phrase, and such that do not


@dataclass(frozen=True, slots=True)
class Labelled:
    """What is known of m images and q phrases: each shown by MIN_SHOWING of them or more, and as many do not.

    Attributes
    ----------
    texts : (q, d) float32 unit embeddings of the phrases.
    rows : (m,) int64 global rows of the images, rising.
    shows, known : (q, m) bool, whether an image shows a phrase, and whether that is known.
    """

    texts: Singles
    rows: Rows
    shows: Bools
    known: Bools

    def of(self, phrases: Bools) -> Labelled:
        """What is known of some of the phrases, (q,) bool."""
        return Labelled(self.texts[phrases], self.rows, self.shows[phrases], self.known[phrases])

    @property
    def counts(self) -> NDArray[np.int64]:
        """(q,) number of images of which it is known whether they show each phrase."""
        return np.asarray(self.known.sum(axis=1))

    @property
    def share(self) -> Floats:
        """(q,) share of these images that show each phrase."""
        return np.asarray((self.shows & self.known).sum(axis=1) / self.counts, np.float64)


def usable(shows: Bools, known: Bools) -> Rows:
    """Which phrases can be learnt from, given what is known of each image, (q, m) bool."""
    enough = ((shows & known).sum(axis=1) >= MIN_SHOWING) & ((~shows & known).sum(axis=1) >= MIN_SHOWING)
    return np.flatnonzero(enough)


def auroc(cosines: Singles, labelled: Labelled) -> float:
    """Chance that an image that shows a phrase is nearer to it than one that does not, mean over phrases.

    `cosines` are (q, m).
    """
    found = []
    for row, shows, known in zip(cosines, labelled.shows, labelled.known, strict=True):
        order = np.argsort(np.argsort(row[known], kind="stable"), kind="stable")
        yes = shows[known]
        n = int(yes.sum())
        found.append((order[yes].sum() - n * (n - 1) / 2) / (n * (len(yes) - n)))
    return float(np.mean(found))
