"""Phrases against each other: is the loss on images of "dark skin" higher than on images of "light skin"?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.observed import normalised, permuted_losses

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_MIN_SEPARATION = 0.2
_MAX_DRAWS = 100_000_000  # losses in memory at once, 4 bytes each


@dataclass(frozen=True, slots=True)
class Contrasts:
    """For g phrases: each one's difference from the others, and its one-sided permutation p; (g,) float64 each."""

    difference: Floats
    p_value: Floats


def shuffles(neighbours: Sequence[NDArray[np.int64]], losses: Floats, permutations: int, seed: int) -> Singles:
    """Permuted losses, (permutations, m), for as many images as the largest of several groups has `neighbours`.

    Fewer permutations where they would not fit in memory.
    """
    most = max(len(np.unique(near)) for near in neighbours)
    return permuted_losses(losses, most, max(100, min(permutations, _MAX_DRAWS // most)), seed)


def contrasts(
    neighbours: NDArray[np.int64], memberships: Floats, precision: Floats, losses: Floats, shuffled: Singles
) -> Contrasts:
    """Mean loss on each phrase's images less that on the others' of its group, each of the others counting alike.

    An image that shows both sides pulls on neither. Images that only seem to show a side dilute the difference; it is
    divided by what is left of a full one. The p-value permutes the losses of all images.

    Parameters
    ----------
    neighbours, memberships : (g, k), g at least 2; `precision` : (g,), how clean each retrieval is; losses : (n,).
    shuffled : from `shuffles`.
    """
    import scipy.sparse

    g, k = neighbours.shape
    involved, columns = np.unique(neighbours, return_inverse=True)
    weights = scipy.sparse.csr_array(
        (normalised(memberships).ravel(), columns.ravel(), np.arange(0, g * k + 1, k)), shape=(g, len(involved))
    )
    difference = _from_others(weights @ losses[involved])
    under_null = _from_others(weights @ shuffled[:, : len(involved)].T)
    reached = (under_null >= difference[:, None] - 1e-9).sum(axis=1)
    others = (precision.sum() - precision) / (g - 1)
    clean = np.maximum(precision + others - 1.0, _MIN_SEPARATION)
    return Contrasts(difference / clean, (1 + reached) / (1 + len(shuffled)))


def _from_others(means: Floats) -> Floats:
    """Each row of `means`, (g, …), less the mean of the other rows."""
    g = len(means)
    return np.asarray((means * g - means.sum(axis=0)) / (g - 1), np.float64)
