"""The images that changes are judged by: those that a phrase, or a set that is given, has among the images of a pair.

They are looked for among all images with a loss of either model; only then are they narrowed to those with both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.complement import as_asked
from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.discovery.definitions import Definition
from fsearch.diagnoser.discovery.judging import given_sets
from fsearch.diagnoser.finding import Phrase
from fsearch.diagnoser.image_sets import joined, with_given
from fsearch.diagnoser.pairing import Pair
from fsearch.diagnoser.retrieval import Retrieved, Retriever
from fsearch.diagnoser.rivals import Rivalry, rivalry
from fsearch.diagnoser.support import Presence

Singles = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ChangedImages:
    """The images of q phrases and sets.

    Attributes
    ----------
    both : among the images with a loss of both models; `paired` : (q,) their share of those with a loss of either.
    presence : whether any image shows each.
    """

    both: Retrieved
    paired: NDArray[np.float64]
    presence: Presence

    @classmethod
    def of(
        cls,
        base: Diagnosis,
        every: Pair,
        asked: Pair,
        texts: Singles,
        phrases: Sequence[Phrase],
        sets: Sequence[Definition] = (),
    ) -> ChangedImages:
        """The images of `phrases`: those with `texts`, (p, d), are found, those of `sets`, which come last, given.

        Parameters
        ----------
        base : the diagnosis of either model, of which retrieval and reference phrases are taken.
        every, asked : all pairs, among which phrases are looked for, and those asked about.
        """
        retriever, reference = _among(base.retriever, every.either), base.artifact.reference
        dim, scale = texts.shape[1], reference.logit_scale
        whole = retriever.find(texts) if len(texts) else None
        rivals = Rivalry.none(0)
        if whole is not None:
            common = base.background if retriever is base.retriever else None
            rivals = rivalry(whole, retriever, reference.rivals, scale, common)

        def found(rows: Rows) -> Retrieved:
            among = _among(retriever, rows)
            parts = [] if whole is None else [whole if among is retriever else among.find(texts, whole)]
            return as_asked(joined([*parts, *given_sets(among, sets, dim, scale)]), phrases, len(rows), reference)

        either, both = found(asked.either), found(asked.rows)
        paired = (both.quality.count / either.quality.count.clip(min=1e-300)).clip(max=1.0)
        return cls(both, paired, reference.in_force.presence(both.support, *with_given(rivals, len(sets))))


def _among(known: Retriever, rows: Rows) -> Retriever:
    """Retrieval among the images at `rows`: the `known` one, with what it remembers, where these are its own."""
    return known if np.array_equal(known.rows, rows) else known.within(rows)
