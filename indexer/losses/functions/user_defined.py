"""Losses defined outside of this package: by the black box itself, or by the user's own function."""

from __future__ import annotations

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
    returned = formula(list(predictions), list(targets), **settings.params)
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


def _outcomes(losses: Any, targets: Sequence[Any], reason: str) -> Outcomes:
    finite = np.isfinite(losses)
    labels = [t if t is None or isinstance(t, str) else str(t) if np.ndim(t) == 0 else None for t in targets]
    return Outcomes(
        np.where(finite, losses, np.nan), labels, [None] * len(labels), [None if f else reason for f in finite]
    )
