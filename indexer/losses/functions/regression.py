"""Losses of regression: K real-valued outputs per image, averaged over the outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.losses.functions.base import Outcomes, Settings, as_matrix, finite_rows


def squared_error(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """error^2 an output, in squared units of the target, from 0 up.

    Source: sklearn.metrics.mean_squared_error before its mean over images.
    """
    return errors**2


def absolute_error(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Absolute error an output, in units of the target, from 0 up.

    Source: sklearn.metrics.mean_absolute_error before its mean over images.
    """
    return np.abs(errors)


def huber(errors: NDArray[np.float64], delta: float = 1.0) -> NDArray[np.float64]:
    """error^2 / 2 up to `delta` (in units of the target), delta (|error| - delta / 2) beyond; from 0 up.

    Source: Huber 1964, "Robust estimation of a location parameter", equation 5; torch.nn.HuberLoss.
    """
    size = np.abs(errors)
    return np.where(size <= delta, errors**2 / 2, delta * (size - delta / 2))


def log_cosh(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(cosh(error)) an output, from 0 up: half the square of a small error, a large one's size less log 2.

    Source: Saleh and Saleh 2022, "Statistical properties of the log-cosh loss function used in machine learning".
    """
    size = np.abs(errors)
    return np.asarray(size + np.log1p(np.exp(-2 * size)) - np.log(2))


def quantile(errors: NDArray[np.float64], q: float = 0.5) -> NDArray[np.float64]:
    """Pinball loss: q times an underestimate, 1 - q times an overestimate, in units of the target; from 0 up.

    Source: Koenker and Bassett 1978, "Regression quantiles"; sklearn.metrics.mean_pinball_loss before its mean.
    """
    return np.maximum(-q * errors, (1 - q) * errors)


def evaluate_values(
    formula: Callable[..., NDArray[np.float64]],
    predictions: Any,
    targets: Sequence[Any],
    names: Sequence[str],
    settings: Settings,
) -> Outcomes:
    """Apply a formula to the errors, prediction minus target, (n, K), and average over the K outputs."""
    predicted = as_matrix(predictions, names)
    truth = as_matrix(targets, names, predicted.shape[1])
    has_prediction, has_target = finite_rows(predicted), finite_rows(truth)
    usable = has_prediction & has_target
    losses = np.full(len(predicted), np.nan)
    losses[usable] = formula((predicted - truth)[usable], **settings.params).mean(axis=1)
    reasons = [
        "the prediction is missing or not finite" if not p else "the target is missing or not finite" if not t else None
        for p, t in zip(has_prediction, has_target, strict=True)
    ]
    return Outcomes(losses, [_text(v) for v in truth], [_text(v) for v in predicted], reasons)


def _text(values: NDArray[np.float64]) -> str | None:
    return ", ".join(f"{v:.6g}" for v in values) if np.isfinite(values).all() else None
