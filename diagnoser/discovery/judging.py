"""The half of the images that judges: what was proposed is tried on images whose losses the proposer never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.discovery.definitions import Definition, Text
from fsearch.diagnoser.estimate import rivalry_of
from fsearch.diagnoser.finding import Phrase
from fsearch.diagnoser.image_sets import given, joined, with_given
from fsearch.diagnoser.retrieval import Retrieved, Retriever
from fsearch.diagnoser.rivals import Rivalry
from fsearch.diagnoser.slice import Asking, Slice

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

_AT_ONCE = 65_536  # embeddings read at once in a pass over all of them


@dataclass(frozen=True, slots=True)
class Defined:
    """Definitions as they are judged, phrases first: of phrases the images are found, of others they are given.

    Attributes
    ----------
    order : which of the definitions each is.
    texts : (q, d) unit embeddings of the phrases; `sets` : the others.
    """

    order: list[int]
    texts: Singles
    sets: tuple[Definition, ...]

    @classmethod
    def of(cls, definitions: Sequence[Definition], dim: int) -> Defined:
        """`definitions`, whose phrases have embeddings of `dim` numbers."""
        vectors = {i: d.vector for i, d in enumerate(definitions) if isinstance(d, Text)}
        sets = {i: d for i, d in enumerate(definitions) if not isinstance(d, Text)}
        texts = np.stack(list(vectors.values())) if vectors else np.empty((0, dim), np.float32)
        return cls([*vectors, *sets], texts, tuple(sets.values()))


def judging_slice(
    judges: Diagnosis, definitions: Sequence[Definition], names: Sequence[str], asking: Asking
) -> tuple[Slice, list[int]]:
    """Everything proposed, estimated among the images of `judges`; and which of `definitions` each row of it is.

    Phrases are retrieved as `query` retrieves them; other images are given. `judges` are a part of all images: which
    similarity a phrase's images have, and whether there are any, is a question to these.
    """
    whole = judges.whole or judges
    dim, scale = whole.artifact.reference.texts.shape[1], whole.artifact.reference.logit_scale
    told = Defined.of(definitions, dim)
    rivals, parts = Rivalry.none(0), []
    if len(told.texts):
        found = whole.retriever.find(told.texts)
        rivals, parts = rivalry_of(whole, found), [judges.retriever.find(told.texts, found)]
    parts += given_sets(judges.retriever, told.sets, dim, scale)
    named = [Phrase(names[i]) for i in told.order]
    return Slice.of(None, judges, named, joined(parts), with_given(rivals, len(told.sets)), asking), told.order


def given_sets(retriever: Retriever, sets: Sequence[Definition], dim: int, logit_scale: float) -> list[Retrieved]:
    """The images of each of `sets` among those of `retriever`, as if a phrase had retrieved them."""
    return [given(weights_in(retriever, each), dim, logit_scale) for each in sets]


def weights_in(retriever: Retriever, definition: Definition) -> Floats:
    """(n,) chance that each image of `retriever` is of a concept: one pass over the embeddings."""
    found = np.empty(len(retriever.rows))
    for start in range(0, len(found), _AT_ONCE):
        part = np.arange(start, min(start + _AT_ONCE, len(found)))
        found[part] = definition.weights(retriever.embeddings(part), retriever.rows[part])
    return found
