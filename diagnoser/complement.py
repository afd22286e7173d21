"""A retrieval of what does not show a phrase: one minus the memberships of the positive phrase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.finding import Phrase
from fsearch.diagnoser.membership import membership
from fsearch.diagnoser.reference_bank import ReferenceBank
from fsearch.diagnoser.retrieval import BATCH, Retrieved, empty
from fsearch.diagnoser.retrieval_quality import RetrievalQuality

Floats = NDArray[np.float64]

LEAST = 1e-12
COUNTED = 1.5  # factor by which the number of images that show a phrase may be off, either way


def as_asked(found: Retrieved, phrases: Sequence[Phrase], images: int, reference: ReferenceBank) -> Retrieved:
    """`found` for what was embedded of q `phrases`, among so many `images`, with the negations among them turned."""
    negated = np.array([p.negates is not None for p in phrases], np.bool_)
    return complemented(found, negated, images, reference.logit_scale, reference.slope)


def complemented(
    found: Retrieved, negated: NDArray[np.bool_], images: int, logit_scale: float, slope: float = 1.0
) -> Retrieved:
    """`found`, (q, k) among all `images`, with the rows that are `negated`, (q,), made those of the opposite phrase.

    An image shows the opposite with one minus the chance that it shows the phrase. Such rows begin with the images that
    are least like the phrase. Similarities and support stay those of the phrase: it is what the index was asked for.
    """
    if not negated.any():
        return found
    q, k = found.similarities.shape
    similarities, neighbours = empty((q, k), np.float32), empty((q, k), np.int64)
    memberships, copies = empty((q, k), np.float64), empty((q, k), np.float32)
    quality = []
    for start in range(0, q, BATCH):
        rows = slice(start, start + BATCH)
        turned = negated[rows][:, None]
        none = found.copies[rows] <= 0  # entries that stand for no image come last
        order = np.argsort(np.where(turned, found.similarities[rows] + 9.0 * none, 0.0), axis=1, kind="stable")
        shows = found.memberships[rows]
        shows = np.where(turned, (1 - shows).clip(min=LEAST), shows)
        similarities[rows] = np.take_along_axis(found.similarities[rows], order, axis=1)
        neighbours[rows] = np.take_along_axis(found.neighbours[rows], order, axis=1)
        memberships[rows] = np.take_along_axis(shows, order, axis=1)
        copies[rows] = np.take_along_axis(found.copies[rows], order, axis=1)
        own = membership(similarities[rows], found.support.anchor[rows], logit_scale)
        own = np.where(turned, (1 - own).clip(min=LEAST), own)
        quality.append(RetrievalQuality.of(memberships[rows], copies[rows], images, own))
    joined = RetrievalQuality.joined(quality).corrected(slope)
    return replace(
        found, similarities=similarities, neighbours=neighbours, memberships=memberships, copies=copies, quality=joined
    )


def interval_of_opposite(lo: Floats, hi: Floats, share: Floats) -> tuple[Floats, Floats]:
    """The interval of the lift of what does not show a phrase, from that of the phrase, (q,) each.

    Images that do and do not show it average to the mean of all, so that the one lift is minus the other times the odds
    of showing it. How many images show it is less well known than which do: the odds are doubted by COUNTED.

    Parameters
    ----------
    share : (q,) of the images that show the phrase.
    """
    odds = share / np.maximum(1 - share, LEAST)
    ends = np.stack([-factor * odds * end for factor in (1 / COUNTED, COUNTED) for end in (lo, hi)])
    return ends.min(axis=0), ends.max(axis=0)
