"""Stratified subsample to fit on where there are more images than an ensemble needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.groups import Groups, singletons
from fsearch.indexer.storage.vectors import Embeddings, placed_blocks

FIT_IMAGES = 50_000
_LOSS_BINS, _DIRECTIONS, _PCA_SAMPLE = 10, 4, 20_000


def fitting_rows(
    embeddings: Embeddings,
    losses: NDArray[np.float64],
    seed: int,
    limit: int = FIT_IMAGES,
    groups: Groups | None = None,
) -> NDArray[np.int64]:
    """Rising positions of about `limit` of n images, every stratum in its own proportion.

    Strata are tenths of the loss by region; a region is the side of the mean an image lies on along each of the first
    four principal directions. Shares stay as they are, so nothing needs weights afterwards. Groups of repeated images
    come whole, each in the stratum of its mean loss and first image; where each image is its own, `limit` is exact.

    Parameters
    ----------
    embeddings : (n, d), read in blocks, so it may be on disk; `losses` : (n,); `groups` : (n,).
    """
    n = len(losses)
    if n <= limit:
        return np.arange(n)
    groups = singletons(n) if groups is None else groups
    sizes = np.bincount(groups)
    rng = np.random.default_rng([seed, 41])
    some = np.sort(rng.choice(n, min(n, _PCA_SAMPLE), replace=False))
    sampled = embeddings[some].astype(np.float32)
    centre = sampled.mean(axis=0)
    directions = np.linalg.eigh(np.cov(sampled.T))[1][:, -_DIRECTIONS:].astype(np.float32)
    region = np.zeros(n, np.int64)
    for start, block in placed_blocks(embeddings):
        sides = (block.astype(np.float32) - centre) @ directions > 0
        region[start : start + len(block)] = sides @ (1 << np.arange(sides.shape[1]))
    means = np.bincount(groups, losses) / sizes
    edges = np.quantile(means, np.linspace(0, 1, _LOSS_BINS + 1)[1:-1])
    first = np.unique(groups, return_index=True)[1]
    stratum = region[first] * _LOSS_BINS + np.searchsorted(edges, means, side="right")
    # In order of stratum, shuffled within: evenly spaced picks then take each stratum's own share.
    order = np.lexsort((rng.random(len(sizes)), stratum))
    count = max(1, round(len(sizes) * (limit / n)))
    picked = np.zeros(len(sizes), bool)
    places = np.floor((np.arange(count) + rng.random()) * (len(sizes) / count)).astype(np.int64)
    picked[order[places]] = True
    return np.flatnonzero(picked[groups])
