"""One minus the mean intersection over union."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def overlap(
    mask: NDArray[np.int64], truth: NDArray[np.int64], ignore: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pixels in common, in the prediction and in the target, for each class that either has; ignored pixels apart."""
    counted = truth != ignore
    said, right = mask[counted], truth[counted]
    classes, numbers = np.unique(np.concatenate([said, right]), return_inverse=True)
    said, right = numbers[: len(said)], numbers[len(said) :]
    size = len(classes)
    common = np.bincount(said[said == right], minlength=size)
    return common, np.bincount(said, minlength=size), np.bincount(right, minlength=size)


def mean_iou(mask: NDArray[np.int64], truth: NDArray[np.int64], ignore: float = 255) -> float:
    """1 - the mean, over classes in either mask, of |A and B| / |A or B|: from 0 to 1; NaN without a pixel that counts.

    `ignore` is the class number of pixels that do not count. Source: Everingham et al. 2010, "The Pascal visual object
    classes challenge", section 4.3, of one image; sklearn.metrics.jaccard_score(average="macro").
    """
    common, said, right = overlap(mask, truth, ignore)
    return float(1 - (common / (said + right - common)).mean()) if len(common) else float("nan")
