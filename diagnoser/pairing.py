"""Pairing: the losses of two models on the same images, one beside the other. What cannot be paired is refused here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.diagnosis import MIN_FIT_IMAGES, Diagnosis
from fsearch.diagnoser.verdict import minimum_effect
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.vector_index.near_duplicates import dense
from fsearch.indexer.workspace.store import Losses

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

APART = 20.0  # times as widely spread: hardly the same loss of two models
STANDARDISE = "compare where phrases stand within each model: --standardise"


@dataclass(frozen=True, slots=True)
class Side:
    """One of two models, on n images.

    Attributes
    ----------
    task : its loss function with its settings; None where a losses file gave the losses.
    rows : (n,) rising global rows of the images.
    losses, predicted : (n,) float64 losses, and what the ensemble predicts out of bag.
    """

    model: str
    task: str | None
    rows: Rows
    losses: Floats
    predicted: Floats

    @classmethod
    def of(cls, diagnosis: Diagnosis, task: str | None) -> Side:
        """A fitted model."""
        rows, losses = diagnosis.retriever.rows, diagnosis.losses
        return cls(diagnosis.report.model, task, rows, losses, losses - diagnosis.residuals)

    @classmethod
    def constant(cls, losses: Losses, task: str | None) -> Side:
        """A model whose losses are all equal (one that makes no mistake, say): no fit of it is needed, or possible."""
        return cls(losses.model, task, losses.rows, losses.values, losses.values)


@dataclass(frozen=True, slots=True)
class Pair:
    """The losses of two models on the n images that have both.

    Attributes
    ----------
    rows, groups : (n,) rising global rows of the images, and the group of repeats that each belongs to.
    before, after : (n,) float64 losses of the one model and of the other.
    either : (m,) rising global rows of the images that have a loss of one or both.
    between : how far the mean change differs between kinds of image: the spread of the predicted change.
    min_effect : the smallest change that matters, in units of the losses.
    """

    rows: Rows
    groups: NDArray[np.integer[Any]]
    before: Floats
    after: Floats
    either: Rows
    between: float
    min_effect: float

    @property
    def change(self) -> Floats:
        """(n,) float64, positive where the loss rose."""
        return self.after - self.before

    def within(self, rows: Rows) -> Pair:
        """The pairs among the images at some global rows; `either` is narrowed as well."""
        kept = np.isin(self.rows, rows)
        _require(int(kept.sum()), "fulfil the condition and have a loss of both models; loosen it")
        before = self.before[kept]
        return replace(
            self,
            rows=self.rows[kept],
            groups=dense(self.groups[kept]),
            before=before,
            after=self.after[kept],
            either=self.either[np.isin(self.either, rows)],
            min_effect=minimum_effect(before) or minimum_effect(self.after[kept]),
        )


def pair(before: Side, after: Side, base: Diagnosis, *, standardise: bool = False) -> Pair:
    """Pair two models on the images that have a loss of both; `base` is the diagnosis that says which are repeats.

    `standardise` takes each model's losses less their mean, in their standard deviations, over these images: what is
    compared is then where a phrase stands within each model. Raises BadInputError where nothing can be said: too few
    shared images, losses that are no numbers or all equal, two losses on different scales.
    """
    rows, b, a = np.intersect1d(before.rows, after.rows, assume_unique=True, return_indices=True)
    _require(len(rows), f"have a loss of both {before.model!r} and {after.model!r}; pairing needs the same images")
    old, new = before.losses[b], after.losses[a]
    predicted = after.predicted[a] - before.predicted[b]
    if not (np.isfinite(old).all() and np.isfinite(new).all() and np.isfinite(predicted).all()):
        raise BadInputError(f"losses of {before.model!r} or {after.model!r} are no numbers; run: fsearch check")
    if standardise:
        old, new = _standard(old, before.model), _standard(new, after.model)
        predicted = after.predicted[a] / after.losses[a].std() - before.predicted[b] / before.losses[b].std()
    elif reason := different_scales(before, after):
        raise BadInputError(f"{reason}; {STANDARDISE}")
    own = np.searchsorted(base.retriever.rows, rows)
    return Pair(
        rows=rows,
        groups=dense(base.groups[own]),
        before=old,
        after=new,
        either=np.union1d(before.rows, after.rows),
        between=float(predicted.std()),
        min_effect=minimum_effect(old) or minimum_effect(new),
    )


def different_scales(before: Side, after: Side) -> str | None:
    """Why the losses of two models are not on one scale, in words; None where nothing says so.

    The loss functions tell where both are known. Where a losses file gave one of them, the losses themselves must: one
    that takes two values is no loss that takes many, and one that is spread APART times as widely is hardly the same.
    """
    names = f"{before.model!r} and {after.model!r}"
    if before.task is not None and after.task is not None:
        return None if before.task == after.task else f"{names} are on different scales: {before.task}, {after.task}"
    counts = sorted(len(np.unique(side.losses)) for side in (before, after))
    if counts[0] == 2 < counts[1]:
        return f"{names} are on different scales: the losses of one take two values, those of the other {counts[1]:,}"
    spreads = sorted(float(side.losses.std()) for side in (before, after))
    if spreads[0] > 0 and spreads[1] > APART * spreads[0]:
        return f"{names} are hardly on one scale: their losses are spread by {spreads[0]:.3g} and {spreads[1]:.3g}"
    return None


def _standard(losses: Floats, model: str) -> Floats:
    spread = float(losses.std())
    if spread == 0.0:
        raise BadInputError(f"--standardise: all losses of model {model!r} are equal ({losses[0]:g})")
    return np.asarray((losses - losses.mean()) / spread)


def _require(images: int, what: str) -> None:
    if images < MIN_FIT_IMAGES:
        raise BadInputError(f"only {images} images {what} (at least {MIN_FIT_IMAGES} are needed)")
