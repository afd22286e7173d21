"""Run a black box over the indexed images and keep its losses: in batches, resumable, no image costing another."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.blackbox.base import BlackBox, Failure
from fsearch.indexer.losses.functions.registry import Task
from fsearch.indexer.losses.functions.settings import Settings
from fsearch.indexer.losses.ground_truth import Targets, find_targets, workspace_images
from fsearch.indexer.losses.loss_spec import LossSpec
from fsearch.indexer.losses.loss_store import LossesReport, LossStaging
from fsearch.indexer.sources.base import Item, Source
from fsearch.indexer.sources.prefetch import prefetch, read_image
from fsearch.indexer.workspace.store import Store

_EVERY_ROWS = 1024
_EVERY_SECONDS = 10.0
_MOST_TRACEBACKS = 50
_MOST_IN_A_ROW = 256  # failures after which the model, not an image, must be the reason
_MOST_AT_FIRST = 32  # the same, while it never succeeded
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An image to predict: its identity, item, and the hash of the content that was embedded."""

    image_id: int
    item: Item
    sha256: str


@dataclass(frozen=True, slots=True)
class _Ready:
    """An image read and prepared in a thread; `size` is (width, height). `reason` says why it could not be."""

    wanted: _Wanted
    size: tuple[int, int] = (0, 0)
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
) -> LossesReport:
    """Predict every indexed image of `sources` that has no loss of this model, task and settings yet, and judge it.

    Raises BadInputError where task and model do not fit, or the model fails on every image. Call inside
    `store.writer()`.
    """
    loss_spec = loss_spec.knowing(box.classes, box.scores)
    task = loss_spec.find()
    if task.whole:
        raise BadInputError(f"task {task.name} compares all images at once; give it a file: --predictions")
    targets = find_targets(store, task, loss_spec, workspace_images(store))
    run = _Run(
        store,
        model,
        box,
        task,
        loss_spec.settings(target_root=targets.root),
        targets,
        loss_spec.fingerprint(box.digest),
    )
    if not any(run.knows(source.name) for source in sources):
        raise BadInputError(f"no images of {', '.join(s.name for s in sources)} in this workspace; index them first")
    run.over(sources, progress)
    return run.pending.finish(str(loss_spec), box.origin, split, (box.note,) if box.note else ())


