"""What every black box looks like to the run: prepare an image in a thread, predict a batch, say what you are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from fsearch.indexer.losses.functions.settings import ScoreKind


@dataclass(frozen=True, slots=True)
class Failure:
    """One image's prediction could not be had; `reason` goes into the table `prediction_errors`."""

    reason: str


class BlackBox(Protocol):
    """A model we can run.

    Attributes
    ----------
    origin : how the user named it.
    digest : a hash of the model and of how its input is made: equal for equal predictions.
    batch : how many images it takes at once.
    classes, scores : what it says of its outputs, if anything.
    note : how its input is made, in words; empty where it takes images as they are.
    squashes : whether a predicted mask can be laid over the whole image again.
    """

    origin: str
    digest: str
    batch: int
    classes: tuple[str, ...]
    scores: ScoreKind | None
    note: str
    squashes: bool

    def prepare(self, image: Image.Image) -> Any:
        """The input for one upright RGB image. Runs in a thread."""

    def predict(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """One prediction (or Failure) for each input; may raise anything."""
