"""Groups of images that are no independent evidence (frames, bursts, crops): drawn, held out and shuffled together.

Group numbers are (n,) int, one an image, from 0 in order of first appearance (`near_duplicates.dense`). Where each
image is its own group, everything here gives to the bit what it would give without groups.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Groups = NDArray[np.integer]


def singletons(count: int) -> NDArray[np.int32]:
    """Each image its own group."""
    return np.arange(count, dtype=np.int32)


def shuffled(values: Floats, groups: Groups, rng: np.random.Generator) -> Floats:
    """`values`, (n,), shuffled by whole groups: what stood together stands together again, wherever it goes.

    Images are lined up group by group, and so are the values of the groups in random order; groups of one size are
    exchanged exactly, those of several sizes but for their ends.
    """
    order = np.argsort(groups, kind="stable")
    sizes = np.bincount(groups)
    starts = np.cumsum(sizes) - sizes
    drawn = rng.permutation(len(sizes))
    ends = np.cumsum(sizes[drawn])
    positions = np.arange(len(values)) + np.repeat(starts[drawn] - (ends - sizes[drawn]), sizes[drawn])
    result = np.empty_like(values)
    result[order] = values[order][positions]
    return result


def effective_images(values: Floats, groups: Groups) -> float:
    """How many independent images `values`, (n,), of such groups are worth, from their number of groups to n.

    n over the design effect 1 + (m - 1) rho (Kish, Survey Sampling, 1965), m the size of the group of a mean image, rho
    the correlation within groups by analysis of variance, at least 0.
    """
    n, sizes = len(values), np.bincount(groups)
    count = len(sizes)
    if count == n or count < 2:
        return float(count)
    mean_size = float((sizes.astype(np.float64) ** 2).sum()) / n
    means = np.bincount(groups, values) / sizes
    inside = float(((values - means[groups]) ** 2).sum()) / (n - count)
    between = float((sizes * (means - values.mean()) ** 2).sum()) / (count - 1)
    usual = (n - mean_size) / (count - 1)
    total = between + (usual - 1.0) * inside
    rho = min(max((between - inside) / total, 0.0), 1.0) if total > 0 else 0.0
    return max(n / (1.0 + (mean_size - 1.0) * rho), float(min(count, n / mean_size)))
