"""Membership: the chance that an image shows a phrase, from its similarity and those of the nearest images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

NATS_TOLERANCE = 0.8  # images that surely show a phrase differ by as many nats in logit_scale * cosine
ENOUGH = 12.0  # images that a phrase is judged by at least, if need be by images like it
_FIRST, _LAST, _GROWTH = 5, 160, 3.0  # numbers of anchor images tried, doubling; see `anchor_similarity`
_WIDEST = 16.0  # a starved phrase is never read at less than this part of the encoder's scale


def membership(similarities: Singles, anchor: Singles, logit_scale: float | Floats) -> Floats:
    """Probability that each of k images shows a phrase, (q, k) in [0, 1].

    A contrastive encoder is trained until logit_scale * cosine is, up to a constant, the log of the density ratio
    p(image | text) / p(image) (van den Oord et al., 2018, section 2.3). So the probability that an image shows the
    phrase is proportional to exp(logit_scale * cosine), and it is 1 where the cosine is that of the anchor images.

    Parameters
    ----------
    similarities : (q, k) cosines.
    anchor : (q,) from `anchor_similarity`.
    logit_scale : the encoder's inverse temperature, or (q,) of them from `scales`.
    """
    scale = np.broadcast_to(np.asarray(logit_scale, np.float64), anchor.shape)[:, None]
    nats = (similarities - anchor.astype(np.float64)[:, None]) * scale + NATS_TOLERANCE
    return np.exp(np.minimum(0.0, nats)).clip(min=1e-12)


def anchor_similarity(similarities: Singles, logit_scale: float) -> Singles:
    """(q,) median cosine of the anchor images, the nearest few: the similarity of images that surely show the phrase.

    Five images are tried first. Where memberships then find more than three times as many, there are more images of the
    phrase than that, and the number tried is doubled, up to 160: a rare phrase is read by its own handful, a common one
    by enough images that a few odd ones do not set its level. On four labelled sets of real CLIP embeddings this brings
    the median number found to 0.7 to 0.9 of the true one, from 0.5 to 1.6 with a fixed handful (benchmarks/planted).

    `similarities`, (q, k), fall along each row.
    """
    anchor = np.median(similarities[:, :_FIRST], axis=1)
    tried, open_rows = _FIRST, np.arange(len(similarities))
    while len(open_rows) and tried < _LAST:
        count = membership(similarities[open_rows], anchor[open_rows], logit_scale).sum(axis=1)
        open_rows = open_rows[count > _GROWTH * tried]
        tried = min(2 * tried, _LAST)
        anchor[open_rows] = np.median(similarities[open_rows, :tried], axis=1)
    return anchor


def scales(similarities: Singles, copies: Singles, anchor: Singles, logit_scale: float) -> Floats:
    """(q,) the temperature each phrase is read at: the encoder's own, or a lower one where a phrase is starved.

    Where fewer than ENOUGH images show a phrase, its scale is lowered, by bisection, until memberships count as many
    and spread their weight over as many: it is then judged by images like it. Phrases with enough images are untouched.

    Parameters
    ----------
    similarities : (q, k) cosines; `copies` : (q, k), how many images of the index each stands for.
    """
    found = np.full(len(anchor), float(logit_scale))
    starved = np.flatnonzero(~_enough(similarities, copies, anchor, found))
    low, high = found[starved] / _WIDEST, found[starved].copy()
    part = similarities[starved], copies[starved], anchor[starved]
    for _ in range(12):
        middle = np.sqrt(low * high)
        enough = _enough(*part, middle)
        low, high = np.where(enough, middle, low), np.where(enough, high, middle)
    found[starved] = low
    return found


def _enough(similarities: Singles, copies: Singles, anchor: Singles, scale: Floats) -> NDArray[np.bool_]:
    weights = membership(similarities, anchor, scale) * copies
    total = weights.sum(axis=1)
    enough: NDArray[np.bool_] = (total >= ENOUGH) & (total**2 >= ENOUGH * (weights**2).sum(axis=1))
    return enough


def effective_number(weights: Floats) -> Floats:
    """(q,) Kish's effective sample size of the squares of `weights`, (q, k): how many images carry the evidence.

    A regression on memberships weighs an image by the square of its own, so a long tail of images that hardly show a
    phrase does not pass for evidence.
    """
    squares = weights**2
    found: Floats = squares.sum(axis=1) ** 2 / np.maximum((squares**2).sum(axis=1), 1e-300)
    return found
