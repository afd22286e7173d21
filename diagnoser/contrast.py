"""Phrases against each other: is the loss on images of "dark skin" higher than on images of "light skin"?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.evidence import group_means, shuffled_means, tail_p
from fsearch.diagnoser.retrieval import Retrieved

if TYPE_CHECKING:
    import scipy.sparse

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Groups = NDArray[np.integer[Any]]

_MAX_DRAWS = 100_000_000  # losses in memory at once, 4 bytes each


class Contrasts(NamedTuple):
    """For g phrases, (g,) float64 each: the difference from the others, its standard error, and its one-sided p."""

    difference: Floats
    error: Floats
    p_value: Floats


def contrasts(retrieved: Retrieved, losses: Floats, groups: Groups, permutations: int, seed: int) -> Contrasts:
    """Mean loss of images that show each phrase less that of images that show the others, each of which counts alike.

    The mean loss of images that show a phrase is linear in the losses of all images (evidence.py), and so is a
    difference of such means: an image that shows both sides pulls on neither. Its p-value and standard error are found
    as those of one phrase are, group of images by group.

    Parameters
    ----------
    retrieved : of g phrases, at least 2; losses, groups : (n,) of all images.
    """
    import scipy.sparse

    g = len(retrieved)
    quality = retrieved.quality
    centred = retrieved.memberships - quality.prevalence[:, None]
    pull = retrieved.copies * centred * (quality.against_all / retrieved.weights.sum(axis=1))[:, None]
    involved, columns = np.unique(retrieved.neighbours, return_inverse=True)
    starts = np.arange(0, pull.size + 1, pull.shape[1])
    own = scipy.sparse.csr_array((pull.ravel(), columns.ravel(), starts), shape=(g, len(involved))).toarray()
    against = (own * g - own.sum(axis=0)) / (g - 1)
    values = (losses - losses.mean())[involved]
    _, codes = np.unique(groups[involved], return_inverse=True)
    by_group = scipy.sparse.csr_array((np.ones(len(codes)), (np.arange(len(codes)), codes)))
    sums, pulls = (against * values) @ by_group, against @ by_group
    difference = sums.sum(axis=1)
    pooled = (pulls**2).sum(axis=1) * group_means(losses, groups).var()
    error = np.sqrt((_own_variance(against, values, by_group) + pooled) / 2)
    permutations = max(100, min(permutations, _MAX_DRAWS // pulls.shape[1]))
    draws = shuffled_means(losses, groups, pulls.shape[1], permutations, seed).astype(np.float64)
    pulls = pulls / np.abs(pulls).max(axis=1, keepdims=True).clip(min=1e-300)
    under_null = (pulls @ draws.T) / np.sqrt(pulls**2 @ (draws**2).T).clip(min=1e-300)
    seen = difference / np.sqrt((sums**2).sum(axis=1)).clip(min=1e-300)
    return Contrasts(difference, error, tail_p(seen, under_null))


def _own_variance(pull: Floats, values: Floats, by_group: scipy.sparse.csr_array) -> Floats:
    """(g,) sandwich variance of each row of `pull`, (g, m), times `values`, (m,), about the means of its two sides."""
    variance = np.zeros(len(pull))
    for side in (pull.clip(min=0), (-pull).clip(min=0)):
        mean = (side * values).sum(axis=1) / side.sum(axis=1).clip(min=1e-300)
        residual = side * (values - mean[:, None])
        variance += ((residual @ by_group) ** 2).sum(axis=1)
    return variance
