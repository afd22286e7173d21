"""Losses defined outside of this package: by the black box itself, or by the user's own function."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.functions.base import Outcomes, Settings, as_matrix


def identity(losses: Any) -> Any:
    """The black box gives its own loss: any finite number, higher is worse."""
    return losses


def evaluate_losses(
    formula: Callable[..., Any], predictions: Any, targets: Sequence[Any], names: Sequence[str], settings: Settings
) -> Outcomes:
    """The predictions themselves as losses: one finite number per image."""
    losses = as_matrix(predictions, names, 1)[:, 0]
    return _outcomes(losses, targets, "the loss is missing or not finite")


def evaluate_function(
    formula: Callable[..., Any], predictions: Any, targets: Sequence[Any], names: Sequence[str], settings: Settings
) -> Outcomes:
    """The losses that `formula(predictions, targets)` returns: two lists of length n in, n numbers out, NaN for none.

    Raises BadInputError where it returns another number of losses, or no numbers. Exceptions of `formula` propagate.
    """
    returned = formula(_natural(predictions), _natural(targets), **settings.params)
    try:
        losses = np.asarray(returned, np.float64)
    except (TypeError, ValueError) as error:
        raise BadInputError(f"the loss function gave no numbers: {str(error).splitlines()[0]}") from error
    if losses.shape != (len(targets),):
        raise BadInputError(
            f"the loss function gave an array of shape {losses.shape} for {len(targets)} images; it must be "
            f"({len(targets)},), one loss an image"
        )
    return _outcomes(losses, targets, "the loss function gave no finite loss")


def _natural(values: Any) -> list[Any]:
    """Values of a column as its numbers, where all of them are such and write themselves so; else as they are."""
    given = list(values)
    texts = [v for v in given if v is not None]
    for kind in (int, float):
        with contextlib.suppress(TypeError, ValueError):
            numbers = {v: kind(v) for v in texts if isinstance(v, str)}
            if len(numbers) == len(set(texts)) and all(kind is float or str(n) == v for v, n in numbers.items()):
                return [v if v is None else numbers[v] for v in given]
    return given


def _outcomes(losses: Any, targets: Sequence[Any], reason: str) -> Outcomes:
    finite = np.isfinite(losses)
    labels = [t if t is None or isinstance(t, str) else str(t) if np.ndim(t) == 0 else None for t in targets]
    return Outcomes(
        np.where(finite, losses, np.nan), labels, [None] * len(labels), [None if f else reason for f in finite]
    )
