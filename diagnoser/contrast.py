"""Phrases against each other: is the loss on images of "dark skin" higher than on images of "light skin"?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from fsearch.diagnoser.evidence import normalised, permuted_losses

Floats = NDArray[np.float64]

_LEAST_CONTRAST = 0.2
_MOST_DRAWN = 100_000_000  # losses in memory at once, 4 bytes each


@dataclass(frozen=True, slots=True)
class Contrasts:
    """For g phrases: each one's difference from the others, and its one-sided permutation p; (g,) float64 each."""

    difference: Floats
    p_value: Floats


def contrasts(
    neighbours: NDArray[np.int64],
    memberships: Floats,
    purity: Floats,
    losses: Floats,
    *,
    permutations: int,
    seed: int,
) -> Contrasts:
    """Mean loss on each phrase's images less that on the others' of its group, each of the others counting alike.

    An image that shows both sides pulls on neither. Images that only seem to show a side dilute the difference; it is
    divided by what is left of a full one. The p-value permutes the losses of all images.

    Parameters
    ----------
    neighbours, memberships : (g, k), g at least 2; `purity` : (g,), how clean each retrieval is; losses : (n,).
    """
    g, k = neighbours.shape
    involved, columns = np.unique(neighbours, return_inverse=True)
    weights = scipy.sparse.csr_array(
        (normalised(memberships).ravel(), columns.ravel(), np.arange(0, g * k + 1, k)), shape=(g, len(involved))
    )
    difference = _from_others(weights @ losses[involved])
    draws = max(100, min(permutations, _MOST_DRAWN // len(involved)))
    shuffled = permuted_losses(losses, len(involved), draws, seed)
    reached = (_from_others(weights @ shuffled.T) >= difference[:, None] - 1e-9).sum(axis=1)
    others = (purity.sum() - purity) / (g - 1)
    clean = np.maximum(purity + others - 1.0, _LEAST_CONTRAST)
    return Contrasts(difference / clean, (1 + reached) / (1 + draws))


def _from_others(means: Floats) -> Floats:
    """Each row of `means`, (g, …), less the mean of the other rows."""
    g = len(means)
    return np.asarray((means * g - means.sum(axis=0)) / (g - 1), np.float64)
