"""Exhibits: the images shown with a finding, and how the losses of such images are spread. They judge nothing.

Pure functions of what was retrieved for the phrases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from fsearch.diagnoser.diagnosis import Diagnosis
    from fsearch.diagnoser.retrieval import Retrieved

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

SHOWS = 0.5  # least membership of an image that is shown as one of the phrase
BINS = 24
_TAIL = 0.99  # quantile of the losses at which the last bin begins: a few huge ones would flatten the others


class Kind(StrEnum):
    """Why an image is shown: it shows the phrase and fails, shows it and does not, or is simply nearest."""

    FAILING = "failing"
    PASSING = "passing"
    NEAREST = "nearest"


@dataclass(frozen=True, slots=True)
class Shown:
    """Images of one kind, the most telling first; each array is (m,): ids, cosines, memberships and losses."""

    image_ids: Rows
    similarities: Floats
    memberships: Floats
    losses: Floats


@dataclass(frozen=True, slots=True)
class Histogram:
    """How the losses of images that show a phrase are spread, and those of the rest.

    Attributes
    ----------
    edges : of the bins, rising; the last bin holds the tail.
    shows, rest : shares of the images in each bin, weighted by the chance that they show the phrase; each sums to 1.
    """

    edges: tuple[float, ...]
    shows: tuple[float, ...]
    rest: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Exhibits:
    """All that is shown with one finding."""

    images: Mapping[Kind, Shown]
    histogram: Histogram


def exhibits(diagnosis: Diagnosis, retrieved: Retrieved, top: int) -> list[Exhibits]:
    """What is shown with each of the q phrases of `retrieved`, `top` images of each kind at most.

    An image fails where its loss is above the mean of all; failing images are ordered by membership times what they
    lose above it, passing ones by membership times what they lose below it. Only images with a membership of SHOWS or
    more are taken for such images, so that there may be fewer than `top`.
    """
    edges = _edges(diagnosis.losses)
    every = np.histogram(diagnosis.losses, edges)[0].astype(np.float64)
    return [
        Exhibits(_images(diagnosis, retrieved, i, top), _histogram(diagnosis, retrieved, i, edges, every))
        for i in range(len(retrieved))
    ]


def _images(diagnosis: Diagnosis, retrieved: Retrieved, i: int, top: int) -> dict[Kind, Shown]:
    near, weights = retrieved.neighbours[i], retrieved.memberships[i]
    above = diagnosis.losses[near] - diagnosis.baseline
    such = (weights >= SHOWS) & (retrieved.copies[i] > 0)  # one that is nearest and sampled too is shown once
    chosen = {
        Kind.FAILING: _first(weights * above, such & (above > 0), top),
        Kind.PASSING: _first(-weights * above, such & (above <= 0), top),
        Kind.NEAREST: np.flatnonzero(retrieved.copies[i] > 0)[:top],
    }
    return {
        kind: Shown(
            diagnosis.image_ids[near[some]],
            retrieved.similarities[i, some].astype(np.float64),
            weights[some],
            diagnosis.losses[near[some]],
        )
        for kind, some in chosen.items()
    }


def _first(scores: Floats, eligible: NDArray[np.bool_], top: int) -> Rows:
    """Positions of the highest scores among the eligible, highest first; of equal ones the nearest."""
    candidates = np.flatnonzero(eligible)
    found: Rows = candidates[np.argsort(-scores[candidates], kind="stable")[:top]]
    return found


def _edges(losses: Floats) -> Floats:
    low, tail, high = float(losses.min()), float(np.quantile(losses, _TAIL)), float(losses.max())
    if not low < tail:
        low, tail = low - 0.5, max(high, low + 0.5)
    edges = np.linspace(low, tail, BINS)
    return np.append(edges, high if high > tail else 2 * edges[-1] - edges[-2])


def _histogram(diagnosis: Diagnosis, retrieved: Retrieved, i: int, edges: Floats, every: Floats) -> Histogram:
    losses = diagnosis.losses[retrieved.neighbours[i]]
    weights = retrieved.memberships[i] * retrieved.copies[i]  # of one phrase: all would be computed for each
    shows = np.histogram(losses, edges, weights=weights)[0]
    return Histogram(tuple(edges.tolist()), _shares(shows), _shares(np.maximum(every - shows, 0)))


def _shares(counts: Floats) -> tuple[float, ...]:
    total = counts.sum()
    return tuple((counts / total if total else counts).tolist())
