"""What regression losses share: K numbers an image, said and right. The formulas are in files of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.losses.functions.scores import as_matrix, finite_rows
from fsearch.indexer.losses.functions.settings import Outcomes, Settings


def outcomes_of_values(
    formula: Callable[..., NDArray[np.float64]],
    predictions: Any,
    targets: Sequence[Any],
    names: Sequence[str],
    settings: Settings,
) -> Outcomes:
    """Apply a formula on the errors, prediction less target, (n, K), and average over the K outputs."""
    said = as_matrix(predictions, names)
    right = as_matrix(targets, names, said.shape[1])
    has_said, has_right = finite_rows(said), finite_rows(right)
    usable = has_said & has_right
    losses = np.full(len(said), np.nan)
    losses[usable] = formula((said - right)[usable], **settings.params).mean(axis=1)
    reasons = [
        "the prediction is missing or not finite" if not p else "the target is missing or not finite" if not t else None
        for p, t in zip(has_said, has_right, strict=True)
    ]
    return Outcomes(losses, [_text(v) for v in right], [_text(v) for v in said], reasons)


def _text(values: NDArray[np.float64]) -> str | None:
    return ", ".join(f"{v:.6g}" for v in values) if np.isfinite(values).all() else None
