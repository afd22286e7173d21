"""Losses of retrieval: the rank of the right answer among candidates, or of an image's like among all embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.losses.functions.base import Outcomes, Settings, as_matrix, finite_rows
from fsearch.indexer.losses.functions.class_scores import Scores

_CHUNK = 1024  # queries whose cosines to all images are in memory at once


def reciprocal_rank(scores: Scores, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 - 1 / (1 + candidates that score higher than the right one): from 0 to almost 1.

    Source: Voorhees 1999, "The TREC-8 question answering track report", for one question.
    """
    true_scores = scores.values[np.arange(len(labels)), labels]
    return np.asarray(1 - 1 / (1 + (scores.values > true_scores[:, None]).sum(axis=1)))


def embedding_reciprocal_rank(embeddings: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 - 1 / rank of the nearest other image of the same label, by cosine among all others: from 0 to almost 1.

    NaN where there is no such image.

    `embeddings` : (n, d); `labels` : (n,) int64. Ties are in favour of the same label. Source: as `reciprocal_rank`,
    the set being its own gallery, each query left out of its own (leave-one-out).
    """
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    losses = np.full(len(units), np.nan)
    for start in range(0, len(units), _CHUNK):
        cosines = units[start : start + _CHUNK] @ units.T
        queries = np.arange(len(cosines))
        cosines[queries, start + queries] = -np.inf
        same = labels[start : start + _CHUNK, None] == labels
        same[queries, start + queries] = False
        best = np.where(same, cosines, -np.inf).max(axis=1)
        rank = 1 + (cosines > best[:, None]).sum(axis=1)
        losses[start : start + _CHUNK] = np.where(same.any(axis=1), 1 - 1 / rank, np.nan)
    return losses


def evaluate_embeddings(
    formula: Callable[..., NDArray[np.float64]],
    predictions: Any,
    targets: Sequence[Any],
    names: Sequence[str],
    settings: Settings,
) -> Outcomes:
    """Apply a formula to embeddings, (n, d), and labels; rows that are missing, not finite or zero are left out."""
    embeddings = as_matrix(predictions, names)
    labels = [None if t is None else str(t) for t in targets]
    valid = finite_rows(embeddings) & (np.abs(embeddings).sum(axis=1) > 0)
    usable = valid & np.array([t is not None for t in labels], bool)
    losses = np.full(len(labels), np.nan)
    _, numbers = np.unique([t or "" for t in labels], return_inverse=True)
    if usable.any():
        losses[usable] = formula(embeddings[usable], numbers[usable], **settings.params)
    reasons = [_missing_reason(bool(v), t, bool(np.isfinite(x))) for v, t, x in zip(valid, labels, losses, strict=True)]
    return Outcomes(losses, labels, [None] * len(labels), reasons)


def _missing_reason(valid: bool, label: str | None, ranked: bool) -> str | None:
    if not valid:
        return "the embedding is missing, zero or not finite"
    if label is None:
        return "it has no label"
    return None if ranked else "no other image has its label"
