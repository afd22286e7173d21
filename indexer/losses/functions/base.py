"""What every loss function is: a `LossFunction`, the `Settings` it is evaluated with, and the `Outcomes` it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.choices import ScoreKind
from fsearch.indexer.losses.classes import Classes
from fsearch.indexer.losses.functions.frame import Frame
from fsearch.indexer.storage.column_types import number

TargetKind = Literal["column", "mask", "objects", "optional"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How predictions and targets are read.

    Attributes
    ----------
    classes : the classes of the model's outputs; names alone are taken as such.
    scores : whether class scores are probabilities or logits; None if unknown, which a loss that needs it refuses.
    prediction_root, target_root : folders that paths of masks are relative to.
    params : parameters of the loss's formula, such as k or delta.
    frames : of each image, where predictions refer to the image that a model saw and targets to the file; else empty.
    """

    classes: Classes | tuple[str, ...] = ()
    scores: ScoreKind | None = None
    prediction_root: Path = Path()
    target_root: Path = Path()
    params: Mapping[str, float] = field(default_factory=dict)
    frames: tuple[Frame, ...] = ()

    @property
    def known(self) -> Classes:
        """The classes as one object."""
        return self.classes if isinstance(self.classes, Classes) else Classes(tuple(self.classes), "--classes")


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The losses of n images.

    Attributes
    ----------
    losses : (n,) float64; NaN where there is no loss.
    labels, predictions : n short texts each, ground truth and prediction; None where neither a name nor number fits.
    reasons : n texts, why there is no loss; None where there is one.
    confidences : (n,) probability of the predicted class; None where there is none.
    notes : how predictions and targets were read.
    guessed : whether labels may be read as other classes, too.
    clipped : boxes that stick out of their image, and were cut at its edge.
    """

    losses: NDArray[np.float64]
    labels: list[str | None]
    predictions: list[str | None]
    reasons: list[str | None]
    confidences: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()
    guessed: bool = False
    clipped: int = 0

    def only(self, positions: Sequence[int]) -> Outcomes:
        """The outcomes of the images at `positions`."""
        return Outcomes(
            self.losses[list(positions)],
            [self.labels[i] for i in positions],
            [self.predictions[i] for i in positions],
            [self.reasons[i] for i in positions],
            None if self.confidences is None else self.confidences[list(positions)],
            self.notes,
            self.guessed,
            self.clipped,
        )


@dataclass(frozen=True, slots=True)
class LossFunction:
    """A loss by name: its formula, and the evaluator of its family that feeds predictions and targets to it.

    Attributes
    ----------
    formula : pure function of what the evaluator reads; its parameters with a default are the loss's parameters.
    evaluate : reads and checks predictions and targets, applies `formula`, returns `Outcomes`.
    target : form of the ground truth: a column's value, a mask, objects of a COCO file, or none needed.
    batchwise : an image is compared to all others, so predictions must come from a file.
    classifies : an image has one class, and `Outcomes` the true and the predicted one.
    evaluator_params : further parameters, used by `evaluate` before the formula.
    """

    name: str
    formula: Callable[..., Any]
    evaluate: Callable[..., Outcomes]
    target: TargetKind = "column"
    batchwise: bool = False
    evaluator_params: tuple[str, ...] = ()
    classifies: bool = False

    @property
    def about(self) -> str:
        """The first line of the formula's docstring."""
        return (self.formula.__doc__ or "").strip().splitlines()[0]

    @property
    def params(self) -> tuple[str, ...]:
        """Names of the parameters that a user can set."""
        own = [p.name for p in signature(self.formula).parameters.values() if p.default is not p.empty]
        return (*own, *self.evaluator_params)

    def outcomes(self, predictions: Any, targets: Sequence[Any], names: Sequence[str], settings: Settings) -> Outcomes:
        """Losses of n images; `names` tell error messages which image is meant.

        Raises BadInputError where the input does not fit.
        """
        return self.evaluate(self.formula, predictions, targets, names, settings)


def as_matrix(predictions: Any, names: Sequence[str], width: int | None = None) -> NDArray[np.float64]:
    """(n, width) float64, rows of NaN for None; without `width`, the first row's length.

    Raises BadInputError where rows differ in length, or hold no numbers.
    """
    if not len(predictions):
        return np.empty((0, width or 0))
    rows = [_row(row, name) for row, name in zip(predictions, names, strict=True)]
    expected = width or next((r.size for r in rows if r is not None), 0)
    for row, name in zip(rows, names, strict=True):
        if row is not None and row.size != expected:
            raise BadInputError(f"{name}: a prediction of {row.size} values where {expected} are expected")
    try:
        return np.array([np.full(expected, np.nan) if r is None else r for r in rows], np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInputError(f"{names[0]}: predictions must be numbers: {error}") from error


def _row(row: Any, name: str) -> NDArray[Any] | None:
    """One image's numbers; a number as text, with a decimal point or comma, is one."""
    if isinstance(row, str):
        try:
            row = number(row)
        except ValueError as error:
            raise BadInputError(f"{name}: predictions must be numbers: {error}") from None
    return None if row is None else np.asarray(row).reshape(-1)


def finite_rows(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) which rows of (n, C) hold finite numbers only."""
    return np.asarray(np.isfinite(values).all(axis=1))
