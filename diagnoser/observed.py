"""Observed evidence: real losses of the images that show a phrase against the rest, with permutation p-values.

Every function is pure and takes many phrases at once, one row a phrase.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.evidence import Design, group_means, nearest_evidence
from fsearch.diagnoser.retrieval import Retrieved

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Rows = NDArray[np.int64]
Groups = NDArray[np.integer[Any]]


class Observed(NamedTuple):
    """Evidence for q phrases; every array is (q,) float64.

    Attributes
    ----------
    lift : mean loss of the images that show the phrase, less the mean loss of the rest, corrected for images that only
        seem to show it.
    n_effective : how many groups of images carry the evidence (Kish, 1965).
    p_value : of a studentised permutation of the losses, group by group; never zero.
    error : standard error of the lift, robust to unequal spread.
    nearest_lift, nearest_error, nearest_p : of the nearest few images alone; see `nearest_evidence`.
    """

    lift: Floats
    n_effective: Floats
    p_value: Floats
    error: Floats
    nearest_lift: Floats
    nearest_error: Floats
    nearest_p: Floats


def normalised(memberships: Floats) -> Floats:
    """Rows of `memberships`, (q, k), scaled to sum to one: weights of a mean."""
    return memberships / memberships.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


def observe(retrieved: Retrieved, design: Design, losses: Floats, groups: Groups, draws: Singles) -> Observed:
    """Observed lifts of q phrases, with permutation p-values.

    Parameters
    ----------
    losses, groups : (n,) of all images of the retriever.
    draws : (permutations, m) from `shuffled_means`.
    """
    values = (losses - losses.mean())[retrieved.neighbours]
    slope = design.slope(values, group_means(losses, groups))
    nearest = nearest_evidence(retrieved, losses, groups, draws)
    return Observed(slope.value, design.n_effective, design.p_values(values, draws), np.sqrt(slope.variance), *nearest)
