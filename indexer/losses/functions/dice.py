"""One minus the mean Dice coefficient."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.losses.functions.mean_iou import overlap


def dice(mask: NDArray[np.int64], truth: NDArray[np.int64], ignore: float = 255) -> float:
    """1 - the mean, over classes in either mask, of 2 |A and B| / (|A| + |B|): from 0 to 1.

    NaN without a pixel that counts.
    Source: Dice 1945, "Measures of the amount of ecologic association between species";
    sklearn.metrics.f1_score(average="macro").
    """
    common, said, right = overlap(mask, truth, ignore)
    return float(1 - (2 * common / (said + right)).mean()) if len(common) else float("nan")
