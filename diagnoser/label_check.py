"""A check of what labels taught: phrases left out one by one, with their images and without; which are called absent?

They are asked as a query asks: by the thresholds that the other phrases teach and by their rivals, with the same code.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.label_thresholds import MIN_PHRASES, thresholds
from fsearch.diagnoser.labelled import Labelled
from fsearch.diagnoser.reference_bank import ReferenceBank
from fsearch.diagnoser.retrieval import Retriever
from fsearch.diagnoser.rivals import Rivalry, rivalry
from fsearch.diagnoser.standing import background
from fsearch.diagnoser.support import Support, SupportThresholds
from fsearch.indexer.vector_index.exact_search import ExactSearch

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Rows = NDArray[np.int64]
Asked = tuple[Support, Rivalry]

_IMAGES, _PHRASES, _LEAST = 4096, 100, 50  # at most as many, and at least so many images for a phrase


class Check(NamedTuple):
    """Phrases that were left out one by one, among the labelled images alone.

    Attributes
    ----------
    phrases : how many.
    lost : of these, called absent though their images were there.
    caught : of these, called absent once their images were taken away.
    """

    phrases: int
    lost: int
    caught: int


def leave_one_out(vectors: Singles, labelled: Labelled, some: Rows, scale: float, reference: ReferenceBank) -> Check:
    """Leave out the phrases at `some` one by one, and judge them by what the others teach.

    All is among the labelled images, `vectors` (m, d), since of others it is not known what they show.
    """
    rng = np.random.default_rng(0)
    images = np.sort(rng.permutation(len(vectors))[:_IMAGES])
    common = background(_retriever(vectors[images], scale, reference), reference.rivals)
    there: list[Asked] = []
    gone: list[Asked] = []
    for i in np.sort(rng.permutation(some)[:_PHRASES]):
        known, shows = labelled.known[i, images], labelled.shows[i, images]
        if (known & ~shows).sum() >= _LEAST and (known & shows).any():
            for found, among in ((there, known), (gone, known & ~shows)):
                found.append(_ask(vectors[images[among]], labelled.texts[[i]], scale, reference, common))
    if len(there) <= MIN_PHRASES:
        return Check(0, 0, 0)
    whole = Support.joined([support for support, _ in there])
    lost = caught = 0
    for i, (present, absent) in enumerate(zip(there, gone, strict=True)):
        others = thresholds(whole, np.delete(np.arange(len(there)), i))
        by = SupportThresholds.of_labels(*others, rivals=len(reference.rivals))
        lost += int(by.presence(present[0], *present[1]).absent[0])
        caught += int(by.presence(absent[0], *absent[1]).absent[0])
    return Check(len(there), lost, caught)


def _ask(vectors: Singles, text: Singles, scale: float, reference: ReferenceBank, common: Floats) -> Asked:
    """How images `vectors`, (n, d), support a phrase, (1, d), and how it stands against its rivals among them."""
    retriever = _retriever(vectors, scale, reference)
    found = retriever.find(text)
    return found.support, rivalry(found, retriever, reference.rivals, scale, common)


def _retriever(vectors: Singles, scale: float, reference: ReferenceBank) -> Retriever:
    images = ExactSearch(vectors.astype(np.float16))
    return Retriever(images, np.arange(len(images)), scale, generic=reference.generic, text_mean=reference.text_mean)
