"""Class scores, (n, C), as probabilities or logits (required; never inferred), and class labels as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special
from numpy.typing import NDArray

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.choices import ScoreKind
from fsearch.indexer.losses.functions.base import as_matrix, finite_rows

MISSING = -1  # class number of an image without a label
SUM_TOLERANCE = 1e-3  # half-precision probabilities of a thousand classes are off by about so much
EPSILON = float(np.finfo(np.float64).eps)  # as in sklearn.metrics.log_loss: probability 0 costs 36, not infinity


@dataclass(frozen=True, slots=True)
class Scores:
    """Class scores of n images. `values` : (n, C) float64; `kind` : probabilities or logits."""

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
        """(n, C), exact for logits; probabilities are clipped from below at EPSILON."""
        if self.kind == "logits":
            return scipy.special.log_softmax(self.values, axis=1)  # type: ignore[no-any-return]
        return np.log(np.clip(self.probabilities, EPSILON, 1.0))


def require_kind(kind: ScoreKind | None) -> ScoreKind:
    """`kind`. Raises BadInputError for None: whether scores are probabilities or logits is never inferred."""
    if kind is None:
        raise BadInputError(
            "are the scores probabilities or logits? Say so: --scores probabilities, or --scores logits"
        )
    return kind


def read_scores(predictions: Any, names: Sequence[str], kind: ScoreKind | None) -> tuple[Scores, NDArray[np.bool_]]:
    """Scores of n images, and (n,) which rows are finite; the others are uniform, so that formulas stay finite.

    Raises BadInputError for fewer than two classes, an unknown kind, or probabilities that do not sum to 1.
    """
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


def class_numbers(labels: Sequence[Any], classes: Sequence[str], count: int, names: Sequence[str]) -> NDArray[np.int64]:
    """(n,) int64: each label's number among `count` classes, by name or by number; MISSING for None.

    `names` tell error messages whose label it is. Raises BadInputError for an unknown name, a number outside the
    classes, or a number of class names other than `count`.
    """
    if classes and len(classes) != count:
        raise BadInputError(f"{len(classes)} class names for predictions of {count} classes; they must be as many")
    known = {name: i for i, name in enumerate(classes)}
    return np.array([_number(label, known, count, name) for label, name in zip(labels, names, strict=True)], np.int64)


def _number(label: Any, known: dict[str, int], count: int, name: str) -> int:
    if label is None or (isinstance(label, float) and np.isnan(label)):
        return MISSING
    text = str(label).strip()
    if text in known:
        return known[text]
    try:
        number = int(label) if isinstance(label, bool) or float(text).is_integer() else None
        number = int(float(text)) if number is not None and not isinstance(label, bool) else number
    except (ValueError, OverflowError):
        number = None
    if number is None:
        seen = f"known are {', '.join(list(known)[:8])}" if known else "give the names in the model's order: --classes"
        raise BadInputError(f"{name}: unknown class {text!r}; {seen}")
    if not 0 <= number < count:
        raise BadInputError(f"{name}: label {number} lies outside the {count} classes (0 to {count - 1})")
    return number


def class_name(number: int, classes: Sequence[str]) -> str | None:
    """The name of a class, or its number as text; None for MISSING."""
    if number == MISSING:
        return None
    return classes[number] if classes else str(number)
