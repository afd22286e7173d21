"""Cross-entropy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.losses.functions.scores import Scores


def cross_entropy(scores: Scores, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """-log p[y] in nats, from 0 up; at most 36 where a probability of 0 was given.

    Source: the negative log-likelihood of a categorical distribution; sklearn.metrics.log_loss before its mean.
    """
    return -scores.log_probabilities[np.arange(len(labels)), labels]
