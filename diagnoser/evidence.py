"""The observed side: real losses of the images that show a phrase, against the rest, and what chance would give.

Every function is pure and takes many phrases at once: weights are (q, k), one row a phrase, over its k nearest images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Observed:
    """Evidence for q phrases; every array is (q,) float64.

    Attributes
    ----------
    lift : weighted mean loss of the images that show the phrase, less the mean loss of the rest.
    n_effective : how many equally weighted images carry as much evidence (Kish, 1965).
    p_value : share of permutations of the losses with a lift at least as large (Phipson and Smyth, 2010: never zero).
    error : standard deviation of the lift when the losses are permuted.
    """

    lift: Floats
    n_effective: Floats
    p_value: Floats
    error: Floats


def n_effective(weights: Floats) -> Floats:
    """Kish's effective sample size of each row of `weights`, (q, k): (sum w)^2 / sum w^2."""
    return weights.sum(axis=1) ** 2 / (weights**2).sum(axis=1)  # type: ignore[no-any-return]


def permuted_losses(losses: Floats, k: int, permutations: int, seed: int) -> NDArray[np.float32]:
    """Losses of k images drawn without replacement, (permutations, k): what k neighbours hold if losses are shuffled.

    One set of draws serves every phrase of a run, so a run of a thousand phrases costs one matrix product. Each p-value
    stays valid; phrases share the same permutations, which keeps their dependence as it is in the data.
    """
    rng = np.random.default_rng([seed, 23])
    drawn = np.empty((permutations, k), np.float32)
    for row in drawn:
        row[:] = losses[rng.choice(len(losses), k, replace=False)]
    return drawn


def observe(weights: Floats, neighbours: Floats, losses: Floats, shuffled: NDArray[np.float32]) -> Observed:
    """Weigh the real losses.

    Parameters
    ----------
    weights : (q, k), rows sum to one.
    neighbours : (q, k), the losses of each phrase's k nearest images.
    losses : (n,), the losses of all images.
    shuffled : (permutations, k) from `permuted_losses`.
    """
    inside = (weights * neighbours).sum(axis=1)
    under_null = weights.astype(np.float32) @ shuffled.T
    reached = (under_null >= (inside - 1e-9)[:, None]).sum(axis=1)
    p = (1 + reached) / (1 + shuffled.shape[0])
    # An image is inside to the degree of its weight over the largest weight. The lift is then linear in the mean
    # inside, with a slope of all over outside, so permuting the mean is as good as permuting the lift.
    outside = np.maximum(len(losses) - weights.sum(axis=1) / weights.max(axis=1), 1e-9)
    slope = len(losses) / outside
    lift = inside * slope - losses.sum() / outside
    return Observed(lift, n_effective(weights), p, under_null.std(axis=1, dtype=np.float64) * slope)


def q_values(p: Floats) -> Floats:
    """Benjamini and Hochberg's (1995) adjusted p-values of one run."""
    import scipy.stats

    return np.asarray(scipy.stats.false_discovery_control(p, method="bh"), dtype=np.float64)
