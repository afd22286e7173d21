"""Whether classes may have been read in a wrong order: accuracy below chance, or another order that fits far better."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from fsearch.indexer.workspace.store import Store

_MOST_CLASSES = 3000
_SIGMAS = 4.0


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What speaks against the order of classes.

    Attributes
    ----------
    text : for the user.
    decisive : whether another order is right nearly always, and this one hardly ever.
    """

    text: str
    decisive: bool


def suspect(labels: Sequence[str | None], predictions: Sequence[str | None], order: Sequence[str]) -> Suspicion | None:
    """What speaks against n labels and predicted classes being of one order; None where nothing does.

    `order` : names of the classes by place, empty where they are numbers. A permutation is fitted to every other image
    and judged on the rest, so that few images with many classes do not fit by chance.
    """
    pairs = [(t, p) for t, p in zip(labels, predictions, strict=True) if t is not None and p is not None]
    names = list(order) or sorted({n for pair in pairs for n in pair}, key=lambda n: (not n.isdecimal(), len(n), n))
    places = {n: i for i, n in enumerate(names)}
    pairs = [(t, p) for t, p in pairs if t in places and p in places]
    if len(pairs) < 10 or not 2 <= len(names) <= _MOST_CLASSES:
        return None
    shuffled = [pairs[i] for i in np.random.default_rng(0).permutation(len(pairs))]  # rows may be in order of classes
    halves = [_confusion(Counter(shuffled[start::2]), places) for start in (0, 1)]
    whole = halves[0] + halves[1]
    count, right = int(whole.sum()), float(np.trace(whole))
    accuracy, chance = right / count, float(whole.sum(1) @ whole.sum(0)) / count**2
    shifted, shift = _by_shift(whole)
    permuted = _by_permutation(halves)
    better, shift = (shifted, shift) if shifted > permuted - 0.02 else (permuted, 0)
    error = math.sqrt(0.5 / count)  # of a difference of two shares, at most
    what = f"accuracy is {accuracy:.2f} over {count:,} images"
    if better > accuracy + 0.15 and (better - accuracy) > _SIGMAS * error and better > 1.5 * accuracy:
        asked = "are the classes shifted by one?" if shift else "are the classes in another order?"
        known = f"with {_example(whole, names)} it would be {better:.2f}"
        return Suspicion(f"{what}, and {known}: {asked}", better > 0.5 and better > 3 * accuracy)
    if accuracy < chance - _SIGMAS * error:
        return Suspicion(f"{what}, below the {chance:.2f} of chance: are the classes in another order?", False)
    return None


def doubts(store: Store, model: str, order: Sequence[str]) -> list[str]:
    """`suspect`, as a warning, of the losses that are stored of `model`."""
    with store.catalog.read() as con:
        pairs = con.execute("SELECT label, prediction FROM losses WHERE model = ?", [model]).fetchall()
    found = suspect([label for label, _ in pairs], [said for _, said in pairs], order)
    return [f"warning: {found.text}"] if found else []


def _confusion(counts: Mapping[tuple[str, str], int], places: Mapping[str, int]) -> NDArray[np.float64]:
    """(C, C) images by label and prediction."""
    found = np.zeros((len(places), len(places)))
    for (label, prediction), n in counts.items():
        found[places[label], places[prediction]] += n
    return found


def _by_shift(confusion: NDArray[np.float64]) -> tuple[float, int]:
    """The better accuracy of labels one class up or down, and which."""
    turned = ((float(np.trace(np.roll(confusion, -k, axis=1))) / float(confusion.sum()), k) for k in (1, -1))
    return max(turned)


def _by_permutation(halves: Sequence[NDArray[np.float64]]) -> float:
    """Accuracy of the best permutation of one half of the images on the other half."""
    right = 0.0
    for fitted, judged in (halves, halves[::-1]):
        rows, columns = scipy.optimize.linear_sum_assignment(fitted, maximize=True)
        seen = fitted[rows, columns] > 0
        right += float(judged[rows[seen], columns[seen]].sum())
    return right / float(halves[0].sum() + halves[1].sum())


def _example(confusion: NDArray[np.float64], names: Sequence[str]) -> str:
    """The commonest confusion: how one class would be read in the other order."""
    apart = confusion - np.diag(np.diag(confusion))
    label, prediction = divmod(int(apart.argmax()), len(names))
    return f"label {names[label]!r} read as {names[prediction]!r}, and so on,"
