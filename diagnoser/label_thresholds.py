"""Thresholds of support from phrases that images are known to show: below them a phrase is absent.

The one on the centred similarity is a bound below which a share LOST of further such phrases fall. The one on
log_mean_exp is their median: what has as much is never absent, however common it is; a concept that most images show
makes the mean image, so that nothing stands out from it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.centring import centred_similarity, mean_vector
from fsearch.diagnoser.labelled import Labelled
from fsearch.diagnoser.membership import anchor_similarity, membership
from fsearch.diagnoser.reference_bank import ReferenceBank
from fsearch.diagnoser.support import Support

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Rows = NDArray[np.int64]

MIN_PHRASES = 8  # to learn from
COMMON = 0.5  # share of the images; more common concepts are not learnt from
LOST = 0.05  # share of the concepts that are there to be called absent
_IMAGES, _PHRASES, _LEAST = 4096, 100, 50  # of a check: at most as many, and at least so many images


def thresholds(support: Support, some: Rows) -> tuple[float, float]:
    """Centred similarity and log_mean_exp, below both of which a phrase is absent, from the phrases at `some`."""
    return prediction_bound(support.centred[some]), float(np.median(support.log_mean_exp[some]))


def prediction_bound(values: Floats, share: float = LOST) -> float:
    """The value below which a further draw lies with chance `share`, if all, (n,), are drawn from one normal.

    See Geisser, Predictive Inference, 1993.
    """
    from scipy.special import stdtrit

    n = len(values)
    return float(values.mean() + stdtrit(n - 1, share) * values.std(ddof=1) * np.sqrt(1 + 1 / n))


def leave_one_out(
    vectors: Singles, labelled: Labelled, some: Rows, scale: float, reference: ReferenceBank
) -> tuple[int, int, int]:
    """How many of the phrases at `some` were left out one by one, and how many of them are absent by the others.

    Of the last two numbers, the first is with the images that show the phrase, the second without. All is among the
    labelled images, `vectors` (m, d), since of others it is not known what they show.
    """
    rng = np.random.default_rng(0)
    images = np.sort(rng.permutation(len(vectors))[:_IMAGES])
    there, gone = [], []
    for i in np.sort(rng.permutation(some)[:_PHRASES]):
        known, shows = labelled.known[i, images], labelled.shows[i, images]
        if (known & ~shows).sum() >= _LEAST and (known & shows).any():
            text = labelled.texts[[i]]
            there.append(support_among(vectors[images[known]], text, scale, reference))
            gone.append(support_among(vectors[images[known & ~shows]], text, scale, reference))
    if len(there) <= MIN_PHRASES:
        return 0, 0, 0
    whole, without = Support.joined(there), Support.joined(gone)
    absent = [0, 0]
    for i in range(len(there)):
        limits = thresholds(whole, np.delete(np.arange(len(there)), i))
        for k, support in enumerate((whole, without)):
            absent[k] += int(support.centred[i] < limits[0] and support.log_mean_exp[i] < limits[1])
    return len(there), absent[0], absent[1]


def support_among(vectors: Singles, texts: Singles, scale: float, reference: ReferenceBank) -> Support:
    """The support that images `vectors`, (n, d), give to phrases `texts`, (q, d)."""
    alike = np.asarray((texts - reference.generic) @ vectors.T, np.float32)
    near = np.argsort(-alike, axis=1)
    falling = np.take_along_axis(alike, near, axis=1)
    anchor = anchor_similarity(falling, scale)
    share = membership(falling, anchor, scale).mean(axis=1)
    means = mean_vector(vectors), reference.text_mean
    return Support.of(anchor, share, scale, centred_similarity(texts, near, vectors.__getitem__, *means))
