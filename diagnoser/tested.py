"""Which phrases are tests: those that may be called failing, or changed, whatever the losses are. No other votes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.finding import Phrase
from fsearch.diagnoser.retrieval import Retrieved
from fsearch.diagnoser.support import Presence
from fsearch.diagnoser.verdict import MIN_EVIDENCE, MIN_SHOWN


def tested(
    phrases: Sequence[Phrase],
    presence: Presence,
    retrieved: Retrieved,
    n_effective: NDArray[np.float64],
    images: int,
    foreign_images: bool,
) -> NDArray[np.bool_]:
    """(q,) bool: known words, and enough of the `images`, in groups of repeats, that surely show the phrase.

    What is not tested may at most be unseen or unclear, so its p-value is no chance of a false discovery.
    """
    known = np.array([not p.unknown_words for p in phrases], np.bool_) & (not foreign_images)
    plain = np.array([p.negates is None for p in phrases], np.bool_)
    count = retrieved.quality.count
    enough = (count >= MIN_SHOWN) & (n_effective >= MIN_EVIDENCE) & (plain | (images - count >= MIN_EVIDENCE))
    return np.asarray(known & ~presence.doubtful & enough, np.bool_)
