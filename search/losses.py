"""The losses of every black box of a workspace: `add`, `list`, `remove`, as in `fsearch losses`."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.layout import Layout
from fsearch.indexer.workspace.store import Store

if TYPE_CHECKING:  # listing losses loads nothing that makes them
    import pyarrow as pa

    from fsearch.indexer.losses.blackbox.base import BlackBox
    from fsearch.indexer.losses.blackbox.preprocess import InputOptions
    from fsearch.indexer.losses.choices import ScoreKind, Split
    from fsearch.indexer.losses.loss_report import LossesReport
    from fsearch.indexer.losses.loss_spec import LossSpec
    from fsearch.indexer.sources.base import Source


class ModelLosses:
    """The losses in the workspace at `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def add(
        self,
        model: str,
        *,
        losses: str | os.PathLike[str] | None = None,
        predictions: str | os.PathLike[str] | None = None,
        black_box: str | Callable[..., Any] | BlackBox | None = None,
        task: str | None = None,
        target: str | Sequence[str] = (),
        prediction: str | Sequence[str] = (),
        classes: Sequence[str] = (),
        index_base: int | None = None,
        scores: ScoreKind | None = None,
        params: Mapping[str, float] | None = None,
        weights: str | os.PathLike[str] | None = None,
        input: InputOptions | None = None,
        images: Any = None,
        key_column: str | None = None,
        ignore_unknown: bool = False,
        split: Split | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> LossesReport:
        """Add, or replace, the losses of `model` on images that are embedded already.

        Parameters
        ----------
        losses, predictions, black_box : one of them: a losses file; a predictions file; or a model to run, as a file,
            `timm:NAME` with `weights`, a URL, `module:function`, a function, or an object with `BlackBox`'s attributes.
        task : the loss function, for predictions and black boxes; see `fsearch losses tasks`.
        target : ground truth: a column (or several) of the predictions file or of the images' metadata, a folder of
            masks, or a COCO file.
        prediction : columns of the predictions file.
        classes, scores : class names in the order of the outputs, and whether outputs are probabilities or logits.
        index_base : labels that are numbers count the classes from it, 0 or 1; asked for where they may be names.
        params : parameters of the loss function, such as {"k": 3}.
        input : the model's preprocessing.
        images : the images again, where only a program holds them.
        key_column : the column of the file that names images; by default found by its name.
        ignore_unknown : leave out rows that name no known image, and count them, instead of refusing the file.
        split : "train" if the model was trained on these images, "held-out" if not.

        Predictions and black boxes replace all losses of the model when the new ones are complete; a run that was
        stopped is resumed by the same call. For a losses file see `add_loss_file`. Raises FsearchError.
        """
        from fsearch.indexer.losses.loss_spec import LossSpec

        _check(losses, predictions, black_box, task)
        Layout(self._root).model(model)
        loss_spec = LossSpec(
            task or "", all_of(target), all_of(prediction), tuple(classes), scores, params or {}, index_base
        )
        store = Store.open(self._root)
        with store.writer():
            if losses is not None:
                from fsearch.indexer.losses.from_loss_file import add_loss_file
                from fsearch.indexer.losses.loss_file import read_losses

                table = read_losses(Path(losses), key_column)
                return add_loss_file(store, model, table, split, ignore_unknown=ignore_unknown)
            if predictions is not None:
                from fsearch.indexer.losses.from_predictions import add_predictions

                file = Path(predictions)
                return add_predictions(
                    store, model, file, loss_spec, split, key_column=key_column, ignore_unknown=ignore_unknown
                )
            assert black_box is not None
            loss_spec.find()  # refuses a wrong task before a model is loaded
            return _run(store, model, black_box, weights, input, loss_spec, images, split, progress)

    def list(self) -> pa.Table:
        """One row per model: task, images, mean loss, failed images, whether it is fitted, origin, time."""
        return Store.open(self._root).catalog.sql(
            "SELECT s.model, coalesce(b.task, 'as given') AS task, s.images, s.mean_loss, "
            "(SELECT count(*) FROM prediction_errors e WHERE e.model = s.model) AS failed, "
            "s.spearman IS NOT NULL AS fitted, b.origin, b.added_at FROM model_summary s "
            "LEFT JOIN black_boxes b USING (model) ORDER BY s.model"
        )

    def listed(self) -> pa.Table:
        """Former name of `list`, with a DeprecationWarning; removed in the next version."""
        warnings.warn("ws.losses.listed() is now ws.losses.list()", DeprecationWarning, stacklevel=2)
        return self.list()

    def remove(self, model: str) -> int:
        """Delete a model's losses, fit and errors; stored rankings stay. Returns how many losses it had."""
        from fsearch.indexer.losses.loss_store import remove_model

        store = Store.open(self._root)
        with store.writer():
            store.only_model(model)
            return remove_model(store, model)


def _check(losses: object, predictions: object, black_box: object, task: str | None) -> None:
    """Raise BadInputError unless there is one origin of losses, with a task if it needs one."""
    if sum(given is not None for given in (losses, predictions, black_box)) != 1:
        raise BadInputError("say where the losses come from: one of --losses, --predictions and --black-box")
    if losses is not None and task is not None:
        raise BadInputError("a losses file holds losses already; --task is for --predictions and --black-box")
    if losses is None and task is None:
        raise no_task()


def no_task() -> BadInputError:
    """The error for predictions without a loss function."""
    return BadInputError("say which loss, like --task cross-entropy; all of them: fsearch losses tasks")


def all_of(given: str | Sequence[str]) -> tuple[str, ...]:
    """One name, or several, as several."""
    return (given,) if isinstance(given, str) else tuple(given)


def open_box(
    black_box: str | Callable[..., Any] | BlackBox,
    weights: str | os.PathLike[str] | None,
    input: InputOptions | None,
    spec: LossSpec,
) -> BlackBox:
    """The black box that a caller names, with what `spec` says of its outputs. Raises BadInputError."""
    from fsearch.indexer.losses.blackbox.preprocess import InputOptions
    from fsearch.indexer.losses.blackbox.resolve import open_black_box

    options = (input or InputOptions()).over(InputOptions(classes=spec.classes, scores=spec.scores))
    return open_black_box(black_box, options, None if weights is None else Path(weights))


def _run(
    store: Store,
    model: str,
    black_box: str | Callable[..., Any] | BlackBox,
    weights: str | os.PathLike[str] | None,
    input: InputOptions | None,
    spec: LossSpec,
    images: Any,
    split: Split | None,
    progress: Callable[[str, int, int], None] | None,
) -> LossesReport:
    from fsearch.indexer.losses.blackbox.runner import run_black_box

    box = open_box(black_box, weights, input, spec)
    tick = (lambda done, total: progress("predicting", done, total)) if progress else None
    return run_black_box(store, model, box, spec, _sources(store, images), split, tick)


def _sources(store: Store, images: Any) -> list[Source]:
    from fsearch.indexer.sources.resolve import Images, open_images
    from fsearch.indexer.workspace.source_registry import reopen

    if images is None:
        return reopen(store)
    return [(images if isinstance(images, Images) else open_images(images)).source]
