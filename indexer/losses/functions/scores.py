"""Scores of classes, (n, C): probabilities or logits. Which of the two is said, never guessed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special
from numpy.typing import NDArray

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.functions.classes import MISSING, class_name, class_numbers
from fsearch.indexer.losses.functions.settings import Outcomes, ScoreKind, Settings

SUM_TOLERANCE = 1e-3  # half-precision probabilities of a thousand classes are off by about so much
LEAST = float(np.finfo(np.float64).eps)  # as in sklearn.metrics.log_loss: a probability of 0 costs 36, not infinity


@dataclass(frozen=True, slots=True)
class Scores:
    """What a classifier says of n images. `values`: (n, C) float64, `kind`: what they are."""

    values: NDArray[np.float64]
    kind: ScoreKind

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(n, C), rows sum to 1."""
        if self.kind == "logits":
            return scipy.special.softmax(self.values, axis=1)  # type: ignore[no-any-return]
        return np.asarray(self.values / self.values.sum(axis=1, keepdims=True))

    @property
    def log_probabilities(self) -> NDArray[np.float64]:
        """(n, C), exact for logits; probabilities are held above the float's own precision."""
        if self.kind == "logits":
            return scipy.special.log_softmax(self.values, axis=1)  # type: ignore[no-any-return]
        return np.log(np.clip(self.probabilities, LEAST, 1.0))


ScoresFormula = Callable[..., NDArray[np.float64]]  # (Scores, labels (n,) int64, **params) -> (n,) losses


def as_matrix(predictions: Any, names: Sequence[str], width: int | None = None) -> NDArray[np.float64]:
    """(n, C) float64. Raises BadInputError where rows are not all of one length, or hold no numbers."""
    if not len(predictions):
        return np.empty((0, width or 0))
    rows = [np.asarray(row).reshape(-1) if row is not None else None for row in predictions]
    expected = width or next((r.size for r in rows if r is not None), 0)
    for row, name in zip(rows, names, strict=True):
        if row is not None and row.size != expected:
            raise BadInputError(f"{name}: a prediction of {row.size} values where {expected} are expected")
    try:
        return np.array([np.full(expected, np.nan) if r is None else r for r in rows], np.float64)
    except (TypeError, ValueError) as error:
        raise BadInputError(f"{names[0]}: predictions must be numbers: {error}") from error


def finite_rows(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) which rows of (n, C) hold finite numbers only."""
    return np.asarray(np.isfinite(values).all(axis=1))


def require_kind(kind: ScoreKind | None) -> ScoreKind:
    """What scores are. Raises BadInputError where nobody said: it is never guessed."""
    if kind is None:
        raise BadInputError(
            "are the scores probabilities or logits? Say so: --scores probabilities, or --scores logits"
        )
    return kind


def read_scores(predictions: Any, names: Sequence[str], kind: ScoreKind | None) -> tuple[Scores, NDArray[np.bool_]]:
    """The scores, and which rows are finite. Raises BadInputError where they are not what is said, or nobody said."""
    values = as_matrix(predictions, names)
    if values.shape[1] < 2:
        raise BadInputError(f"{names[0]}: scores of {values.shape[1]} class; at least 2 are needed")
    finite = finite_rows(values)
    kind = require_kind(kind)
    if kind == "probabilities":
        _check_probabilities(values, finite, names)
    return Scores(np.where(finite[:, None], values, 1.0 / values.shape[1]), kind), finite


def _check_probabilities(values: NDArray[np.float64], finite: NDArray[np.bool_], names: Sequence[str]) -> None:
    for i in np.flatnonzero(finite).tolist():
        row = values[i]
        if row.min() < 0 or row.max() > 1 + SUM_TOLERANCE:
            outside = row.min() if row.min() < 0 else row.max()
            raise BadInputError(
                f"{names[i]}: {outside:.4g} is no probability; if these are logits, say: --scores logits"
            )
        if abs(row.sum() - 1) > SUM_TOLERANCE:
            raise BadInputError(
                f"{names[i]}: probabilities sum to {row.sum():.4f}, off by {abs(row.sum() - 1):.4f}; must be 1"
            )


def outcomes_of_scores(
    formula: ScoresFormula, predictions: Any, targets: Sequence[Any], names: Sequence[str], settings: Settings
) -> Outcomes:
    """Apply a formula on scores and class numbers."""
    scores, finite = read_scores(predictions, names, settings.scores)
    count = scores.values.shape[1]
    labels = class_numbers(targets, settings.classes, count, names)
    usable = finite & (labels != MISSING)
    losses = np.full(len(labels), np.nan)
    losses[usable] = formula(scores, np.maximum(labels, 0), **settings.params)[usable]
    said = scores.values.argmax(axis=1)
    return Outcomes(
        losses,
        [class_name(i, settings.classes) for i in labels],
        [class_name(i, settings.classes) if ok else None for i, ok in zip(said, finite, strict=True)],
        [_why_not(ok, label) for ok, label in zip(finite, labels, strict=True)],
    )


def _why_not(finite: bool, label: int) -> str | None:
    if not finite:
        return "the prediction is missing or not finite"
    return "it has no label" if label == MISSING else None
