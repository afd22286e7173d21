"""Top-k error."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.losses.functions.scores import Scores


def top_k_error(scores: Scores, labels: NDArray[np.int64], k: float = 5) -> NDArray[np.float64]:
    """1 where at least k classes score higher than the right one, else 0. Ties are in favour of the right class.

    Source: Russakovsky et al. 2015, "ImageNet large scale visual recognition challenge", section 4.1.
    """
    right = scores.values[np.arange(len(labels)), labels]
    return np.asarray((scores.values > right[:, None]).sum(axis=1) >= k, np.float64)
