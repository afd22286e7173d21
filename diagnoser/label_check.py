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
from fsearch.diagnoser.retrieval import Retrieved, Retriever
from fsearch.diagnoser.rivals import rivalry
from fsearch.diagnoser.standing import background
from fsearch.diagnoser.support import SupportThresholds

Rows = NDArray[np.int64]

_IMAGES, _PHRASES, _LEAST = 4096, 100, 50  # at most as many, and at least so many images for a phrase


class Check(NamedTuple):
    """Phrases that were left out one by one.

    Attributes
    ----------
    phrases : how many.
    lost : of these, called absent among all images.
    caught : of these, called absent among the labelled images that do not show them: of others it is not known.
    """

    phrases: int
    lost: int
    caught: int


def leave_one_out(
    retriever: Retriever, found: Retrieved, labelled: Labelled, some: Rows, scale: float, reference: ReferenceBank
) -> Check:
    """Leave out the phrases at `some` one by one, and judge them by what the others teach.

    Parameters
    ----------
    retriever, found : of all images, labelled or not, and what it retrieved for all the phrases of `labelled`.
    """
    rng = np.random.default_rng(0)
    images = np.sort(rng.permutation(len(labelled.rows))[:_IMAGES])
    away = labelled.known[:, images] & ~labelled.shows[:, images]
    asked = [i for i in np.sort(rng.permutation(some)[:_PHRASES]).tolist() if away[i].sum() >= _LEAST]
    if len(asked) <= MIN_PHRASES:
        return Check(0, 0, 0)
    whole = found[asked]
    stands = rivalry(whole, retriever, reference.rivals, scale)
    common = background(retriever.within(labelled.rows[images]), reference.rivals)
    lost = caught = 0
    for place, i in enumerate(asked):
        taught = thresholds(found.support, some[some != i])
        by = SupportThresholds.of_labels(*taught, rivals=len(reference.rivals))
        lost += int(by.presence(whole.support, *stands).absent[place])
        without = retriever.within(labelled.rows[images[away[i]]])
        gone = without.find(labelled.texts[[i]])
        caught += int(by.presence(gone.support, *rivalry(gone, without, reference.rivals, scale, common)).absent[0])
    return Check(len(asked), lost, caught)
