"""Regions of the embedding space: images that lie together, whether or not anybody has a word for what they show.

Two kinds are tried. Places are components of mixtures that know no loss, at several scales: they compete with phrases
on equal terms. The error-aware mixture after Domino is shaped by what is left over of the losses of the proposing half,
so it is asked last, for failures that nothing else explains.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.discovery.definitions import Region
from fsearch.diagnoser.discovery.mixture import fit
from fsearch.diagnoser.discovery.proposing import ProposingHalf
from fsearch.diagnoser.membership import ENOUGH

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Rows = NDArray[np.int64]

SCALES = (10, 20, 40, 80)  # images of the proposing half to a component
ERROR_SCALES = (20, 60)
_FEWEST, _MOST = 3, 128  # components of one mixture
_LEAST_IMAGES = ENOUGH / 2  # of the proposing half in a region: then all images hold ENOUGH
FITS = 0.9  # area under the ROC curve from which a phrase is a region's name


def places(half: ProposingHalf, seed: int = 0) -> list[Region]:
    """Components of mixtures of the embeddings alone, at each of SCALES."""
    return _components(half, np.zeros(len(half)), SCALES, seed)


def error_aware(half: ProposingHalf, left: Floats, seed: int = 0) -> list[Region]:
    """Components of mixtures of embeddings and losses, where `left`, (n,), is what is unexplained of the losses."""
    return _components(half, left, ERROR_SCALES, seed)


def _components(half: ProposingHalf, losses: Floats, scales: tuple[int, ...], seed: int) -> list[Region]:
    found = []
    for count in sorted({int(np.clip(len(half) // scale, _FEWEST, _MOST)) for scale in scales}):
        mixture = fit(half.embeddings, losses, count, seed)
        held = mixture.posterior(half.embeddings).sum(axis=0)
        found += [Region(mixture, int(i)) for i in np.flatnonzero(held >= _LEAST_IMAGES)]
    return found


class Words(NamedTuple):
    """Phrases that separate a region's images from the rest, the best first: positions, and areas under the curve."""

    phrases: Rows
    areas: Floats


def words_of(weights: Floats, embeddings: Singles, texts: Singles, most: int = 3) -> Words:
    """The phrases, of `texts`, (q, d), that separate a region with `weights`, (n,), from the rest of `embeddings`.

    Ranked by text . (mean of the region - mean of the rest), as Domino describes a slice (section 5): what all texts
    and all images have in common cancels.
    """
    rest = 1 - weights
    apart = weights @ embeddings / weights.sum() - rest @ embeddings / max(float(rest.sum()), 1e-300)
    best = np.argsort(-(texts @ apart.astype(np.float32)), kind="stable")[:most]
    return Words(best, np.array([area(embeddings @ texts[i], weights) for i in best]))


def area(scores: Singles | Floats, weights: Floats) -> float:
    """Area under the ROC curve of `scores`, (n,), for images that are of a class with chances `weights`, (n,).

    Equal scores count half, as in the statistic of Mann and Whitney (Annals of Mathematical Statistics 1947).
    """
    rest = 1 - weights
    if min(weights.sum(), rest.sum()) <= 0:
        return 0.5
    _, codes = np.unique(scores, return_inverse=True)
    inside, outside = np.bincount(codes, weights), np.bincount(codes, rest)
    below = outside.cumsum() - outside / 2
    return float(inside @ below / (weights.sum() * rest.sum()))
