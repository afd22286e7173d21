"""Thresholds of support from phrases that images are known to show: below them a phrase is absent.

The one on the centred similarity is a bound below which a share LOST of further such phrases fall. The one on
log_mean_exp is their median: what has as much is never absent, however common it is; a concept that most images show
makes the mean image, so that nothing stands out from it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.support import Support

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

MIN_PHRASES = 8  # to learn from
COMMON = 0.5  # share of the images; more common concepts are not learnt from
LOST = 0.05  # share of the concepts that are there to be called absent


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
