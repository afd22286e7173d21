"""Which failing phrases share their images, and what is left of each lift after adjusting for the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.retrieval import Retrieved

if TYPE_CHECKING:
    import scipy.sparse

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Groups = NDArray[np.integer[Any]]

SAME_IMAGES = 0.5  # overlap above which two phrases are wordings of one thing, not causes to be told apart
MAX_INFLATION = 10.0  # of a coefficient's variance by the other phrases; beyond, nothing can be told apart


@dataclass(frozen=True, slots=True)
class Confounding:
    """For f failing phrases.

    Attributes
    ----------
    overlap : (f, f) weighted Jaccard index of the images that show each pair, 1 on the diagonal (Ruzicka, 1958).
    adjusted, error : (f,) difference in loss between images that do and do not show a phrase, the other phrases being
        equal, and its standard error by groups of images; NaN where the others nearly determine the phrase.
    """

    overlap: Floats
    adjusted: Floats
    error: Floats


def confounding(retrieved: Retrieved, losses: Floats, groups: Groups) -> Confounding:
    """Overlap and adjusted lifts of the f phrases of `retrieved`, from `losses` and `groups`, (n,) each.

    The adjusted lift is the phrase's coefficient in a regression of the losses on the memberships of all f phrases but
    its own other wordings (overlap above SAME_IMAGES). A chance in place of a yes or no leaves the coefficient unbiased
    where the loss depends on what the image shows (regression calibration: Carroll et al., 2006, chapter 4). Where the
    variance inflation factor (Marquardt, Technometrics 1970) exceeds MAX_INFLATION there is no answer.
    """
    f, n = len(retrieved), len(losses)
    roots = _sparse(retrieved, retrieved.memberships * np.sqrt(retrieved.copies), n)
    shows = _sparse(retrieved, retrieved.weights, n)
    overlap = _jaccard(shows)
    mean = retrieved.weights.sum(axis=1) / n
    centred = losses - losses.mean()
    gram = (roots @ roots.T).toarray() / n - np.outer(mean, mean)
    moment = shows @ centred / n
    adjusted, error = np.full(f, np.nan), np.full(f, np.nan)
    for i in range(f):
        used = np.append(i, np.flatnonzero(overlap[i] <= SAME_IMAGES))
        part = gram[np.ix_(used, used)]
        inverse = np.linalg.inv(part + 1e-9 * np.diag(np.diag(part)))
        if part[0, 0] * inverse[0, 0] > MAX_INFLATION:
            continue
        coefficients = inverse @ moment[used]
        residual = centred - coefficients @ (shows[used.tolist()].toarray() - mean[used][:, None])
        pull = inverse[0] @ (shows[used.tolist()].toarray() - mean[used][:, None]) / n
        adjusted[i] = coefficients[0]
        error[i] = np.sqrt((np.bincount(groups, pull * residual) ** 2).sum())
    return Confounding(overlap, adjusted, error)


def _sparse(retrieved: Retrieved, values: Floats, n: int) -> scipy.sparse.csr_array:
    """(f, n) `values`, (f, k), at the images they belong to."""
    import scipy.sparse

    starts = np.arange(0, values.size + 1, values.shape[1])
    return scipy.sparse.csr_array((values.ravel(), retrieved.neighbours.ravel(), starts), shape=(len(values), n))


def _jaccard(shows: scipy.sparse.csr_array) -> Floats:
    f = shows.shape[0]
    total = shows.sum(axis=1)
    overlap = np.eye(f)
    for i in range(f):
        both = shows[i + 1 :].minimum(_repeat(shows[[i]], f - i - 1)).sum(axis=1) if i + 1 < f else np.empty(0)
        overlap[i, i + 1 :] = overlap[i + 1 :, i] = both / (total[i] + total[i + 1 :] - both)
    return overlap


def _repeat(row: scipy.sparse.csr_array, times: int) -> scipy.sparse.csr_array:
    import scipy.sparse

    return scipy.sparse.csr_array(
        (np.tile(row.data, times), np.tile(row.indices, times), np.arange(times + 1) * row.nnz),
        shape=(times, row.shape[1]),
    )
