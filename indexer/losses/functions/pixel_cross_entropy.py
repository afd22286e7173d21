"""Mean cross-entropy over pixels."""

from __future__ import annotations

import numpy as np
import scipy.special
from numpy.typing import NDArray


def pixel_cross_entropy(scores: NDArray[np.float64], truth: NDArray[np.int64], ignore: float = 255) -> float:
    """Mean of -log p[y] over pixels that count, in nats, from 0 up; NaN without one.

    `scores` : (C, H, W) logits, or log-probabilities. Source: torch.nn.CrossEntropyLoss(ignore_index=ignore).
    """
    counted = truth != ignore
    if not counted.any():
        return float("nan")
    logs = scipy.special.log_softmax(scores[:, counted], axis=0)
    return float(-logs[truth[counted], np.arange(logs.shape[1])].mean())
