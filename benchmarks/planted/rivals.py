"""Other ways to rank phrases, each from its paper or the obvious one, on the same embeddings and losses.

Every scorer takes `Evidence` and returns (q,) scores, higher is worse. None of them is part of fsearch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fsearch.diagnoser import ridge as linear
from fsearch.indexer.storage.vectors import unit

NEAREST = 20


@dataclass(frozen=True)
class Evidence:
    """`images` (n, d), `losses` (n,), `texts` (q, d), `reference` (d,) mean of neutral texts, `shown` (q, n) truth."""

    images: np.ndarray
    losses: np.ndarray
    texts: np.ndarray
    reference: np.ndarray
    shown: np.ndarray

    @property
    def wrong(self) -> np.ndarray:
        """(n,) bool: the worst tenth, where a method asks for errors rather than losses."""
        return self.losses >= np.quantile(self.losses, 0.9)


def nearest(e: Evidence) -> np.ndarray:
    """Mean real loss of the images nearest to the text: no model at all."""
    near = np.argpartition(-(e.texts @ e.images.T), NEAREST, axis=1)[:, :NEAREST]
    return e.losses[near].mean(axis=1)


def ridge_raw(e: Evidence) -> np.ndarray:
    """A linear head asked about the text itself, as in DrML (Zhang et al., ICLR 2023)."""
    coefficients = linear.ridge(e.images, np.log1p(e.losses), np.ones(len(e.losses), np.float32))
    return linear.predict(coefficients[None], e.texts)[0]


def domino(e: Evidence) -> np.ndarray:
    """Domino's describer (Eyuboglu et al., ICLR 2022, section 5): text against a difference of image means."""
    return e.texts @ (e.images[e.wrong].mean(axis=0) - e.images.mean(axis=0))


def failure_direction(e: Evidence) -> np.ndarray:
    """Jain et al. (ICLR 2023): a balanced linear SVM on right against wrong, asked about text minus a reference."""
    from sklearn.svm import LinearSVC

    middle = e.images.mean(axis=0)
    whitened = unit((e.images - middle) / e.images.std(axis=0))
    svm = LinearSVC(C=0.1, class_weight="balanced", random_state=0).fit(whitened, e.wrong)
    return unit((e.texts - e.reference) / e.images.std(axis=0)) @ svm.coef_[0]


def oracle(e: Evidence) -> np.ndarray:
    """Reads the true attributes of the indexed images: real losses of those that show the phrase, less the rest."""
    inside = e.shown.sum(axis=1)
    total = e.shown @ e.losses
    rest = (e.losses.sum() - total) / np.maximum(len(e.losses) - inside, 1)
    return np.where(inside > 0, total / np.maximum(inside, 1), e.losses.mean()) - rest


RIVALS: dict[str, Callable[[Evidence], np.ndarray]] = {
    "linear head, raw text (DrML)": ridge_raw,
    "difference of means (Domino)": domino,
    "failure direction (Jain et al.)": failure_direction,
    f"mean loss of the {NEAREST} nearest": nearest,
    "oracle: true attributes": oracle,
}
