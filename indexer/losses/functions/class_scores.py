"""Class scores, (n, C), as probabilities or logits (required; never inferred)."""

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


def read_scores(
    predictions: Any, names: Sequence[str], kind: ScoreKind | None
) -> tuple[Scores, NDArray[np.bool_], tuple[str, ...]]:
    """Scores of n images, (n,) which rows are finite, and notes; other rows are uniform, so formulas stay finite.

    Raises BadInputError for fewer than two classes, an unknown kind, or probabilities that do not sum to 1.
    """
    values = as_matrix(predictions, names)
    if values.shape[1] < 2:
        raise BadInputError(
            f"{names[0]}: scores of {values.shape[1]} class; at least 2 are needed (for one probability: "
            "--task binary-cross-entropy)"
        )
    finite = finite_rows(values)
    kind = require_kind(kind)
    notes = _check_probabilities(values, finite, names) if kind == "probabilities" else ()
    return Scores(np.where(finite[:, None], values, 1.0 / values.shape[1]), kind), finite, notes


def _check_probabilities(
    values: NDArray[np.float64], finite: NDArray[np.bool_], names: Sequence[str]
) -> tuple[str, ...]:
    """Notes on probabilities that sum to 1 within their precision. Raises BadInputError for others."""
    tolerance, why = _tolerance(values[finite])
    off = np.where(finite, np.abs(values.sum(axis=1) - 1), 0.0)
    low, high = values.min(axis=1), values.max(axis=1)
    for i in np.flatnonzero(finite & ((low < 0) | (high > 1 + tolerance) | (off > tolerance))).tolist():
        if low[i] < 0 or high[i] > 1 + tolerance:
            outside = low[i] if low[i] < 0 else high[i]
            raise BadInputError(
                f"{names[i]}: {outside:.4g} is no probability; if these are logits, say: --scores logits"
            )
        raise BadInputError(f"{names[i]}: probabilities sum to {values[i].sum():.4f}, off by {off[i]:.4f}; must be 1")
    worst = float(off.max(initial=0.0))
    if worst <= SUM_TOLERANCE / 2:
        return ()
    return (f"probabilities sum to 1 within {worst:.2g} only ({why}); each row is divided by its sum",)


def _tolerance(values: NDArray[np.float64]) -> tuple[float, str]:
    """By how much a sum of such probabilities may miss 1, and why: decimals that were cut, or few bits."""
    classes = values.shape[1]
    for digits in range(2, 7):
        if np.array_equal(np.round(values, digits), values):
            if np.array_equal(np.round(values, 1), values):
                break  # of one decimal nothing was cut
            return max(SUM_TOLERANCE, min(0.1, classes * 0.5 * 10.0**-digits)), f"{digits} decimals"
    half = values.astype(np.float32).view(np.uint32)
    if not (half & 0xFFFF).any():
        return max(SUM_TOLERANCE, 2.0**-7), "bfloat16"
    return SUM_TOLERANCE, "as they are"
