"""Zero-one error, the one classification loss that needs no more than a predicted label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.losses.functions.classes import class_numbers
from fsearch.indexer.losses.functions.scores import as_matrix, finite_rows
from fsearch.indexer.losses.functions.settings import Outcomes, Settings


def zero_one(predicted: Sequence[str], labels: Sequence[str]) -> NDArray[np.float64]:
    """0 where the predicted label is the right one, else 1.

    Source: sklearn.metrics.zero_one_loss before its mean.
    """
    return np.array([p != t for p, t in zip(predicted, labels, strict=True)], np.float64)


def outcomes_of_labels(
    formula: Callable[..., NDArray[np.float64]],
    predictions: Any,
    targets: Sequence[Any],
    names: Sequence[str],
    settings: Settings,
) -> Outcomes:
    """Apply a formula on predicted and right labels; scores stand for their highest class."""
    predicted = _named(_labels(predictions, names), settings.classes, names)
    right = _named(targets, settings.classes, names)
    losses = formula([p or "" for p in predicted], [t or "" for t in right], **settings.params)
    reasons = [
        "the prediction is missing" if p is None else "it has no label" if t is None else None
        for p, t in zip(predicted, right, strict=True)
    ]
    losses[[r is not None for r in reasons]] = np.nan
    return Outcomes(losses, right, predicted, reasons)


def _labels(predictions: Any, names: Sequence[str]) -> list[Any]:
    """Predicted labels; the highest of scores."""
    if all(p is None or np.ndim(p) == 0 for p in predictions):
        return [p.item() if hasattr(p, "item") else p for p in predictions]
    scores = as_matrix(predictions, names)
    finite = finite_rows(scores)
    best = scores.argmax(axis=1)
    return [int(b) if ok else None for b, ok in zip(best, finite, strict=True)]


def _named(labels: Sequence[Any], classes: Sequence[str], names: Sequence[str]) -> list[str | None]:
    if classes:
        numbers = class_numbers(labels, classes, len(classes), names)
        return [None if n < 0 else classes[n] for n in numbers]
    return [None if v is None else _text(v) for v in labels]


def _text(label: Any) -> str:
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label).strip()
