"""The slope of the truth on membership: 1 where memberships are right on average, by labels of some images.

A lift is the slope of the loss on membership. Divided by the slope of the truth it is the lift of what images truly
show (regression calibration: Carroll et al., Measurement Error in Nonlinear Models, 2006, chapter 4); how far phrases
lie from each other is the error that memberships bring into every lift.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.labelled import Labelled
from fsearch.diagnoser.lift import MEMBERSHIP_ERROR
from fsearch.diagnoser.retrieval_quality import RetrievalQuality

Floats = NDArray[np.float64]

PRIOR_PHRASES = 4.0  # that what is assumed without labels counts as: a slope of 1, give or take MEMBERSHIP_ERROR
_ALIKE = 1.4  # by as much memberships may vary more, or less, among images drawn at random than among all
_LEAST, _MOST = 0.05, 20.0
_LEAST_SPREAD = 1e-12  # variance of memberships over all images


class Slopes(NamedTuple):
    """Slopes of the truth on membership of the phrases that have one.

    Attributes
    ----------
    values, noise : (s,) and their variances, for not all images are labelled.
    at_random : whether the labelled images seem drawn at random.
    """

    values: Floats
    noise: Floats
    at_random: bool


def slopes_of_truth(memberships: Floats, labelled: Labelled, quality: RetrievalQuality, images: int) -> Slopes:
    """A slope for each phrase from the labelled images and, where these are like a random sample, from all others too.

    A phrase that all images show alike, as far as the encoder can tell, has none.

    Parameters
    ----------
    memberships : (q, m) of the labelled images.
    quality : of the phrases among all `images`: it holds the mean and the variance of their memberships.
    """
    mean, spread = quality.prevalence, quality.prevalence * (quality.precision - quality.prevalence)
    away = np.where(labelled.known, memberships - mean[:, None], 0.0)
    told = spread > _LEAST_SPREAD
    if not told.all():
        labelled = labelled.of(told)
        memberships, away, spread = memberships[told], away[told], spread[told]
    if not len(spread):
        return Slopes(np.empty(0), np.empty(0), False)
    varies = (away**2).sum(axis=1) / labelled.counts / spread
    at_random = 1 / _ALIKE < float(varies.mean()) < _ALIKE
    values, noise = (
        _prediction_powered(memberships, away, spread, labelled) if at_random else _least_squares(memberships, labelled)
    )
    return Slopes(values, noise * (1 - labelled.counts / images), at_random)


def _prediction_powered(memberships: Floats, away: Floats, spread: Floats, labelled: Labelled) -> tuple[Floats, Floats]:
    """Prediction-powered inference (Angelopoulos et al., Science 2023), with memberships as predictions.

    The covariance of membership and truth is that of membership with itself, over all images, and what it misses on the
    labelled ones. With few labels it errs by half as much as least squares (benchmarks/calibration).
    """
    missed = away * (labelled.shows - memberships)
    scale = labelled.counts * spread
    return 1 + missed.sum(axis=1) / scale, (missed**2).sum(axis=1) / scale**2


def _least_squares(memberships: Floats, labelled: Labelled) -> tuple[Floats, Floats]:
    """On the labelled images alone, with a variance robust to unequal spread (White, Econometrica 1980)."""
    mean = np.where(labelled.known, memberships, 0.0).sum(axis=1) / labelled.counts
    away = np.where(labelled.known, memberships - mean[:, None], 0.0)
    power = (away**2).sum(axis=1).clip(min=1e-12)
    values = (away * labelled.shows).sum(axis=1) / power
    residual = labelled.shows - labelled.share[:, None] - values[:, None] * away
    return values, ((away * residual) ** 2).sum(axis=1) / power**2


def pooled_slope(slopes: Floats, noise: Floats) -> tuple[float, float]:
    """Mean of the slopes of phrases, (q,), and how far that of a further phrase lies from it, as a share of it.

    What slopes vary by because few images were labelled, `noise` (q,), is taken off their spread (DerSimonian and
    Laird, Controlled Clinical Trials 1986). Few phrases move little from what is assumed without labels.
    """
    count = PRIOR_PHRASES + len(slopes)
    mean = min(max(float((PRIOR_PHRASES + slopes.sum()) / count), _LEAST), _MOST)
    between = PRIOR_PHRASES * MEMBERSHIP_ERROR**2 + max(float(((slopes - mean) ** 2 - noise).sum()), 0.0)
    return mean, float(np.sqrt(between / count * (1 + 1 / count))) / mean
