"""Images in batches through a black box: what becomes of each, and when the model is given up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.blackbox.base import Failure
from fsearch.indexer.losses.blackbox.evaluator import Evaluator, Ready
from fsearch.indexer.losses.loss_store import LossStaging

_NOTES = 4  # of loss functions, at most


@dataclass(frozen=True, slots=True)
class RunLimits:
    """How often a run commits, and when it gives up.

    Attributes
    ----------
    flush_rows, flush_seconds : losses are committed after so many images, or so much time.
    failures : failed images in a row after which the model, not an image, must be the reason.
    first_failures : the same, before the first success.
    tracebacks : most tracebacks written to the log.
    """

    flush_rows: int = 1024
    flush_seconds: float = 10.0
    failures: int = 256
    first_failures: int = 32
    tracebacks: int = 50


DEFAULT_LIMITS = RunLimits()


class Batches:
    """The images of one run in their order. What is staged must be flushed by the caller.

    Attributes
    ----------
    notes : what loss functions said of how they read the model.
    clipped : boxes that were cut at the edge of their image.
    """

    def __init__(self, evaluator: Evaluator, staging: LossStaging, limits: RunLimits) -> None:
        self._evaluator, self._staging, self._limits = evaluator, staging, limits
        self._batch: list[tuple[int, Ready]] = []
        self._succeeded, self._in_a_row, self._last_reason = False, 0, ""
        self.notes: tuple[str, ...] = ()
        self.clipped = 0

    def resume(self, before: Batches) -> None:
        """Go on after the batches of an earlier part of the run."""
        self._succeeded, self.notes, self.clipped = before._succeeded, before.notes, before.clipped

    def add(self, image_id: int, ready: Ready) -> None:
        """Take one more image; a full batch is predicted. Raises BadInputError where the model is given up."""
        self._batch.append((image_id, ready))
        if len(self._batch) == self._evaluator.box.batch:
            self._take()

    def end(self) -> None:
        """Predict what is left. Raises BadInputError where no image succeeded, and some failed."""
        self._take()
        if self._in_a_row and not self._succeeded:
            self._give_up()

    def _take(self) -> None:
        """Predict and evaluate a batch; images that fail are recorded with their reason."""
        batch, self._batch = self._batch, []
        for image_id, ready in batch:
            if ready.reason:
                self._staging.fail(image_id, ready.reason)
        usable = [(i, r) for i, r in batch if not r.reason]
        if not usable:
            return
        predicted = list(zip(usable, self._evaluator.predict([r for _, r in usable]), strict=True))
        good = [(i, r, p) for (i, r), p in predicted if not isinstance(p, Failure)]
        failed = [(i, p) for (i, _), p in predicted if isinstance(p, Failure)]
        self._in_a_row = 0 if good else self._in_a_row + len(failed)
        if failed:
            self._last_reason = failed[-1][1].reason
        if self._in_a_row >= (self._limits.failures if self._succeeded else self._limits.first_failures):
            self._give_up()
        for image_id, failure in failed:
            self._staging.fail(image_id, failure.reason)
        if good:
            self._succeeded = True
            outcomes = self._evaluator.evaluate([r for _, r, _ in good], [p for *_, p in good])
            self._staging.add([i for i, *_ in good], outcomes)
            self.notes = tuple(dict.fromkeys((*self.notes, *outcomes.notes)))[:_NOTES]
            self.clipped += outcomes.clipped

    def _give_up(self) -> NoReturn:
        log = self._evaluator.log
        where = f"; its traceback is in {log.path}" if log.count else ""
        raise BadInputError(
            f"black box {self._evaluator.box.origin} failed on {self._in_a_row} images in a row, the last: "
            f"{self._last_reason}{where}; what was done before is kept"
        )
