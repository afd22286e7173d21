"""Observed evidence: real losses of the images that show a phrase against the rest, with permutation p-values.

Every function is pure and takes many phrases at once: memberships are (q, k), one row a phrase, over its k nearest
images. All other images count as not showing it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.choices import Correction
from fsearch.diagnoser.retrieval import RetrievalQuality

Floats = NDArray[np.float64]


class Observed(NamedTuple):
    """Evidence for q phrases; every array is (q,) float64.

    Attributes
    ----------
    lift : mean loss of the images that show the phrase, less the mean loss of the rest, corrected for images that only
        seem to show it.
    n_effective : how many equally weighted images carry as much evidence (Kish, 1965).
    p_value : share of permutations of the losses with a lift at least as large (Phipson and Smyth, 2010: never zero).
    error : standard deviation of the lift when the losses are permuted.
    """

    lift: Floats
    n_effective: Floats
    p_value: Floats
    error: Floats


def normalised(memberships: Floats) -> Floats:
    """Rows of `memberships`, (q, k), scaled to sum to one: weights of a mean."""
    return memberships / memberships.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


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


def observe(
    memberships: Floats, quality: RetrievalQuality, neighbours: Floats, losses: Floats, shuffled: NDArray[np.float32]
) -> Observed:
    """Observed lifts, with permutation p-values.

    Parameters
    ----------
    memberships : (q, k) in [0, 1], the chance that each neighbour shows the phrase; no row all zero.
    quality : precision and prevalence of the q retrievals.
    neighbours : (q, k), the losses of each phrase's k nearest images.
    losses : (n,), the losses of all images.
    shuffled : (permutations, k) from `permuted_losses`.
    """
    weights = normalised(memberships)
    inside = (weights * neighbours).sum(axis=1)
    under_null = weights.astype(np.float32) @ shuffled.T
    reached = (under_null >= (inside - 1e-9)[:, None]).sum(axis=1)
    p = (1 + reached) / (1 + shuffled.shape[0])
    # The lift is linear in the mean inside, so permuting the mean is as good as permuting the lift.
    slope = quality.against_rest
    lift = (inside - losses.mean()) * slope
    return Observed(lift, n_effective(weights), p, under_null.std(axis=1, dtype=np.float64) * slope)


def q_values(p: Floats, correction: Correction = "bh") -> Floats:
    """Adjusted p-values of one run: "bh", Benjamini and Hochberg (1995), or "by", Benjamini and Yekutieli (2001).

    The first holds where p-values depend on each other positively, as those of paraphrases do; the second under any
    dependence, and is stricter by a factor of about log(number of phrases).
    """
    import scipy.stats

    return np.asarray(scipy.stats.false_discovery_control(p, method=correction), dtype=np.float64)