class _Run:
    """One run of one black box."""

    def __init__(
        self,
        store: Store,
        model: str,
        box: BlackBox,
        task: Task,
        settings: Settings,
        targets: Targets,
        fingerprint: str,
    ) -> None:
        self._box, self._task, self._settings, self._targets = box, task, settings, targets
        self._log = store.layout.log(model)
        self._tracebacks = 0
        self._succeeded, self._in_a_row, self._last_reason = False, 0, ""
        self.pending = LossStaging(store, model, fingerprint, targets.by_image)
        self._done = self.pending.done()
        with store.catalog.read() as con:
            rows = con.execute("SELECT source, key, image_id, sha256 FROM images WHERE status = 'present'").fetchall()
        self._indexed = {(source, key): (image_id, sha) for source, key, image_id, sha in rows}

    def knows(self, source: str) -> bool:
        """Whether images of a source are in the workspace."""
        return any(source == known for known, _ in self._indexed)

    def over(self, sources: Sequence[Source], progress: Progress | None) -> None:
        """Predict and judge what is not done."""
        total = len(self._indexed)
        done = sum(image_id in self._done for image_id, _ in self._indexed.values())
        try:
            self._over(self._wanted(sources), done, total, progress)
        finally:  # what was done before an error, or Ctrl-C, is kept
            self.pending.flush()

    def _over(self, wanted: Iterator[_Wanted], done: int, total: int, progress: Progress | None) -> None:
        batch: list[_Ready] = []
        since = time.monotonic()
        for ready in prefetch(wanted, self._prepare, 3 * self._box.batch):
            batch.append(ready)
            if len(batch) == self._box.batch:
                self._take(batch)
                batch = []
            done += 1
            if progress:
                progress(done, total)
            if len(self.pending) >= _EVERY_ROWS or time.monotonic() - since > _EVERY_SECONDS:
                self.pending.flush()
                since = time.monotonic()
        self._take(batch)
        if self._in_a_row and not self._succeeded:
            self._give_up()

    def _give_up(self) -> NoReturn:
        log = f"; its traceback is in {self._log}" if self._tracebacks else ""
        raise BadInputError(
            f"black box {self._box.origin} failed on {self._in_a_row} images in a row, the last: "
            f"{self._last_reason}{log}; what was done before is kept"
        )

    def _wanted(self, sources: Sequence[Source]) -> Iterator[_Wanted]:
        for source in sources:
            todo = {k: v for (s, k), v in self._indexed.items() if s == source.name and v[0] not in self._done}
            if not todo:
                continue
            for item in source.items():
                found = todo.pop(item.key, None)
                if found is not None:
                    yield _Wanted(found[0], item, found[1])
            for image_id, _ in todo.values():
                self.pending.fail(image_id, "it is not in its source any more; index that again")

    def _prepare(self, wanted: _Wanted) -> _Ready:
        """Read one image and make the model's input of it. Runs in a thread."""
        if self._task.target != "optional" and self._targets.by_image.get(wanted.image_id) is None:
            return _Ready(wanted, reason="it has no label" if self._task.target == "column" else "it has no target")
        read = read_image(wanted.item)
        if isinstance(read, str):
            return _Ready(wanted, reason=read)
        if read.sha256 != wanted.sha256:
            return _Ready(wanted, reason="it has changed since it was indexed; index it again")
        try:
            return _Ready(wanted, read.image.size, self._box.prepare(read.image))
        except Exception as error:  # an input transform may raise anything
            return _Ready(wanted, reason=f"its input could not be made: {_line(error)}")

    def _take(self, batch: Sequence[_Ready]) -> None:
        """Predict and judge a batch."""
        for ready in batch:
            if ready.reason:
                self.pending.fail(ready.wanted.image_id, ready.reason)
        usable = [r for r in batch if not r.reason]
        if not usable:
            return
        said = self._predict(usable)
        good = [(r, s) for r, s in zip(usable, said, strict=True) if not isinstance(s, Failure)]
        failed = [(r, s) for r, s in zip(usable, said, strict=True) if isinstance(s, Failure)]
        self._in_a_row = 0 if good else self._in_a_row + len(failed)
        if failed:
            self._last_reason = failed[-1][1].reason
        if self._in_a_row >= (_MOST_IN_A_ROW if self._succeeded else _MOST_AT_FIRST):
            self._give_up()
        for ready, failure in failed:
            self.pending.fail(ready.wanted.image_id, failure.reason)
        if good:
            self._succeeded = True
            self._judge([r for r, _ in good], [s for _, s in good])

    def _predict(self, batch: Sequence[_Ready]) -> Sequence[Any]:
        """Predictions or Failures. Where a whole batch fails, each image is tried alone."""
        try:
            return self._box.predict([r.prepared for r in batch])
        except BadInputError:
            raise
        except Exception as error:  # the model is the user's and may raise anything
            self._note(error, batch)
            if len(batch) == 1:
                return [Failure(_line(error))]
            return [said for one in batch for said in self._predict([one])]

    def _judge(self, ready: Sequence[_Ready], said: Sequence[Any]) -> None:
        targets = [self._targets.by_image.get(r.wanted.image_id) for r in ready]
        names = [f"image {r.wanted.item.key}" for r in ready]
        if self._task.target == "mask":
            said = [self._laid_over(s, r) for s, r in zip(said, ready, strict=True)]
        try:
            outcomes = self._task.outcomes(said, targets, names, self._settings)
        except BadInputError:
            raise
        except Exception as error:  # a loss function of the user's
            self._note(error, ready)
            raise BadInputError(
                f"task {self._task.name} raised {_line(error)}; its traceback is in {self._log}"
            ) from error
        self.pending.add([r.wanted.image_id for r in ready], outcomes)

    def _laid_over(self, said: Any, ready: _Ready) -> NDArray[Any]:
        """A predicted mask, or scores of one, at the size of the image."""
        array = np.asarray(said)
        width, height = ready.size
        if array.ndim < 2 or array.shape[-2:] == (height, width):
            return array
        if not self._box.squashes:
            raise BadInputError(
                "masks of a model that sees a part of the image cannot be laid over it; say resize: squash"
            )
        rows = ((np.arange(height) + 0.5) * array.shape[-2] / height).astype(int)
        columns = ((np.arange(width) + 0.5) * array.shape[-1] / width).astype(int)
        return array[..., rows[:, None], columns]

    def _note(self, error: BaseException, batch: Sequence[_Ready]) -> None:
        """Write the traceback where the user finds it."""
        self._tracebacks += 1
        if self._tracebacks > _MOST_TRACEBACKS:
            return
        self._log.parent.mkdir(exist_ok=True)
        with self._log.open("a" if self._tracebacks > 1 else "w", encoding="utf-8") as file:
            keys = ", ".join(r.wanted.item.key for r in batch[:3])
            file.write(f"on {len(batch)} images, the first: {keys}\n")
            file.write("".join(traceback.format_exception(error)) + "\n")


def _line(error: BaseException) -> str:
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0]}" if said else type(error).__name__
