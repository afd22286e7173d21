"""The black box of an index run: opened before anything is written, run beside the encoder, and finished after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fsearch.indexer.embedding.pipeline import IndexReport
from fsearch.indexer.losses.blackbox.base import BlackBox
from fsearch.indexer.losses.blackbox.beside import BesideEncoder
from fsearch.indexer.losses.blackbox.runner import resolved, run_black_box
from fsearch.indexer.losses.foreseen import Foreseen, foresee
from fsearch.indexer.losses.loss_spec import LossSpec
from fsearch.indexer.sources.resolve import Images
from fsearch.indexer.storage.layout import Layout
from fsearch.indexer.workspace.store import Store
from fsearch.search.losses import all_of, no_task, open_box
from fsearch.search.options import BlackBoxOptions


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A black box, opened, that is to be run on images.

    Attributes
    ----------
    foreseen : the ground truth; None where only reading the images tells it, so that the black box comes after.
    """

    model: str
    box: BlackBox
    spec: LossSpec
    images: Images
    foreseen: Foreseen | None

    @classmethod
    def of(cls, root: Path, model: str, options: BlackBoxOptions, images: Images) -> PlannedRun:
        """Open the black box. Raises BadInputError, before anything is written, where model or target do not fit."""
        if options.task is None:
            raise no_task()
        spec = LossSpec(
            options.task,
            all_of(options.target),
            (),
            tuple(options.classes),
            options.scores,
            options.params or {},
            options.index_base,
        )
        spec.find()  # refuses a wrong task before a model is loaded
        box = open_box(options.black_box, options.weights, options.input, spec)
        full, task = resolved(box, spec)
        store = Store.open(root) if Layout(root).catalog.exists() else None
        return cls(model, box, full, images, foresee(store, images, task, full))

    def beside(self, store: Store) -> BesideEncoder | None:
        """What runs it while images are embedded; None where it comes after."""
        if self.foreseen is None:
            return None
        return BesideEncoder(store, self.model, self.box, self.spec, self.spec.find(), self.foreseen)

    def finish(
        self,
        store: Store,
        beside: BesideEncoder | None,
        report: IndexReport,
        split: str | None,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        """Run it on the images that are left, store all losses, and say so in `report`."""
        whole, source = self.images.whole, self.images.source
        found = run_black_box(
            store, self.model, self.box, self.spec, [source], split, progress, whole=whole, beside=beside
        )
        report.rows = f"model {self.model}: {found.task}, mean {found.mean:.4g}"
        report.losses, report.failed_losses = found.added + found.kept, found.failed
        report.without_loss, report.replaced_losses = found.without, found.replaced
        report.notes = (*report.notes, *found.notes)
