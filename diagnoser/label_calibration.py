"""Learn from labelled images how an encoder is to be read: its temperature, how right memberships are, what is absent.

The temperature is the likeliest for the labels of all phrases, where a membership is the chance that an image shows a
phrase. The rest is in truth_slope.py and label_thresholds.py, and label_check.py tries it out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.label_check import Check, leave_one_out
from fsearch.diagnoser.label_thresholds import COMMON, MIN_PHRASES, thresholds
from fsearch.diagnoser.labelled import Labelled, auroc
from fsearch.diagnoser.membership import anchor_similarity, membership
from fsearch.diagnoser.reference_bank import ReferenceBank
from fsearch.diagnoser.retrieval import Retriever, judged_images
from fsearch.diagnoser.truth_slope import pooled_slope, slopes_of_truth
from fsearch.indexer.vector_index.exact_search import NearestImages

Singles = NDArray[np.float32]
Rows = NDArray[np.int64]

_FACTORS = np.geomspace(0.5, 2.0, 17)  # of the encoder's own temperature
_FACTOR_SPREAD = 0.25  # expected of the logarithm of that factor
_CERTAIN = (1e-4, 0.97)  # no label is less likely, or likelier


@dataclass(frozen=True, slots=True)
class Learnt:
    """What labels taught. See indexer/workspace/calibration.py for the first five.

    Attributes
    ----------
    auroc : of the similarity, mean over phrases: how well the encoder tells what is labelled.
    at_random : whether the labelled images seem drawn at random.
    check : what became of phrases that were left out one by one.
    """

    logit_scale: float
    slope: float
    slope_error: float
    centred_similarity: float | None
    log_mean_exp: float | None
    auroc: float
    at_random: bool
    check: Check


def learn(index: NearestImages, rows: Rows, reference: ReferenceBank, labelled: Labelled) -> Learnt:
    """Learn from `labelled` images how to read an encoder.

    Parameters
    ----------
    rows : (n,) rising global rows of all images, labelled or not: anchors and support are of these.
    reference : of the encoder, not calibrated.
    """
    vectors = index.vectors[labelled.rows].astype(np.float32)
    generic = reference.generic
    alike = (labelled.texts - generic) @ vectors.T
    rare = np.flatnonzero(labelled.share <= COMMON)
    enough, scale = len(rare) >= MIN_PHRASES, reference.logit_scale
    if enough:
        near = Retriever(index, rows, scale, generic=generic).find(labelled.texts).similarities
        scale = likeliest_scale(near[:, : judged_images(len(rows))[0]], alike, labelled, scale)
    retriever = Retriever(index, rows, scale, generic=generic, text_mean=reference.text_mean)
    found = retriever.find(labelled.texts)
    chances = membership(alike, found.support.anchor, found.scale)
    slopes = slopes_of_truth(chances, labelled, found.quality, len(rows))
    slope, error = pooled_slope(slopes.values, slopes.noise)
    centred, log_mean_exp = thresholds(found.support, rare) if enough else (None, None)
    check = leave_one_out(retriever, found, labelled, rare, scale, reference)
    told = auroc(alike, labelled)
    return Learnt(scale, slope, error, centred, log_mean_exp, told, slopes.at_random, check)


def likeliest_scale(near: Singles, alike: Singles, labelled: Labelled, own: float) -> float:
    """The temperature at which memberships make the labels likeliest, each phrase with one voice.

    A factor on the encoder's `own` scale is expected to be near one.

    Parameters
    ----------
    near : (q, k) similarities of the nearest images, falling, by which anchors are set.
    alike : (q, m) of the labelled images.
    """
    yes, no = labelled.known & labelled.shows, labelled.known & ~labelled.shows
    fits = []
    for factor in _FACTORS:
        chance = membership(alike, anchor_similarity(near, own * factor), own * factor).clip(*_CERTAIN)
        told = (np.log(chance) * yes + np.log1p(-chance) * no).sum(axis=1) / yes.sum(axis=1)
        fits.append(told.sum() - (np.log(factor) / _FACTOR_SPREAD) ** 2 / 2)
    return float(own * _FACTORS[int(np.argmax(fits))])
