"""From one image, or a batch of them, to losses: make the model's input, predict, and evaluate by the ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.blackbox.base import BlackBox, Failure
from fsearch.indexer.losses.blackbox.traceback_log import TracebackLog, error_line
from fsearch.indexer.losses.functions.base import LossFunction, Outcomes, Settings
from fsearch.indexer.losses.functions.frame import WHOLE, Frame, resized_mask
from fsearch.indexer.losses.ground_truth import GroundTruth
from fsearch.indexer.losses.loss_spec import LossSpec
from fsearch.indexer.sources.prefetch import DecodedImage


@dataclass(frozen=True, slots=True)
class Ready:
    """An image made ready in a thread, and how it lies in its file. `reason` says why it could not be."""

    key: str
    target: Any = None
    frame: Frame = WHOLE
    prepared: Any = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Evaluator:
    """A black box and its loss function; `upright` as in GroundTruth."""

    box: BlackBox
    task: LossFunction
    settings: Settings
    upright: bool
    log: TracebackLog

    @classmethod
    def of(
        cls, box: BlackBox, task: LossFunction, loss_spec: LossSpec, truth: GroundTruth, log: TracebackLog
    ) -> Evaluator:
        """The evaluator by `truth`."""
        labels = truth.labels() if task.classifies else None
        return cls(box, task, loss_spec.settings(target_root=truth.root, labels=labels), truth.upright, log)

    def lacking(self, key: str, target: Any) -> Ready | None:
        """What becomes of an image whose target is missing, and needed; None for any other."""
        if target is not None or self.task.target == "optional":
            return None
        return Ready(key, reason="it has no label" if self.task.target == "column" else "it has no target")

    def ready(self, key: str, target: Any, found: DecodedImage) -> Ready:
        """Make the model's input of an image. Runs in a thread."""
        try:
            frame = Frame(found.orientation, found.size, found.image.size, self.upright)
            return Ready(key, target, frame, self.box.prepare(found.image))
        except Exception as error:  # an input transform may raise anything
            return Ready(key, target, reason=f"its input could not be made: {error_line(error)}")

    def predict(self, batch: Sequence[Ready]) -> Sequence[Any]:
        """Predictions or Failures, one per image. Where a whole batch fails, each image is tried alone."""
        try:
            return self.box.predict([r.prepared for r in batch])
        except BadInputError:
            raise
        except Exception as error:  # the model is the user's and may raise anything
            self.log.write(error, [r.key for r in batch])
            if len(batch) == 1:
                return [Failure(error_line(error))]
            return [prediction for one in batch for prediction in self.predict([one])]

    def evaluate(self, batch: Sequence[Ready], predictions: Sequence[Any]) -> Outcomes:
        """The losses of a batch. Raises BadInputError where predictions do not fit the loss, or it raises."""
        names = [f"image {r.key}" for r in batch]
        if self.task.target == "mask":
            predictions = [self._full_size(p, r.frame.size) for p, r in zip(predictions, batch, strict=True)]
        settings = replace(self.settings, frames=tuple(r.frame for r in batch))
        try:
            return self.task.outcomes(predictions, [r.target for r in batch], names, settings)
        except BadInputError:
            raise
        except Exception as error:  # a loss function of the user's
            self.log.write(error, [r.key for r in batch])
            raise BadInputError(
                f"task {self.task.name} raised {error_line(error)}; its traceback is in {self.log.path}"
            ) from error

    def _full_size(self, mask: Any, size: tuple[int, int]) -> NDArray[Any]:
        """A predicted mask (h, w), or scores (C, h, w), resized to the image (nearest neighbour)."""
        array = np.asarray(mask)
        if array.ndim < 2 or array.shape[-2:] == size[::-1]:
            return array
        if not self.box.squashes:
            raise BadInputError(
                "masks of a model that sees a part of the image cannot be laid over it; say resize: squash"
            )
        return resized_mask(array, size)
