"""How far off the lifts of a fit are, in their own standard errors: what its intervals are widened by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.evidence import Design, Slope, group_means
from fsearch.diagnoser.retrieval import Retrieved

Floats = NDArray[np.float64]

SPLITS = 8
_LEAST_GROUPS = 24  # of a phrase, so that each half has enough for a variance


def half_errors(retrieved: Retrieved, residuals: Floats, groups: NDArray[np.integer[Any]], seed: int = 0) -> Floats:
    """(m,) differences between two halves of the evidence on a phrase, in their standard errors.

    The truth about a phrase is not at hand. But the groups of images can be split in halves at random, the residuals of
    each regressed on the same memberships, and the two slopes compared: were their variances right, a tenth of the
    differences would lie beyond 1.645. Phrases with few groups are left out.

    Parameters
    ----------
    retrieved : of phrases about everything, as of the reference bank.
    residuals, groups : (n,) of all images; residuals with mean zero.
    """
    if not len(retrieved):
        return np.empty(0)
    pool = group_means(residuals, groups)
    rich = np.flatnonzero(Design(retrieved, groups).n_effective >= _LEAST_GROUPS).tolist()
    part = retrieved[rich]
    values = residuals[part.neighbours]
    errors = []
    for split in range(SPLITS if rich else 0):
        _, codes = np.unique(groups, return_inverse=True)
        first = np.random.default_rng([seed, 37, split]).random(codes.max() + 1) < 0.5
        halves = [_half(part, first[codes], values, groups, pool), _half(part, ~first[codes], values, groups, pool)]
        difference = halves[0].value - halves[1].value
        errors.append(difference / np.sqrt(halves[0].variance + halves[1].variance).clip(min=1e-300))
    return np.concatenate(errors) if errors else np.empty(0)


def _half(
    retrieved: Retrieved, kept: NDArray[np.bool_], values: Floats, groups: NDArray[np.integer[Any]], pool: Floats
) -> Slope:
    """The slope from the images that are `kept`, (n,) bool, each of which stands for two."""
    copies = (retrieved.copies * kept[retrieved.neighbours] * 2).astype(np.float32)
    return Design(replace(retrieved, copies=copies), groups).slope(values, pool)
