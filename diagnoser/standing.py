"""Standing: whether the best images of a phrase fit it better than those of common things at large fit these.

Most of a broad vocabulary is in no data set, so that how well the best images fit each of its words shows what a phrase
looks like that no image shows: a test by rank against such a background, which needs no labels. Where most common
things are there, it would call present concepts absent, and so only what is doubtful already is asked (support.py).

Two figures are ranked, and the better rank counts: the similarity, which is low for words an encoder never learnt, and
the centred similarity (centring.py), which tells a known concept that is absent from one that is there.

What needs no ranks is the excess: a concept that images as a whole fit no more than they fit the mean of common things
is not there. benchmarks/absence.py measures what all of them lose and catch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.centring import best_similarity, mean_vector
from fsearch.diagnoser.retrieval import Retrieved, Retriever

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


def background(retriever: Retriever, vocabulary: Singles) -> Floats:
    """(2, v) similarity and centred similarity of common things, each of the two in rising order.

    Parameters
    ----------
    vocabulary : (v, d) unit text embeddings.
    """
    if not len(vocabulary):
        return np.empty((2, 0))
    return np.sort(np.stack(retriever.best(vocabulary)), axis=1)


def excess(retrieved: Retrieved, retriever: Retriever, vocabulary: Singles, logit_scale: float) -> Floats:
    """(q,) cosine by which images fit a phrase more than they fit the mean of common things, as the mass has it."""
    left = mean_vector(vocabulary) - (retrieved.texts[0] - retrieved.directions[0])
    return np.asarray(retrieved.support.log_mean_exp / logit_scale - float(left @ retriever.image_mean))


def standing(retrieved: Retrieved, common: Floats) -> Floats:
    """(q,) share of common things whose best images fit less well, by the figure that says more; ones without any.

    Parameters
    ----------
    common : (2, v) from `background`, among the same images.
    """
    if not common.shape[1]:
        return np.ones(len(retrieved))
    figures = best_similarity(retrieved.similarities), retrieved.support.centred
    ranks = [np.searchsorted(of_all, own) for of_all, own in zip(common, figures, strict=True)]
    return np.asarray(np.maximum(*ranks) / common.shape[1])
