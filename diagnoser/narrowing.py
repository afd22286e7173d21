"""A retrieval among fewer images: what was found of all of them, as far as it lies among these. Nothing is searched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.membership import membership
from fsearch.diagnoser.retrieval import BATCH, Retrieved, empty
from fsearch.diagnoser.retrieval_quality import RetrievalQuality

NONE = 1e-12  # membership of an entry that stands for no image


def narrowed(found: Retrieved, kept: NDArray[np.bool_], logit_scale: float, slope: float = 1.0) -> Retrieved:
    """`found`, (q, k), among the images that are `kept`, (n,) bool; positions are then among these.

    The nearest images that are kept stand for themselves, the sampled ones in equal shares for all others that are
    kept. Which similarity surely fitting images have stays a question to all images. Where one phrase keeps fewer
    images than another, its row ends in entries that stand for none.
    """
    q, count, places = len(found), int(kept.sum()), np.cumsum(kept) - 1
    here = kept[found.neighbours] & (found.copies > 0)
    k = int(here.sum(axis=1).max())
    similarities, neighbours = empty((q, k), np.float32), empty((q, k), np.int64)
    memberships, copies = empty((q, k), np.float64), empty((q, k), np.float32)
    quality = []
    for start in range(0, q, BATCH):
        rows = slice(start, start + BATCH)
        first = np.argsort(~here[rows], axis=1, kind="stable")[:, :k]

        inside = np.take_along_axis(here[rows], first, axis=1)
        near, alike, shows, copied = (
            np.take_along_axis(values[rows], first, axis=1)
            for values in (found.neighbours, found.similarities, found.memberships, found.copies)
        )
        neighbours[rows] = np.where(inside, places[near], 0)
        similarities[rows] = np.where(inside, alike, -1.0)
        memberships[rows] = np.where(inside, shows, NONE)
        copies[rows] = _stand_for(np.where(inside, copied, 0.0), count)
        own = membership(similarities[rows], found.support.anchor[rows], logit_scale)
        quality.append(RetrievalQuality.of(memberships[rows], copies[rows], count, own))
    joined = RetrievalQuality.joined(quality).corrected(slope)
    return replace(
        found, similarities=similarities, neighbours=neighbours, memberships=memberships, copies=copies, quality=joined
    )


def _stand_for(copies: NDArray[np.floating], count: int) -> NDArray[np.float32]:
    """(q, k) copies of the entries that are left, scaled so that each row stands for `count` images."""
    sampled = copies > 1
    rest = count - (copies == 1).sum(axis=1)
    share = rest / np.maximum(sampled.sum(axis=1), 1)
    return np.where(sampled, share[:, None], copies).astype(np.float32)
