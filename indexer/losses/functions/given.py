"""Losses that need no formula: the prediction is the loss itself; and losses by the user's own function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.functions.scores import as_matrix
from fsearch.indexer.losses.functions.settings import Outcomes, Settings


def outcomes_of_losses(
    formula: Callable[..., Any], predictions: Any, targets: Sequence[Any], names: Sequence[str], settings: Settings
) -> Outcomes:
    """The predictions as losses: one finite number an image, from a black box that gives its own loss."""
    losses = as_matrix(predictions, names, 1)[:, 0]
    return _outcomes(losses, targets, "the loss is missing or not finite")


def outcomes_of_function(
    formula: Callable[..., Any], predictions: Any, targets: Sequence[Any], names: Sequence[str], settings: Settings
) -> Outcomes:
    """The losses that `formula(predictions, targets)` gives: two lists of n in, n numbers out; NaN for no loss.

    Raises BadInputError where it gives another number of losses, or no numbers. What it raises itself is not caught
    here.
    """
    given = formula(list(predictions), list(targets), **settings.params)
    try:
        losses = np.asarray(given, np.float64)
    except (TypeError, ValueError) as error:
        raise BadInputError(f"the loss function gave no numbers: {str(error).splitlines()[0]}") from error
    if losses.shape != (len(targets),):
        raise BadInputError(
            f"the loss function gave an array of shape {losses.shape} for {len(targets)} images; it must be "
            f"({len(targets)},), one loss an image"
        )
    return _outcomes(losses, targets, "the loss function gave no finite loss")


def _outcomes(losses: Any, targets: Sequence[Any], why: str) -> Outcomes:
    finite = np.isfinite(losses)
    labels = [t if t is None or isinstance(t, str) else str(t) if np.ndim(t) == 0 else None for t in targets]
    return Outcomes(
        np.where(finite, losses, np.nan), labels, [None] * len(labels), [None if f else why for f in finite]
    )
