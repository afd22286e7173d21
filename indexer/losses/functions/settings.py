"""What a task is told beside predictions and targets, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

ScoreKind = Literal["probabilities", "logits"]


@dataclass(frozen=True, slots=True)
class Settings:
    """How predictions and targets are to be read.

    Attributes
    ----------
    classes : names of the classes in the order of the black box's outputs; empty where they go by number.
    scores : whether scores are probabilities or logits; None where nobody said, and a task that needs it refuses.
    prediction_root, target_root : folders that paths of masks are relative to.
    params : settings of the task's own formula, such as k or delta.
    """

    classes: tuple[str, ...] = ()
    scores: ScoreKind | None = None
    prediction_root: Path = Path()
    target_root: Path = Path()
    params: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What a task says of n images.

    Attributes
    ----------
    losses : (n,) float64; NaN where there is no loss.
    labels, predictions : n texts each, what was right and what was said; None where there is no short word for it.
    reasons : n texts, why there is no loss; None where there is one.
    """

    losses: NDArray[np.float64]
    labels: list[str | None]
    predictions: list[str | None]
    reasons: list[str | None]

    def only(self, positions: Sequence[int]) -> Outcomes:
        """The same of some images."""
        return Outcomes(
            self.losses[list(positions)],
            [self.labels[i] for i in positions],
            [self.predictions[i] for i in positions],
            [self.reasons[i] for i in positions],
        )
