"""Evidence: what the losses of the judged images say about each phrase, by groups of images that repeat each other.

The difference in loss between images that do and do not show a phrase is the slope of a regression of the loss on
membership, over all images: a chance in place of a yes or no leaves it unbiased where the loss depends on what the
image shows (regression calibration: Carroll et al., Measurement Error in Nonlinear Models, 2006, chapter 4). Frames of
one clip, or crops of one picture, are one piece of evidence: every sum of squares is over groups.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.membership import effective_number
from fsearch.diagnoser.retrieval import Retrieved

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Rows = NDArray[np.int64]
Groups = NDArray[np.integer[Any]]

_MIN_DILUTION = 0.05
NEAREST = 12  # images of the second, narrow look
TAIL = 10  # exceedances below which a p-value is read off a normal tail


class Slope(NamedTuple):
    """Regression of a value on membership for q phrases; (q,) float64 each: the slope and its variance."""

    value: Floats
    variance: Floats


class Design:
    """The regressor of q phrases: memberships, centred, and the group of each judged image.

    Parameters
    ----------
    groups : (n,) integer group of each image of the retriever.

    Attributes
    ----------
    pull : (q, k) how much the value of each image moves the slope, before division by `spread`, (q,).
    n_effective : (q,) number of groups that carry the evidence.
    """

    def __init__(self, retrieved: Retrieved, groups: Groups) -> None:
        quality = retrieved.quality
        self._slots = _slots(groups[retrieved.neighbours])
        self._centred = retrieved.memberships - quality.prevalence[:, None]
        self.pull = retrieved.copies * self._centred
        weights = retrieved.weights
        self.spread = weights.sum(axis=1) * np.maximum(quality.precision - quality.prevalence, _MIN_DILUTION)
        self.n_effective = effective_number(self.by_group(weights))

    def by_group(self, values: Floats) -> Floats:
        """(q, k) sums of `values`, (q, k), over the groups of each row; zeros where there are fewer than k."""
        return _by_slot(values, self._slots)

    def slope(self, values: Floats, pool: Floats) -> Slope:
        """Slope of `values`, (q, k), less their mean over all images, with a variance robust to unequal spread.

        The variance is the mean of two: the sandwich of the groups' own residuals (Liang and Zeger, Biometrika 1986),
        which is right for many groups, and one from `pool`, (g,), the means of all groups, which is steady for few.
        """
        value = (self.pull * values).sum(axis=1) / self.spread
        residual = values - value[:, None] * self._centred
        own = (self.by_group(self.pull * residual) ** 2).sum(axis=1)
        pooled = (self.by_group(self.pull) ** 2).sum(axis=1) * pool.var()
        return Slope(value, (own + pooled) / 2 / self.spread**2)

    def p_values(self, values: Floats, draws: Singles) -> Floats:
        """(q,) one-sided p-values of the slopes of `values`, (q, k), less their mean over all images.

        Studentised permutation: the sum of pulls times values over its root sum of squares, group by group, against the
        same with the groups' means shuffled. So scaled, it is valid where images that show a phrase have losses of the
        same mean but another spread (Janssen, Statistics & Probability Letters 1997).

        Parameters
        ----------
        draws : (permutations, m) from `shuffled_means`, at least as many columns as the largest number of groups.
        """
        sums = self.by_group(self.pull * values)
        seen = sums.sum(axis=1) / np.sqrt((sums**2).sum(axis=1)).clip(min=1e-300)
        pull = self.by_group(self.pull)
        if draws.shape[1] < pull.shape[1]:  # fewer groups than images: the last slots are empty
            pull = pull[:, : draws.shape[1]]
        pull = (pull / np.abs(pull).max(axis=1, keepdims=True).clip(min=1e-300)).astype(np.float32)
        drawn = draws[:, : pull.shape[1]]
        spread = np.sqrt((pull**2) @ (drawn**2).T).clip(min=1e-30)
        return tail_p(seen, (pull @ drawn.T) / spread)


class NearestEvidence(NamedTuple):
    """What the NEAREST images of q phrases lose beyond the mean of all, its error and p-value; (q,) float64 each."""

    lift: Floats
    error: Floats
    p_value: Floats


def nearest_evidence(retrieved: Retrieved, losses: Floats, groups: Groups, draws: Singles) -> NearestEvidence:
    """A narrow look, which needs no memberships: what few images show drowns where memberships count many others.

    The p-values are of plain permutations: a dozen skewed losses studentise themselves into insignificance.

    Parameters
    ----------
    losses, groups : (n,) of all images of the retriever.
    draws : as for `Design.p_values`.
    """
    near = (losses - losses.mean())[retrieved.neighbours[:, :NEAREST]]
    slots = _slots(groups[retrieved.neighbours[:, :NEAREST]])
    lift = near.mean(axis=1)
    error = np.sqrt((_by_slot(near - lift[:, None], slots) ** 2).sum(axis=1)) / near.shape[1]
    counts = _by_slot(np.ones_like(near), slots)[:, : draws.shape[1]].astype(np.float32)
    unit = max(group_means(losses, groups).std(), 1e-300)
    return NearestEvidence(
        lift, error, exponential_tail_p(near.sum(axis=1) / unit, counts @ draws[:, : counts.shape[1]].T)
    )


def exponential_tail_p(seen: Floats, under_null: NDArray[np.floating]) -> Floats:
    """(q,) share of `under_null`, (q, b), at or above `seen`, (q,); never zero.

    Below TAIL exceedances an exponential tail is fitted to the largest: a generalised Pareto tail of shape zero
    (Knijnenburg et al., Bioinformatics 2009), which sums of skewed losses have.
    """
    b = under_null.shape[1]
    reached = (under_null >= (seen - 1e-6 * np.abs(seen))[:, None]).sum(axis=1)
    p: Floats = (1 + reached) / (1 + b)
    largest = -np.partition(-under_null, TAIL, axis=1)[:, : TAIL + 1].astype(np.float64)
    hook = largest[:, TAIL]
    scale = (largest[:, :TAIL] - hook[:, None]).mean(axis=1).clip(min=1e-300)
    far = np.exp(np.log(TAIL / b) - np.maximum(seen - hook, 0.0) / scale).clip(min=1e-300)
    return np.asarray(np.where(reached < TAIL, far, p), np.float64)


def _by_slot(values: Floats, slots: Rows | None) -> Floats:
    """(q, k) sums of `values`, (q, k), over the groups of each row, from `_slots`."""
    if slots is None:
        return values
    q, k = values.shape
    flat = slots + np.arange(0, q * k, k)[:, None]
    return np.asarray(np.bincount(flat.ravel(), values.ravel(), minlength=q * k), np.float64).reshape(q, k)


def shuffled_means(losses: Floats, groups: Groups, most: int, permutations: int, seed: int) -> Singles:
    """(permutations, m) means of the groups of `losses`, (n,), less their mean, drawn without replacement.

    m is the number of groups, at most `most`; scaled to a spread of one, so that no unit of the loss is too small. One
    set of draws serves every phrase, so a thousand phrases cost one matrix product; each p-value stays valid, and the
    phrases' dependence stays as it is in the data.
    """
    means = group_means(losses, groups)
    means = (means / max(means.std(), 1e-300)).astype(np.float32).astype(np.float64)  # NumPy shuffles 8 bytes faster
    rng = np.random.default_rng([seed, 23])
    m = min(most, len(means))
    drawn = np.empty((permutations, m), np.float32)
    for row in drawn:
        row[:] = rng.permutation(means) if m == len(means) else rng.choice(means, m, replace=False)
    return drawn


def group_means(losses: Floats, groups: Groups) -> Floats:
    """(g,) mean of `losses`, (n,), in each group that occurs in `groups`, (n,), less the mean of all images."""
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return np.asarray(np.bincount(codes, losses - losses.mean()) / sizes, np.float64)


def tail_p(seen: Floats, under_null: NDArray[np.floating]) -> Floats:
    """(q,) share of `under_null`, (q, b), at or above `seen`, (q,); never zero (Phipson and Smyth, 2010).

    With fewer than TAIL exceedances the share is too coarse, and a long list of phrases needs smaller p-values than b
    permutations give. A self-normalised sum has a tail no heavier than a normal one far out (Shao, Annals of
    Probability 1997), so the normal tail is hung from the TAIL-th largest (the idea of Knijnenburg et al.,
    Bioinformatics 2009, who take a Pareto tail).
    """
    from scipy.special import log_ndtr

    b = under_null.shape[1]
    reached = (under_null >= (seen - 1e-6 * np.abs(seen))[:, None]).sum(axis=1)
    p: Floats = (1 + reached) / (1 + b)
    if b < 10 * TAIL:
        return p
    hook = np.partition(under_null, b - TAIL, axis=1)[:, b - TAIL].astype(np.float64)
    far = np.exp(np.log(TAIL / b) + np.minimum(log_ndtr(-seen) - log_ndtr(-hook), 0.0)).clip(min=1e-300)
    return np.asarray(np.where((reached < TAIL) & (hook > 0), far, p), np.float64)


def _slots(codes: Groups) -> Rows | None:
    """(q, k) number of the group of each image within its row, from 0; None where no group repeats."""
    order = np.argsort(codes, axis=1, kind="stable")
    ranked = np.take_along_axis(codes, order, axis=1)
    new = np.concatenate([np.zeros((len(codes), 1), bool), ranked[:, 1:] != ranked[:, :-1]], axis=1)
    if new[:, 1:].all():
        return None
    slots = np.empty(codes.shape, np.int64)
    np.put_along_axis(slots, order, new.cumsum(axis=1), axis=1)
    return slots
