"""Losses of multi-label classification: any number of labels per image, one logit or probability per label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.special
from numpy.typing import NDArray

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.classes import Classes, read_labels
from fsearch.indexer.losses.functions.base import Outcomes, Settings, as_matrix, finite_rows
from fsearch.indexer.losses.functions.class_scores import EPSILON, require_kind
from fsearch.indexer.storage.column_types import listed, text_of


def binary_cross_entropy(logits: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over labels of -(t log p + (1 - t) log(1 - p)) in nats, p being the logistic of `logits`; from 0 up.

    `logits`, `truth` : (n, K). Source: torch.nn.BCEWithLogitsLoss, mean over the last axis.
    """
    return np.asarray((np.logaddexp(0, logits) - truth * logits).mean(axis=1))


def evaluate_label_sets(
    formula: Callable[..., NDArray[np.float64]],
    predictions: Any,
    targets: Sequence[Any],
    names: Sequence[str],
    settings: Settings,
) -> Outcomes:
    """Apply a formula to logits, (n, K), and label sets, (n, K).

    A target is a list of class names, empty for none, or K numbers 0 or 1; of one logit also 0 or 1, true or false, or
    one of two class names, the second of which the logit is of.
    """
    values = as_matrix(predictions, names)
    finite = finite_rows(values)
    if require_kind(settings.scores) == "probabilities":
        values = _logits(values, finite, names)
    count = values.shape[1]
    truths = [_multi_hot(t, settings.known, count, n) for t, n in zip(targets, names, strict=True)]
    truth = np.array([np.zeros(count) if t is None else t for t in truths]).reshape(len(truths), count)
    losses = formula(np.where(finite[:, None], values, 0.0), truth, **settings.params)
    reasons = [
        "the prediction is missing or not finite" if not ok else "it has no labels" if t is None else None
        for ok, t in zip(finite, truths, strict=True)
    ]
    losses[[r is not None for r in reasons]] = np.nan
    predicted = [_names(v > 0, settings.known, count) if ok else None for v, ok in zip(values, finite, strict=True)]
    return Outcomes(
        losses, [None if t is None else _names(t > 0, settings.known, count) for t in truths], predicted, reasons
    )


def _logits(values: NDArray[np.float64], finite: NDArray[np.bool_], names: Sequence[str]) -> NDArray[np.float64]:
    """(n, K) logits of probabilities; rows that are not finite become 0."""
    for i in np.flatnonzero(finite).tolist():
        if values[i].min() < 0 or values[i].max() > 1:
            raise BadInputError(f"{names[i]}: {values[i].max():.4g} is no probability; if logits, say: --scores logits")
    clipped = np.clip(np.where(finite[:, None], values, 0.5), EPSILON, 1 - EPSILON)
    return np.asarray(scipy.special.logit(clipped))


def _multi_hot(target: Any, classes: Classes, count: int, name: str) -> NDArray[np.float64] | None:
    """(count,) 0 or 1 per label; None for a missing target."""
    if target is None or (isinstance(target, float) and np.isnan(target)):
        return None
    if isinstance(target, str) and target.startswith(("[", "(")):
        target = listed(target, name)
    if np.ndim(target) == 0:
        return _one_label(target, classes, count, name)
    entries = list(target)
    truth = np.zeros(count)
    if not entries:
        return truth
    if any(isinstance(e, str) for e in entries):
        truth[read_labels(entries, classes, count, [name] * len(entries)).numbers] = 1
        return truth
    if len(entries) != count or not all(e in (0, 1) for e in entries):
        raise BadInputError(f"{name}: labels must be class names, or {count} numbers that are 0 or 1")
    return np.array(entries, np.float64)


def _one_label(target: Any, classes: Classes, count: int, name: str) -> NDArray[np.float64] | None:
    """Truth from one value: whether the label of one logit is there, or the one class that is there of several."""
    text = text_of(target) or ""
    if count > 1 and text in classes.names:
        return np.array([n == text for n in classes.names], np.float64)
    if count > 1:
        raise BadInputError(
            f"{name}: {text!r} for {count} labels; give a list, or for one label an image: --task cross-entropy"
        )
    number = {"1": 1, "1.0": 1, "true": 1, "0": 0, "0.0": 0, "false": 0}.get(text.lower())
    if len(classes.names) == 2:
        number = classes.names.index(text) if text in classes.names else number
    if number is None:
        hint = "name both, the one that the probability is of last: --classes NO,YES"
        raise BadInputError(f"{name}: label {text!r} is neither 0 nor 1; {hint}")
    return np.array([number], np.float64)


def _names(present: NDArray[np.bool_], classes: Classes, count: int) -> str:
    """Names (or numbers) of the labels that are present."""
    if count == 1:
        return classes.names[int(present[0])] if len(classes.names) == 2 else str(int(present[0]))
    return ", ".join(classes.name(i) or "" for i in np.flatnonzero(present).tolist()) or "none"
