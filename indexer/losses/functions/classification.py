"""Losses of single-label classification: one class per image, from class scores (n, C) or from predicted labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.classes import MISSING, Classes, ReadLabels, read_labels
from fsearch.indexer.losses.functions.base import Outcomes, Settings, as_matrix, finite_rows
from fsearch.indexer.losses.functions.class_scores import Scores, read_scores
from fsearch.indexer.storage.column_types import text_of

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
    scores, finite, notes = read_scores(predictions, names, settings.scores)
    read = read_labels(targets, settings.known, scores.values.shape[1], names)
    usable = finite & (read.numbers != MISSING)
    losses = np.full(len(targets), np.nan)
    losses[usable] = formula(scores, np.maximum(read.numbers, 0), **settings.params)[usable]
    predicted = scores.values.argmax(axis=1)
    return Outcomes(
        losses,
        [read.classes.name(i) for i in read.numbers],
        [read.classes.name(i) if ok else None for i, ok in zip(predicted, finite, strict=True)],
        [_missing_reason(ok, label) for ok, label in zip(finite, read.numbers, strict=True)],
        scores.probabilities.max(axis=1),
        (*_reading(read), *notes),
        not read.certain,
    )


def _reading(read: ReadLabels) -> tuple[str, ...]:
    """How labels were read, for the user."""
    known = (f"classes: {read.classes}",) if read.classes.names else ()
    return (*known, *((read.rule,) if read.rule else ()))


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
    predicted, labels, notes, guessed = _names_of_both(predictions, targets, names, settings.known)
    losses = formula([p or "" for p in predicted], [t or "" for t in labels], **settings.params)
    reasons = [
        "the prediction is missing" if p is None else "it has no label" if t is None else None
        for p, t in zip(predicted, labels, strict=True)
    ]
    losses[[r is not None for r in reasons]] = np.nan
    return Outcomes(losses, labels, predicted, reasons, None, notes, guessed)


_Texts = list[str | None]


def _names_of_both(
    predictions: Any, targets: Sequence[Any], names: Sequence[str], classes: Classes
) -> tuple[_Texts, _Texts, tuple[str, ...], bool]:
    """Names of n predicted and n true classes, how they were read, and whether they may be read otherwise."""
    if not all(p is None or np.ndim(p) == 0 for p in predictions):
        scores = as_matrix(predictions, names)
        finite = finite_rows(scores)
        read = read_labels(targets, classes, scores.shape[1], names)
        best = zip(scores.argmax(axis=1).tolist(), finite, strict=True)
        predicted = [read.classes.name(i) if ok else None for i, ok in best]
        return predicted, [read.classes.name(i) for i in read.numbers], _reading(read), not read.certain
    if classes.names:
        alone = replace(classes, vocabulary=frozenset())
        said = read_labels(list(predictions), alone, len(classes.names), names)
        read = read_labels(targets, classes, len(classes.names), names)
        rules = dict.fromkeys((*_reading(read), *_reading(said)))
        both = ([classes.name(i) for i in found.numbers] for found in (said, read))
        return (*both, tuple(rules), not (read.certain and said.certain))  # type: ignore[return-value]
    predicted, labels = ([None if (t := text_of(v)) is None else _word(t) for v in vs] for vs in (predictions, targets))
    return *_alike(predicted, labels, classes, names), (), False


def _alike(predicted: _Texts, labels: _Texts, classes: Classes, names: Sequence[str]) -> tuple[_Texts, _Texts]:
    """Both, in one spelling. Raises BadInputError where no prediction is any label, so that all would be wrong."""
    for same in (str, str.casefold):
        said = {same(p) for p in predicted if p is not None}
        known = {same(t) for t in (classes.vocabulary or labels) if t is not None}
        if said & known or not said or not known:
            return [p and same(p) for p in predicted], [t and same(t) for t in labels]
    raise BadInputError(
        f"{names[0]}: no prediction is one of the labels: predicted are {_some(predicted)}, labels {_some(labels)}; "
        "give the names in the model's order: --classes"
    )


def _some(texts: _Texts) -> str:
    return ", ".join(sorted({t for t in texts if t is not None})[:5])


def _word(text: str) -> str:
    """A label as it is compared: 3.0 is 3."""
    return re.sub(r"^([+-]?\d+)\.0*$", r"\1", text.strip())
