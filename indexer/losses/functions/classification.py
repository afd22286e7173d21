"""Losses of single-label classification: one class per image, from class scores (n, C) or from predicted labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.losses.functions.base import Outcomes, Settings, as_matrix, finite_rows
from fsearch.indexer.losses.functions.class_scores import MISSING, Scores, class_name, class_numbers, read_scores

ScoresFormula = Callable[..., NDArray[np.float64]]  # (Scores, labels (n,) int64, **params) -> (n,) losses


def cross_entropy(scores: Scores, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """-log p[y] in nats, from 0 up; at most 36 where a probability of 0 was given.

    Source: the negative log-likelihood of a categorical distribution; sklearn.metrics.log_loss before its mean.
    """
    return -scores.log_probabilities[np.arange(len(labels)), labels]


def brier(scores: Scores, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum over classes of (p - [class = y])^2, from 0 to 2.

    Source: Brier 1950, "Verification of forecasts expressed in terms of probability", equation 2, for one forecast.
    """
    errors = scores.probabilities.copy()
    errors[np.arange(len(labels)), labels] -= 1
    return np.asarray((errors**2).sum(axis=1))


def margin(scores: Scores, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """max(0, 1 + max over other classes of s - s[y]) on the scores as given.

    The multi-class hinge loss: from 0 to 2 on probabilities, from 0 up on logits.
    Source: Crammer and Singer 2001, "On the algorithmic implementation of multiclass kernel-based vector machines".
    """
    rows = np.arange(len(labels))
    others = scores.values.copy()
    others[rows, labels] = -np.inf
    return np.asarray(np.maximum(0.0, 1 + others.max(axis=1) - scores.values[rows, labels]))


def top_k_error(scores: Scores, labels: NDArray[np.int64], k: float = 5) -> NDArray[np.float64]:
    """1 where at least k classes score higher than the true class, else 0. Ties are in favour of the true class.

    Source: Russakovsky et al. 2015, "ImageNet large scale visual recognition challenge", section 4.1.
    """
    true_scores = scores.values[np.arange(len(labels)), labels]
    return np.asarray((scores.values > true_scores[:, None]).sum(axis=1) >= k, np.float64)


def ranked_probability(scores: Scores, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sum over k < C of (P(class <= k) - [y <= k])^2, over C - 1: from 0 to 1; near misses cost less than far ones.

    The ranked probability score, for ordinal classes.
    Source: Epstein 1969, "A scoring system for probability forecasts of ranked categories".
    """
    count = scores.values.shape[1]
    forecast = scores.probabilities.cumsum(axis=1)[:, :-1]
    truth = np.arange(count - 1) >= labels[:, None]
    return np.asarray(((forecast - truth) ** 2).sum(axis=1) / (count - 1))


def evaluate_scores(
    formula: ScoresFormula, predictions: Any, targets: Sequence[Any], names: Sequence[str], settings: Settings
) -> Outcomes:
    """Apply a formula to class scores, (n, C), and n class labels."""
    scores, finite = read_scores(predictions, names, settings.scores)
    count = scores.values.shape[1]
    labels = class_numbers(targets, settings.classes, count, names)
    usable = finite & (labels != MISSING)
    losses = np.full(len(labels), np.nan)
    losses[usable] = formula(scores, np.maximum(labels, 0), **settings.params)[usable]
    predicted = scores.values.argmax(axis=1)
    return Outcomes(
        losses,
        [class_name(i, settings.classes) for i in labels],
        [class_name(i, settings.classes) if ok else None for i, ok in zip(predicted, finite, strict=True)],
        [_missing_reason(ok, label) for ok, label in zip(finite, labels, strict=True)],
    )


def _missing_reason(finite: bool, label: int) -> str | None:
    if not finite:
        return "the prediction is missing or not finite"
    return "it has no label" if label == MISSING else None


def zero_one(predicted: Sequence[str], labels: Sequence[str]) -> NDArray[np.float64]:
    """0 where the predicted label is the true one, else 1.

    The one classification loss that needs no scores. Source: sklearn.metrics.zero_one_loss before its mean.
    """
    return np.array([p != t for p, t in zip(predicted, labels, strict=True)], np.float64)


def evaluate_labels(
    formula: Callable[..., NDArray[np.float64]],
    predictions: Any,
    targets: Sequence[Any],
    names: Sequence[str],
    settings: Settings,
) -> Outcomes:
    """Apply a formula to n predicted and n true labels; of class scores, the argmax is the predicted label."""
    predicted = _label_names(_predicted_labels(predictions, names), settings.classes, names)
    labels = _label_names(targets, settings.classes, names)
    losses = formula([p or "" for p in predicted], [t or "" for t in labels], **settings.params)
    reasons = [
        "the prediction is missing" if p is None else "it has no label" if t is None else None
        for p, t in zip(predicted, labels, strict=True)
    ]
    losses[[r is not None for r in reasons]] = np.nan
    return Outcomes(losses, labels, predicted, reasons)


def _predicted_labels(predictions: Any, names: Sequence[str]) -> list[Any]:
    if all(p is None or np.ndim(p) == 0 for p in predictions):
        return [p.item() if hasattr(p, "item") else p for p in predictions]
    scores = as_matrix(predictions, names)
    finite = finite_rows(scores)
    best = scores.argmax(axis=1)
    return [int(b) if ok else None for b, ok in zip(best, finite, strict=True)]


def _label_names(labels: Sequence[Any], classes: Sequence[str], names: Sequence[str]) -> list[str | None]:
    if classes:
        numbers = class_numbers(labels, classes, len(classes), names)
        return [class_name(n, classes) for n in numbers]
    return [None if v is None else _text(v) for v in labels]


def _text(label: Any) -> str:
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label).strip()
