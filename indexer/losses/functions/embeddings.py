"""Tasks on a black box's own embeddings: each image is judged among all others, so they come from a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.losses.functions.scores import as_matrix, finite_rows
from fsearch.indexer.losses.functions.settings import Outcomes, Settings


def outcomes_of_embeddings(
    formula: Callable[..., NDArray[np.float64]],
    predictions: Any,
    targets: Sequence[Any],
    names: Sequence[str],
    settings: Settings,
) -> Outcomes:
    """Apply a formula on embeddings (n, d) and labels; rows that are missing, not finite or zero take no part."""
    embeddings = as_matrix(predictions, names)
    texts = [None if t is None else str(t) for t in targets]
    sound = finite_rows(embeddings) & (np.abs(embeddings).sum(axis=1) > 0)
    usable = sound & np.array([t is not None for t in texts], bool)
    losses = np.full(len(texts), np.nan)
    _, numbers = np.unique([t or "" for t in texts], return_inverse=True)
    if usable.any():
        losses[usable] = formula(embeddings[usable], numbers[usable], **settings.params)
    reasons = [_why_not(bool(s), t, bool(np.isfinite(v))) for s, t, v in zip(sound, texts, losses, strict=True)]
    return Outcomes(losses, texts, [None] * len(texts), reasons)


def _why_not(sound: bool, label: str | None, found: bool) -> str | None:
    if not sound:
        return "the embedding is missing, zero or not finite"
    if label is None:
        return "it has no label"
    return None if found else "no other image has its label"
