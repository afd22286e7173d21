"""Rivals: common things that photographs show, and whether any image shows a phrase rather than all of them.

CLIP gives every phrase a nearest image. What tells a concept that is absent from one that is rare is zero-shot
classification (Radford et al., ICML 2021, section 3.1) against a broad vocabulary: on the images that fit an absent
phrase best, something else always fits better, by nats that mean the same for every contrastive encoder.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.retrieval import Retrieved, Retriever
from fsearch.diagnoser.standing import background, excess, standing

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

NEAREST = 64  # images looked at
BEST = 10  # of these; the margin is their median
HEAD = 20  # the nearest of these; `winners` counts the rivals that fit them best
_ALIKE = 0.01  # of the vocabulary, the nearest to a phrase in text space: other words for it, no rivals


class Rivalry(NamedTuple):
    """How q phrases stand against their rivals.

    Attributes
    ----------
    margin : (q,) float64 nats by which a phrase fits its best images better than the best rival does; inf without any.
    winners : (q,) int64 number of rivals that are the best for one or more of the nearest images: few where these show
        one kind of thing, of which the phrase is a broader name ("a bird" among flamingos), many where they have
        nothing in common because nothing shows the phrase.
    standing : (q,) float64 share of common things whose best images fit less well (standing.py); 1 without rivals.
    excess : (q,) float64 by which images fit it more than the mean of all rivals (standing.py); inf without any.
    """

    margin: Floats
    winners: NDArray[np.int64]
    standing: Floats
    excess: Floats

    @classmethod
    def none(cls, phrases: int) -> Rivalry:
        """Of so many phrases that have no rivals."""
        endless = np.full(phrases, np.inf)
        return cls(endless, np.zeros(phrases, np.int64), np.ones(phrases), endless.copy())


def rivalry(
    retrieved: Retrieved, retriever: Retriever, vocabulary: Singles, logit_scale: float, common: Floats | None = None
) -> Rivalry:
    """Compare each phrase with its rivals on the images that are nearest to it.

    Parameters
    ----------
    vocabulary : (v, d) unit text embeddings of the rivals; what is taken off a phrase is taken off them as well.
    logit_scale : the encoder's inverse temperature.
    common : how well images fit the rivals, where it is known: from `background`, among the images of `retriever`.
    """
    found = Rivalry.none(len(retrieved))
    if not len(vocabulary):
        return found
    found.standing[:] = standing(retrieved, background(retriever, vocabulary) if common is None else common)
    found.excess[:] = excess(retrieved, retriever, vocabulary, logit_scale)
    spared = max(1, round(_ALIKE * len(vocabulary)))
    done = 0
    for part in retrieved.batches():
        near = part.neighbours[:, :NEAREST]
        generic = part.texts[:1] - part.directions[:1]
        images, columns = np.unique(near, return_inverse=True)
        fits = retriever.embeddings(images) @ (vocabulary - generic).T
        alike = np.argpartition(part.texts @ vocabulary.T, -spared, axis=1)[:, -spared:]
        for own, rows, same in zip(part.similarities, columns.reshape(near.shape), alike, strict=True):
            others = fits[rows]
            others[:, same] = -np.inf
            best = others.argmax(axis=1)
            lead = own[: len(rows)] - others[np.arange(len(rows)), best]
            found.margin[done] = logit_scale * float(np.median(np.sort(lead)[-BEST:]))
            found.winners[done] = len(np.unique(best[:HEAD]))
            done += 1
    return found
