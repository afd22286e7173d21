"""Other ways to rank phrases, each from its paper or the obvious one, on the same embeddings and losses.

Every scorer takes a World and returns (q,) scores, higher is worse. None of them is part of fsearch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from benchmarks.planted.world import World

from fsearch.diagnoser import ridge as linear
from fsearch.indexer.storage.vectors import unit

NEAREST = (20, 100)
SLOW, SLOW_FROM = frozenset({"failure direction (Jain et al.)"}), 20_000


def wrong(e: World) -> np.ndarray:
    """(n,) bool: the worst tenth, where a method asks for errors rather than losses."""
    level = np.quantile(e.losses, 0.9)
    return np.asarray(e.losses >= level if level > e.losses.min() else e.losses > level)


def nearest(e: World, count: int) -> np.ndarray:
    """Mean real loss of the images nearest to the text: no model at all."""
    blocks = np.array_split(e.texts, -(-len(e.texts) // 100))
    near = [np.argpartition(-(b @ e.vectors.T), count, axis=1)[:, :count] for b in blocks]
    return np.asarray(e.losses[np.concatenate(near)].mean(axis=1))


def ridge_raw(e: World) -> np.ndarray:
    """A linear head asked about the text itself, as in DrML (Zhang et al., ICLR 2023)."""
    standard = (e.losses - e.losses.mean()) / e.losses.std()
    coefficients = linear.ridge(e.vectors, standard, np.ones(len(e.losses), np.float32))
    return linear.predict(coefficients[None], e.texts)[0]


def domino(e: World) -> np.ndarray:
    """Domino's describer (Eyuboglu et al., ICLR 2022, section 5): text against a difference of image means."""
    return e.texts @ (e.vectors[wrong(e)].mean(axis=0) - e.vectors.mean(axis=0))


def failure_direction(e: World) -> np.ndarray:
    """Jain et al. (ICLR 2023): a balanced linear SVM on right against wrong, asked about text minus a reference."""
    from sklearn.svm import LinearSVC

    middle = e.vectors.mean(axis=0)
    whitened = unit((e.vectors - middle) / e.vectors.std(axis=0))
    svm = LinearSVC(C=0.1, class_weight="balanced", random_state=0).fit(whitened, wrong(e))
    return unit((e.texts - e.reference.mean) / e.vectors.std(axis=0)) @ svm.coef_[0]


def oracle(e: World) -> np.ndarray:
    """Reads the true attributes of the indexed images: real losses of those that show the phrase, less the rest."""
    inside = e.shown.sum(axis=1)
    total = e.shown @ e.losses
    rest = (e.losses.sum() - total) / np.maximum(len(e.losses) - inside, 1)
    return np.asarray(np.where(inside > 0, total / np.maximum(inside, 1), e.losses.mean()) - rest)


RIVALS: dict[str, Callable[[World], np.ndarray]] = {
    "linear head, raw text (DrML)": ridge_raw,
    "difference of means (Domino)": domino,
    "failure direction (Jain et al.)": failure_direction,
    **{f"mean loss of the {count} nearest": partial(nearest, count=count) for count in NEAREST},
    "oracle: true attributes": oracle,
}
