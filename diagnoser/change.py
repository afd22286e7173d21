"""The change of a loss on the images that show a phrase, from pairs of losses on the same images. Pure functions.

The mean loss of the images that show a phrase is linear in the losses of all images (evidence.py), with weights that
memberships alone give. So is its change from one model to another: the same weights times the differences, image by
image. What makes an image hard for both models cancels; what is left is tested by flipping the signs of the
differences, group by group of repeated images.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.evidence import Design, group_means, tail_p
from fsearch.diagnoser.lift import Scale, contamination, small_sample
from fsearch.diagnoser.retrieval import Retrieved

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Groups = NDArray[np.integer[Any]]


class Changes(NamedTuple):
    """Changes of the mean loss for q phrases, in units of the loss; (q,) float64 each.

    Attributes
    ----------
    value, error : mean loss after less mean loss before on images that show the phrase, and its standard error.
    noise : the part of the error that is of sampling, without doubt about which images show the phrase.
    before : the mean loss before; n_effective : groups of images that carry the evidence.
    p_value : two-sided, of the studentised sum under random signs; never zero.
    """

    value: Floats
    error: Floats
    noise: Floats
    before: Floats
    n_effective: Floats
    p_value: Floats


class WholeChange(NamedTuple):
    """The change of the mean loss of all images, its standard error, and its two-sided p-value."""

    value: float
    error: float
    p_value: float


def changes(
    retrieved: Retrieved, before: Floats, after: Floats, groups: Groups, scale: Scale, permutations: int, seed: int
) -> Changes:
    """Changes on the images that show each of q phrases.

    Parameters
    ----------
    before, after, groups : (n,) of all images of the retriever.
    scale : of the changes: their spread, and how far the mean change differs between kinds of image (Pair.between).
    """
    change = after - before
    signs = _signs(permutations, retrieved.neighbours.shape[1], seed)
    pool = float(group_means(change, groups).var())
    parts = [_changes(part, before, change, groups, scale, pool, signs) for part in retrieved.batches()]
    return Changes(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _changes(
    retrieved: Retrieved, before: Floats, change: Floats, groups: Groups, scale: Scale, pool: float, signs: Singles
) -> Changes:
    design, quality = Design(retrieved, groups), retrieved.quality
    share = 1 - quality.prevalence
    tilt = design.pull * (share / design.spread)[:, None]
    weights = tilt + retrieved.copies / len(change)  # of the mean of those that show it; they sum to one

    def mean_of(losses: Floats) -> Floats:
        return np.asarray(losses.mean() + (tilt * (losses - losses.mean())[retrieved.neighbours]).sum(axis=1))

    seen, value = change[retrieved.neighbours], mean_of(change)
    beyond = value - change.mean()
    centred = retrieved.memberships - quality.prevalence[:, None]
    residual = seen - change.mean() - (beyond / share.clip(min=1e-300))[:, None] * centred
    own = (design.by_group(weights * residual) ** 2).sum(axis=1)
    pooled = (design.by_group(weights) ** 2).sum(axis=1) * pool
    # losses that hardly change elsewhere say nothing of the spread here: the pool only ever adds
    variance = np.maximum(own, (own + pooled) / 2) * small_sample(design.n_effective) ** 2
    doubt = (scale.membership_error * beyond) ** 2 + contamination(quality, scale) ** 2
    p = _flipped(design.by_group(weights * seen), value, signs)
    return Changes(value, np.sqrt(variance + doubt), np.sqrt(variance), mean_of(before), design.n_effective, p)


def whole_change(before: Floats, after: Floats, groups: Groups) -> WholeChange:
    """The change of the mean loss of all n images, by groups of repeats: a cluster-robust t-test.

    The variance is the sandwich of Liang and Zeger (Biometrika 1986) with its correction for the number of groups.
    """
    from scipy.special import stdtr

    change = after - before
    _, codes = np.unique(groups, return_inverse=True)
    value, count = float(change.mean()), int(codes.max()) + 1
    sums = np.bincount(codes, (change - value) / len(change))
    error = float(np.sqrt((sums**2).sum() * count / max(count - 1, 1)))
    if count < 2:
        return WholeChange(value, float("inf"), 1.0)
    if error == 0.0:
        return WholeChange(value, 0.0, 1.0 if value == 0.0 else 0.0)
    return WholeChange(value, error, float(2 * stdtr(count - 1, -abs(value) / error)))


def _signs(permutations: int, width: int, seed: int) -> Singles:
    """(permutations, width) of -1 and 1. One set serves all phrases."""
    rng = np.random.default_rng([seed, 43])
    return (2 * rng.integers(0, 2, (permutations, width), np.int8) - 1).astype(np.float32)


def _flipped(sums: Floats, value: Floats, signs: Singles) -> Floats:
    """(q,) two-sided p-values of `value` against sums of `sums`, (q, k), by group, under random signs.

    Both are divided by the root sum of squares, which no flip changes: valid for any spread of the groups, exact where
    differences are symmetric about zero, as those of two exchangeable models are (Hemerik, Goeman and Finos, JRSS B
    2020); the studentised sum is that of Janssen (1997).
    """
    scale = np.sqrt((sums**2).sum(axis=1)).clip(min=1e-300)
    flipped = np.abs((sums / scale[:, None]).astype(np.float32) @ signs.T)
    return tail_p(np.abs(value) / scale, flipped)
