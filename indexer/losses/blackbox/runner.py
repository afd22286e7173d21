"""Run a black box over the indexed images: in batches, resumable, and no failing image costs another its loss."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.blackbox.base import BlackBox
from fsearch.indexer.losses.blackbox.batches import DEFAULT_LIMITS, Batches, RunLimits
from fsearch.indexer.losses.blackbox.beside import BesideEncoder
from fsearch.indexer.losses.blackbox.evaluator import Evaluator, Ready
from fsearch.indexer.losses.blackbox.traceback_log import TracebackLog
from fsearch.indexer.losses.functions.base import LossFunction
from fsearch.indexer.losses.ground_truth import CatalogColumns, GroundTruth, find_ground_truth
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
class _Todo:
    """An image to predict: its identity, item, and the hash of the content that was embedded."""

    image_id: int
    item: Item
    sha256: str


def resolved(box: BlackBox, loss_spec: LossSpec) -> tuple[LossSpec, LossFunction]:
    """The spec with what the model declares, and its loss function. Raises BadInputError where they do not fit."""
    loss_spec = loss_spec.with_defaults(box.classes, box.scores, box.origin)
    task = loss_spec.find()
    if task.batchwise:
        raise BadInputError(f"task {task.name} compares all images at once; give it a file: --predictions")
    return loss_spec, task


def run_black_box(
    store: Store,
    model: str,
    box: BlackBox,
    loss_spec: LossSpec,
    sources: Sequence[Source],
    split: str | None = None,
    progress: Progress | None = None,
    limits: RunLimits = DEFAULT_LIMITS,
    *,
    whole: bool = True,
    beside: BesideEncoder | None = None,
) -> LossesReport:
    """Predict every indexed image of `sources` that has no loss of this model and spec yet, and store its loss.

    `whole` : whether these are all images of their sources, so that others are in them no more. `beside` : the part of
    this run that was done while the images were indexed; what it foresaw wrongly is judged again.

    Raises BadInputError where loss and model do not fit, or the model fails on too many images in a row; what was done
    before is kept for the next run. Call inside `store.writer()`.
    """
    loss_spec, task = resolved(box, loss_spec)
    truth = find_ground_truth(CatalogColumns(store), task, loss_spec, workspace_images(store))
    kept = beside is not None and beside.reads_like(truth)
    staging = LossStaging(store, model, loss_spec.fingerprint(box.digest), truth.by_image, retry=not kept)
    if beside is not None and not kept:
        staging.discard()
    evaluator = Evaluator.of(box, task, loss_spec, truth, TracebackLog(store.layout.log(model), limits.tracebacks))
    batches = Batches(evaluator, staging, limits)
    if beside is not None and kept:
        batches.resume(beside.batches)
    _Run(store, evaluator, staging, truth, limits).over(sources, batches, progress, whole)
    notes = (*filter(None, [box.note]), *batches.notes, *clipped_note(batches.clipped))
    report = staging.finish(str(loss_spec), "; ".join(filter(None, (box.origin, box.note))), split, notes)
    return replace(report, notes=(*notes, *doubts(store, model, loss_spec.classes))) if task.classifies else report


class _Run:
    """The order of work of one run: which images, and when to commit."""

    def __init__(
        self, store: Store, evaluator: Evaluator, staging: LossStaging, truth: GroundTruth, limits: RunLimits
    ) -> None:
        self._evaluator, self._staging, self._truth, self._limits = evaluator, staging, truth, limits
        self._done = staging.done()
        with store.catalog.read() as con:
            rows = con.execute("SELECT source, key, image_id, sha256 FROM images WHERE status = 'present'").fetchall()
        self._indexed = {(source, key): (image_id, sha) for source, key, image_id, sha in rows}

    def over(self, sources: Sequence[Source], batches: Batches, progress: Progress | None, whole: bool) -> None:
        """Predict and evaluate the images without a loss. Raises BadInputError where none is of these `sources`."""
        if not {known for known, _ in self._indexed} & {s.name for s in sources}:
            names = ", ".join(s.name for s in sources)
            raise BadInputError(f"no images of {names} in this workspace; index them first")
        total = len(self._indexed)
        done = sum(image_id in self._done for image_id, _ in self._indexed.values())
        flushed = time.monotonic()
        try:
            for image_id, ready in prefetch(self._todo(sources, whole), self._prepare, 3 * self._evaluator.box.batch):
                batches.add(image_id, ready)
                done += 1
                if progress:
                    progress(done, total)
                overdue = time.monotonic() - flushed > self._limits.flush_seconds
                if len(self._staging) >= self._limits.flush_rows or overdue:
                    self._staging.flush()
                    flushed = time.monotonic()
            batches.end()
        finally:  # losses from before an error, or Ctrl-C, are kept
            self._staging.flush()

    def _todo(self, sources: Sequence[Source], whole: bool) -> Iterator[_Todo]:
        for source in sources:
            todo = {k: v for (s, k), v in self._indexed.items() if s == source.name and v[0] not in self._done}
            if not todo:
                continue
            for item in source.items():
                found = todo.pop(item.key, None)
                if found is not None:
                    yield _Todo(found[0], item, found[1])
            for image_id, _ in todo.values() if whole else ():
                self._staging.fail(image_id, "it is not in its source any more; index that again")

    def _prepare(self, todo: _Todo) -> tuple[int, Ready]:
        """Read one image and make the model's input of it. Runs in a thread."""
        key, target = todo.item.key, self._truth.by_image.get(todo.image_id)
        lacking = self._evaluator.lacking(key, target)
        if lacking is not None:
            return todo.image_id, lacking
        found = read_image(todo.item)
        if isinstance(found, str):
            return todo.image_id, Ready(key, target, reason=found)
        if found.sha256 != todo.sha256:
            reason = "it has changed since it was indexed; index it again"
            return todo.image_id, Ready(key, target, reason=reason)
        return todo.image_id, self._evaluator.ready(key, target, found)
