"""Which failing phrases share their images, and what is left of each lift after adjusting for the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import scipy.sparse

Floats = NDArray[np.float64]

SAME_IMAGES = 0.5  # overlap above which two phrases are wordings of one thing, not causes to be told apart


@dataclass(frozen=True, slots=True)
class Confounding:
    """For f failing phrases.

    Attributes
    ----------
    overlap : (f, f) weighted Jaccard index of the images that show each pair, 1 on the diagonal (Ruzicka, 1958).
    adjusted : (f,) difference in loss between images that do and do not show a phrase, the other phrases being equal.
    """

    overlap: Floats
    adjusted: Floats


def confounding(neighbours: NDArray[np.int64], memberships: Floats, losses: Floats) -> Confounding:
    """Overlap and adjusted lifts of f phrases from `neighbours` and `memberships`, (f, k), and `losses`, (n,).

    The adjusted lift is the phrase's coefficient in a regression of the losses on the memberships of all f phrases but
    its own other wordings (overlap above SAME_IMAGES). A chance in place of a yes or no leaves the coefficient unbiased
    where the loss depends on what the image shows (regression calibration: Carroll et al., 2006, chapter 4).
    """
    import scipy.sparse

    f, k = neighbours.shape
    starts = np.arange(0, f * k + 1, k)
    shows = scipy.sparse.csr_array((memberships.ravel(), neighbours.ravel(), starts), shape=(f, len(losses)))
    overlap = _jaccard(shows)
    mean = memberships.sum(axis=1) / len(losses)
    gram = (shows @ shows.T).toarray() / len(losses) - np.outer(mean, mean)
    moment = shows @ (losses - losses.mean()) / len(losses)
    adjusted = np.empty(f)
    for i in range(f):
        others = np.flatnonzero(overlap[i] <= SAME_IMAGES)
        used = np.append(i, others)
        adjusted[i] = np.linalg.lstsq(gram[np.ix_(used, used)], moment[used], rcond=1e-6)[0][0]
    return Confounding(overlap, adjusted)


def _jaccard(shows: scipy.sparse.csr_array) -> Floats:
    f = shows.shape[0]
    total = shows.sum(axis=1)
    overlap = np.eye(f)
    for i in range(f):
        both = shows[i + 1 :].minimum(_repeat(shows[[i]], f - i - 1)).sum(axis=1) if i + 1 < f else np.empty(0)
        overlap[i, i + 1 :] = overlap[i + 1 :, i] = both / (total[i] + total[i + 1 :] - both)
    return overlap


def _repeat(row: scipy.sparse.csr_array, times: int) -> scipy.sparse.csr_array:
    return type(row)(
        (np.tile(row.data, times), np.tile(row.indices, times), np.arange(times + 1) * row.nnz),
        shape=(times, row.shape[1]),
    )
