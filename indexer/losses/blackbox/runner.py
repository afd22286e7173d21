"""Run a black box over the indexed images: in batches, resumable, and no failing image costs another its loss."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.blackbox.base import BlackBox, Failure
from fsearch.indexer.losses.blackbox.traceback_log import TracebackLog, error_line
from fsearch.indexer.losses.functions.base import LossFunction, Outcomes, Settings
from fsearch.indexer.losses.functions.frame import WHOLE, Frame, resized_mask
from fsearch.indexer.losses.ground_truth import GroundTruth, find_ground_truth
from fsearch.indexer.losses.loss_report import LossesReport, clipped_note
from fsearch.indexer.losses.loss_spec import LossSpec
from fsearch.indexer.losses.loss_store import LossStaging
from fsearch.indexer.losses.matching import workspace_images
from fsearch.indexer.losses.sanity import doubts
from fsearch.indexer.sources.base import Item, Source
from fsearch.indexer.sources.prefetch import prefetch, read_image
from fsearch.indexer.workspace.store import Store

Progress = Callable[[int, int], None]  # (images done, images in all)


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


@dataclass(frozen=True, slots=True)
class _Todo:
    """An image to predict: its identity, item, and the hash of the content that was embedded."""

    image_id: int
    item: Item
    sha256: str


@dataclass(frozen=True, slots=True)
class _Ready:
    """An image read and prepared in a thread, and how it lies in its file. `reason` says why it could not be."""

    todo: _Todo
    frame: Frame = WHOLE
    prepared: Any = None
    reason: str | None = None


def run_black_box(
    store: Store,
    model: str,
    box: BlackBox,
    loss_spec: LossSpec,
    sources: Sequence[Source],
    split: str | None = None,
    progress: Progress | None = None,
    limits: RunLimits = DEFAULT_LIMITS,
) -> LossesReport:
    """Predict every indexed image of `sources` that has no loss of this model and spec yet, and store its loss.

    Raises BadInputError where loss and model do not fit, or the model fails on too many images in a row; what was done
    before is kept for the next run. Call inside `store.writer()`.
    """
    loss_spec = loss_spec.with_defaults(box.classes, box.scores, box.origin)
    task = loss_spec.find()
    if task.batchwise:
        raise BadInputError(f"task {task.name} compares all images at once; give it a file: --predictions")
    truth = find_ground_truth(store, task, loss_spec, workspace_images(store))
    staging = LossStaging(store, model, loss_spec.fingerprint(box.digest), truth.by_image)
    evaluator = _Evaluator(
        box,
        task,
        loss_spec.settings(target_root=truth.root, labels=truth.labels() if task.classifies else None),
        truth,
        TracebackLog(store.layout.log(model), limits.tracebacks),
    )
    run = _Run(store, evaluator, staging, limits)
    run.over(sources, progress)
    notes = (*filter(None, [box.note]), *run.notes, *clipped_note(run.clipped))
    report = staging.finish(str(loss_spec), "; ".join(filter(None, (box.origin, box.note))), split, notes)
    return replace(report, notes=(*notes, *doubts(store, model, loss_spec.classes))) if task.classifies else report


class _Run:
    """The order of work of one run: which images, in which batches, when to commit, when to give up."""

    def __init__(self, store: Store, evaluator: _Evaluator, staging: LossStaging, limits: RunLimits) -> None:
        self._evaluator, self._staging, self._limits = evaluator, staging, limits
        self._succeeded, self._in_a_row, self._last_reason, self.clipped = False, 0, "", 0
        self._done = staging.done()
        self.notes: tuple[str, ...] = ()
        with store.catalog.read() as con:
            rows = con.execute("SELECT source, key, image_id, sha256 FROM images WHERE status = 'present'").fetchall()
        self._indexed = {(source, key): (image_id, sha) for source, key, image_id, sha in rows}

    def over(self, sources: Sequence[Source], progress: Progress | None) -> None:
        """Predict and evaluate the images without a loss. Raises BadInputError where none is of these `sources`."""
        if not {known for known, _ in self._indexed} & {s.name for s in sources}:
            names = ", ".join(s.name for s in sources)
            raise BadInputError(f"no images of {names} in this workspace; index them first")
        try:
            self._batches(sources, progress)
        finally:  # losses from before an error, or Ctrl-C, are kept
            self._staging.flush()

    def _batches(self, sources: Sequence[Source], progress: Progress | None) -> None:
        total = len(self._indexed)
        done = sum(image_id in self._done for image_id, _ in self._indexed.values())
        size = self._evaluator.box.batch
        batch: list[_Ready] = []
        flushed = time.monotonic()
        for ready in prefetch(self._todo(sources), self._evaluator.prepare, 3 * size):
            batch.append(ready)
            if len(batch) == size:
                self._take(batch)
                batch = []
            done += 1
            if progress:
                progress(done, total)
            overdue = time.monotonic() - flushed > self._limits.flush_seconds
            if len(self._staging) >= self._limits.flush_rows or overdue:
                self._staging.flush()
                flushed = time.monotonic()
        self._take(batch)
        if self._in_a_row and not self._succeeded:
            self._give_up()

    def _todo(self, sources: Sequence[Source]) -> Iterator[_Todo]:
        for source in sources:
            todo = {k: v for (s, k), v in self._indexed.items() if s == source.name and v[0] not in self._done}
            if not todo:
                continue
            for item in source.items():
                found = todo.pop(item.key, None)
                if found is not None:
                    yield _Todo(found[0], item, found[1])
            for image_id, _ in todo.values():
                self._staging.fail(image_id, "it is not in its source any more; index that again")

    def _take(self, batch: Sequence[_Ready]) -> None:
        """Predict and evaluate a batch; images that fail are recorded with their reason."""
        for ready in batch:
            if ready.reason:
                self._staging.fail(ready.todo.image_id, ready.reason)
        usable = [r for r in batch if not r.reason]
        if not usable:
            return
        predicted = list(zip(usable, self._evaluator.predict(usable), strict=True))
        good = [(r, p) for r, p in predicted if not isinstance(p, Failure)]
        failed = [(r, p) for r, p in predicted if isinstance(p, Failure)]
        self._in_a_row = 0 if good else self._in_a_row + len(failed)
        if failed:
            self._last_reason = failed[-1][1].reason
        if self._in_a_row >= (self._limits.failures if self._succeeded else self._limits.first_failures):
            self._give_up()
        for ready, failure in failed:
            self._staging.fail(ready.todo.image_id, failure.reason)
        if good:
            self._succeeded = True
            outcomes = self._evaluator.evaluate([r for r, _ in good], [p for _, p in good])
            self._staging.add([r.todo.image_id for r, _ in good], outcomes)
            self.notes = tuple(dict.fromkeys((*self.notes, *outcomes.notes)))[:4]
            self.clipped += outcomes.clipped

    def _give_up(self) -> NoReturn:
        log = self._evaluator.log
        where = f"; its traceback is in {log.path}" if log.count else ""
        raise BadInputError(
            f"black box {self._evaluator.box.origin} failed on {self._in_a_row} images in a row, the last: "
            f"{self._last_reason}{where}; what was done before is kept"
        )


@dataclass(frozen=True, slots=True)
class _Evaluator:
    """From images to losses: read and prepare, predict, and evaluate against the ground truth."""

    box: BlackBox
    task: LossFunction
    settings: Settings
    truth: GroundTruth
    log: TracebackLog

    def prepare(self, todo: _Todo) -> _Ready:
        """Read one image and make the model's input of it. Runs in a thread."""
        if self.task.target != "optional" and self.truth.by_image.get(todo.image_id) is None:
            return _Ready(todo, reason="it has no label" if self.task.target == "column" else "it has no target")
        read = read_image(todo.item)
        if isinstance(read, str):
            return _Ready(todo, reason=read)
        if read.sha256 != todo.sha256:
            return _Ready(todo, reason="it has changed since it was indexed; index it again")
        try:
            frame = Frame(read.orientation, read.size, read.image.size, self.truth.upright)
            return _Ready(todo, frame, self.box.prepare(read.image))
        except Exception as error:  # an input transform may raise anything
            return _Ready(todo, reason=f"its input could not be made: {error_line(error)}")

    def predict(self, batch: Sequence[_Ready]) -> Sequence[Any]:
        """Predictions or Failures, one per image. Where a whole batch fails, each image is tried alone."""
        try:
            return self.box.predict([r.prepared for r in batch])
        except BadInputError:
            raise
        except Exception as error:  # the model is the user's and may raise anything
            self.log.write(error, [r.todo.item.key for r in batch])
            if len(batch) == 1:
                return [Failure(error_line(error))]
            return [prediction for one in batch for prediction in self.predict([one])]

    def evaluate(self, batch: Sequence[_Ready], predictions: Sequence[Any]) -> Outcomes:
        """The losses of a batch. Raises BadInputError where predictions do not fit the loss, or it raises."""
        targets = [self.truth.by_image.get(r.todo.image_id) for r in batch]
        names = [f"image {r.todo.item.key}" for r in batch]
        if self.task.target == "mask":
            predictions = [self._full_size(p, r.frame.size) for p, r in zip(predictions, batch, strict=True)]
        settings = replace(self.settings, frames=tuple(r.frame for r in batch))
        try:
            return self.task.outcomes(predictions, targets, names, settings)
        except BadInputError:
            raise
        except Exception as error:  # a loss function of the user's
            self.log.write(error, [r.todo.item.key for r in batch])
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
