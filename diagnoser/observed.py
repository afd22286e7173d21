"""The observed side: real losses of the images that show a phrase, against the rest, and what chance would give.

Every function is pure and takes many phrases at once: memberships are (q, k), one row a phrase, over its k nearest
images. All other images count as not showing it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Correction = Literal["bh", "by"]

_LEAST_CONTRAST = 0.05


@dataclass(frozen=True, slots=True)
class Observed:
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


@dataclass(frozen=True, slots=True)
class Retrieval:
    """How clean q retrievals are, by their own memberships; every array is (q,) float64.

    Attributes
    ----------
    purity : expected share of images that show the phrase, among those found, each counted by its membership.
    share : expected share of images that show the phrase, among all images.
    count : expected number of images found that show the phrase.
    """

    purity: Floats
    share: Floats
    count: Floats

    @classmethod
    def of(cls, memberships: Floats, share: Floats) -> Retrieval:
        """From `memberships`, (q, k), of the nearest images, and the `share` of all, (q,), that show each phrase."""
        count = memberships.sum(axis=1)
        return cls((memberships**2).sum(axis=1) / count, share, count)

    @property
    def against_all(self) -> Floats:
        """Factor that turns (mean found - mean of all) into (mean of those that show it - mean of all).

        With a and b the mean losses of images that do and do not show the phrase, the mean found is purity a + (1 -
        purity) b and the mean of all is share a + (1 - share) b. This is regression calibration for a misclassified
        group (Carroll et al., Measurement Error in Nonlinear Models, 2006, chapter 4).
        """
        return (1 - self.share) / np.maximum(self.purity - self.share, _LEAST_CONTRAST)

    @property
    def against_rest(self) -> Floats:
        """The same for (mean of those that show it - mean of those that do not)."""
        return 1 / np.maximum(self.purity - self.share, _LEAST_CONTRAST)


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
    memberships: Floats, retrieval: Retrieval, neighbours: Floats, losses: Floats, shuffled: NDArray[np.float32]
) -> Observed:
    """Weigh the real losses.

    Parameters
    ----------
    memberships : (q, k) in [0, 1], the chance that each neighbour shows the phrase; no row all zero.
    retrieval : how clean the q retrievals are.
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
    slope = retrieval.against_rest
    lift = (inside - losses.mean()) * slope
    return Observed(lift, n_effective(weights), p, under_null.std(axis=1, dtype=np.float64) * slope)


def q_values(p: Floats, correction: Correction = "bh") -> Floats:
    """Adjusted p-values of one run: "bh", Benjamini and Hochberg (1995), or "by", Benjamini and Yekutieli (2001).

    The first holds where p-values depend on each other positively, as those of paraphrases do; the second under any
    dependence, and is stricter by a factor of about log(number of phrases).
    """
    import scipy.stats

    return np.asarray(scipy.stats.false_discovery_control(p, method=correction), dtype=np.float64)
