"""Phrases against each other: is the loss on images of "dark skin" higher than on images of "light skin"?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.evidence import permuted_losses

Floats = NDArray[np.float64]

_LEAST_CONTRAST = 0.2
_MOST_DRAWN = 100_000_000  # losses in memory at once, 4 bytes each


@dataclass(frozen=True, slots=True)
class Contrasts:
    """For c pairs of sides: the difference of their mean losses and its one-sided permutation p; (c,) float64 each."""

    difference: Floats
    p_value: Floats


def contrasts(
    neighbours: NDArray[np.int64],
    memberships: Floats,
    purity: Floats,
    sides: Sequence[tuple[int, Sequence[int]]],
    losses: Floats,
    *,
    permutations: int,
    seed: int,
) -> Contrasts:
    """Mean loss on the phrase's images less that on the others', each counting alike, for (phrase, others) of `sides`.

    An image that shows both sides pulls on neither. Images that only seem to show a side dilute the difference; it is
    divided by what is left of a full one. The p-value permutes the losses of all images.

    Parameters
    ----------
    neighbours, memberships : (q, k); `purity` : (q,), how clean each retrieval is; losses : (n,).
    """
    weights = memberships / memberships.sum(axis=1, keepdims=True)
    pull = np.zeros((len(sides), len(losses)), np.float32)
    clean = np.empty(len(sides))
    for row, (phrase, others) in enumerate(sides):
        pull[row, neighbours[phrase]] += weights[phrase]
        for other in others:
            pull[row, neighbours[other]] -= weights[other] / len(others)
        clean[row] = max(purity[phrase] + purity[list(others)].mean() - 1.0, _LEAST_CONTRAST)
    involved = np.flatnonzero(pull.any(axis=0))
    pull = pull[:, involved]
    difference = pull.astype(np.float64) @ losses[involved]
    draws = max(100, min(permutations, _MOST_DRAWN // len(involved)))
    shuffled = permuted_losses(losses, len(involved), draws, seed)
    reached = (pull @ shuffled.T >= difference[:, None] - 1e-7).sum(axis=1)
    return Contrasts(difference / clean, (1 + reached) / (1 + draws))
