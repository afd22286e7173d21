"""Centred similarity: how far the best images of a phrase stand out from the average image, towards the phrase.

Text and image embeddings of a contrastive encoder lie in two narrow cones (the modality gap: Liang et al., NeurIPS
2022), so that all cosines are alike, and how high they are depends on the phrase. With the mean of each side taken off,
what is left is the direction in which a phrase differs from phrases and an image from images. On labelled real CLIP
sets no other figure that was tried tells so well which concepts are there (benchmarks/calibration.py).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.storage.vectors import unit

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Rows = NDArray[np.int64]

NEAREST = 64  # images looked at: of more, none is among the best
BEST = 10  # of these; the centred similarity is their median
_TOGETHER = 256  # phrases whose images are read at once


def centred_similarity(
    texts: Singles, neighbours: Rows, embeddings: Callable[[Rows], Singles], image_mean: Singles, text_mean: Singles
) -> Floats:
    """(q,) median cosine of each phrase with its best images, the mean of each modality taken off.

    Parameters
    ----------
    texts : (q, d) unit embeddings of the phrases.
    neighbours : (q, k) positions of the images nearest to each, the nearest first.
    embeddings : positions to unit embeddings, (m,) to (m, d).
    image_mean, text_mean : (d,).
    """
    found = np.empty(len(texts))
    for first in range(0, len(texts), _TOGETHER):
        part = slice(first, first + _TOGETHER)
        near = neighbours[part, :NEAREST]
        images, columns = np.unique(near, return_inverse=True)
        centred = unit(embeddings(images) - image_mean)
        for i, (text, rows) in enumerate(zip(unit(texts[part] - text_mean), columns.reshape(near.shape), strict=True)):
            found[first + i] = np.median(np.sort(centred[rows] @ text)[-BEST:])
    return found


def mean_vector(vectors: Singles) -> Singles:
    """(d,) mean of embeddings, (n, d)."""
    return np.asarray(vectors.mean(axis=0, dtype=np.float64), np.float32)
