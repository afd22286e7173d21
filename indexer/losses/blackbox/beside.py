"""A black box run on images while they are indexed: each is decoded once, for the encoder and for it.

Images come in the order of their source and in the batches that `run_black_box` would make of them, so that losses are
the same. They are staged under the identities the images just got, and committed after the images themselves;
`run_black_box` then judges what is left, checks what was foreseen, and swaps all in.
"""

from __future__ import annotations

from typing import Any

from fsearch.indexer.losses.blackbox.base import BlackBox
from fsearch.indexer.losses.blackbox.batches import DEFAULT_LIMITS, Batches, RunLimits
from fsearch.indexer.losses.blackbox.evaluator import Evaluator, Ready
from fsearch.indexer.losses.blackbox.traceback_log import TracebackLog
from fsearch.indexer.losses.foreseen import Foreseen
from fsearch.indexer.losses.functions.base import LossFunction
from fsearch.indexer.losses.ground_truth import GroundTruth
from fsearch.indexer.losses.loss_spec import LossSpec
from fsearch.indexer.losses.loss_store import LossStaging
from fsearch.indexer.sources.base import Item
from fsearch.indexer.sources.prefetch import DecodedImage
from fsearch.indexer.workspace.store import Store


class BesideEncoder:
    """What an index run does with each decoded image beside embedding it; a `Companion` of embedding/pipeline.py."""

    def __init__(
        self,
        store: Store,
        model: str,
        box: BlackBox,
        loss_spec: LossSpec,
        task: LossFunction,
        foreseen: Foreseen,
        limits: RunLimits = DEFAULT_LIMITS,
    ) -> None:
        self._foreseen = foreseen
        self._targets: dict[int, Any] = {}
        self._staging = LossStaging(store, model, loss_spec.fingerprint(box.digest), self._targets)
        log = TracebackLog(store.layout.log(model), limits.tracebacks)
        self._evaluator = Evaluator.of(box, task, loss_spec, foreseen.truth, log)
        self.batches = Batches(self._evaluator, self._staging, limits)

    def prepare(self, item: Item, found: DecodedImage) -> Ready:
        """The model's input for a decoded image. Runs in a thread."""
        target = self._foreseen.target(item.key)
        return self._evaluator.lacking(item.key, target) or self._evaluator.ready(item.key, target, found)

    def take(self, image_id: int, prepared: Ready) -> None:
        """Take an image that was given its identity. Raises BadInputError where the model is given up."""
        self._targets[image_id] = self._foreseen.target(prepared.key)
        self.batches.add(image_id, prepared)

    def flush(self) -> None:
        """Commit the losses of images that are committed."""
        self._staging.flush()

    def end(self) -> None:
        """Predict the last batch, and commit it. Raises BadInputError where no image succeeded, and some failed."""
        try:
            self.batches.end()
        finally:
            self._staging.flush()

    def reads_like(self, truth: GroundTruth) -> bool:
        """Whether labels, boxes and masks were read as they are by `truth`, but for the targets of single images."""
        mine = self._foreseen.truth
        return (mine.root, mine.upright, mine.labels()) == (truth.root, truth.upright, truth.labels())
