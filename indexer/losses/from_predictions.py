"""Losses from a predictions file: read, matched to images and ground truth, evaluated by a loss, and stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.classes import TrueLabels, of_columns
from fsearch.indexer.losses.from_loss_file import other_names
from fsearch.indexer.losses.functions.base import LossFunction, Outcomes
from fsearch.indexer.losses.ground_truth import USUAL_COLUMNS, CatalogColumns, GroundTruth, find_ground_truth
from fsearch.indexer.losses.loss_report import LossesReport, clipped_note
from fsearch.indexer.losses.loss_spec import LossSpec
from fsearch.indexer.losses.loss_store import LossStaging
from fsearch.indexer.losses.matching import NO_IMAGE, match_rows, workspace_images
from fsearch.indexer.losses.object_matching import match_detections
from fsearch.indexer.losses.prediction_file import Predictions, read_predictions
from fsearch.indexer.losses.sanity import suspect
from fsearch.indexer.storage.files import content_sha256
from fsearch.indexer.workspace.store import Store

_READING = "2"  # how labels are read as classes; another number judges anew what an older version judged


@dataclass(frozen=True, slots=True)
class _Pairs:
    """n predictions with their images and targets; `names` for messages, `target_root` for paths of masks."""

    image_ids: list[int]
    predictions: Any
    names: list[str]
    targets: list[Any]
    target_root: Path
    folders: tuple[str, ...] = ()
    rows: str = ""
    notes: tuple[str, ...] = ()


def add_predictions(
    store: Store,
    model: str,
    path: Path,
    loss_spec: LossSpec,
    split: str | None,
    *,
    key_column: str | None = None,
    ignore_unknown: bool = False,
) -> LossesReport:
    """Evaluate the predictions in `path` and store the losses as those of `model`. Call inside `store.writer()`.

    Raises BadInputError, and writes nothing, where the file or its ground truth does not fit.
    """
    task = loss_spec.find()
    predictions = read_predictions(path, loss_spec.prediction, loss_spec.target, key_column)
    classes, origin = of_columns(loss_spec.classes, predictions.classes, path)
    loss_spec = replace(loss_spec.with_defaults((), predictions.scores, ""), classes=classes, classes_from=origin)
    pairs = _pairs(store, task, loss_spec, predictions, ignore_unknown)
    settings = loss_spec.settings(predictions.root, pairs.target_root, TrueLabels(pairs.folders))
    outcomes = task.outcomes(pairs.predictions, pairs.targets, pairs.names, settings)
    if all(outcomes.reasons):
        raise BadInputError(f"{path}: no prediction gives a loss; the first: {outcomes.reasons[0]}")
    notes = _class_notes(outcomes, pairs.names, path, loss_spec.classes) if task.classifies else outcomes.notes
    fingerprint = loss_spec.fingerprint(str(path.resolve()), content_sha256(path), _READING)
    staging = LossStaging(store, model, fingerprint, dict(zip(pairs.image_ids, pairs.targets, strict=True)))
    done = staging.done()
    todo = [i for i, image_id in enumerate(pairs.image_ids) if image_id not in done]
    staging.add([pairs.image_ids[i] for i in todo], outcomes.only(todo))
    report = staging.finish(str(loss_spec), str(path), split, (*notes, *pairs.notes, *clipped_note(outcomes.clipped)))
    return replace(report, rows=f"{path}{f' ({predictions.form})' if predictions.form else ''}: {pairs.rows}")


def _class_notes(outcomes: Outcomes, names: Sequence[str], path: Path, order: Sequence[str]) -> tuple[str, ...]:
    """How classes were read, the first row as an example, and what speaks against it.

    Raises BadInputError where labels could be read in another way that fits nearly always, and this one hardly ever.
    """
    found = suspect(outcomes.labels, outcomes.predictions, order)
    if found and found.decisive and outcomes.guessed:
        raise BadInputError(
            f"{path}: {found.text} Say what labels are: --classes NAMES in the order of outputs, --index-base 0 or 1"
        )
    first = next(i for i, reason in enumerate(outcomes.reasons) if reason is None)
    sure = "" if outcomes.confidences is None else f", p {outcomes.confidences[first]:.2g}"
    said = f"{names[first]}: label {outcomes.labels[first]!r}, predicted {outcomes.predictions[first]!r}{sure}"
    return (*outcomes.notes, said, *([f"warning: {found.text}"] if found else []))


def _pairs(
    store: Store, task: LossFunction, loss_spec: LossSpec, predictions: Predictions, ignore_unknown: bool
) -> _Pairs:
    """Predictions beside their ground truth: the file's own columns, else that of the images."""
    path, columns, known = predictions.path, predictions.columns, workspace_images(store, known=True)
    chosen = list(loss_spec.target) or [c for c in USUAL_COLUMNS if c in columns][:1]
    own_targets = task.target != "objects" and chosen and all(c in columns for c in chosen)
    truth = (
        GroundTruth({})
        if own_targets
        else find_ground_truth(CatalogColumns(store), task, loss_spec, workspace_images(store))
    )
    if task.target == "objects":
        return _detections(predictions, truth, loss_spec)
    found, counts = match_rows(
        known, predictions.keys, path, lambda: other_names(store, None), ignore_unknown=ignore_unknown
    )
    kept = [row for row, i in enumerate(found) if i is not None and known.image_ids[i] != NO_IMAGE]
    image_ids = [known.image_ids[found[row]] for row in kept]  # type: ignore[index]
    values, every = predictions.values, predictions.names()
    values = values[kept] if isinstance(values, np.ndarray) else [values[row] for row in kept]
    names, said = [every[row] for row in kept], f"{counts.rows:,} rows read, {counts}"
    if not own_targets:
        targets = [truth.by_image.get(i) for i in image_ids]
        return _Pairs(image_ids, values, names, targets, truth.root, truth.folders, said)
    rows = [[columns[c][row] for row in kept] for c in chosen]
    targets = list(rows[0]) if len(rows) == 1 else [list(t) for t in zip(*rows, strict=True)]
    return _Pairs(image_ids, values, names, targets, predictions.root, (), said)


def _detections(predictions: Predictions, truth: GroundTruth, loss_spec: LossSpec) -> _Pairs:
    """Every image of the ground truth with its detections; an image without any has an empty list."""
    found = match_detections(predictions.keys, predictions.values, truth, loss_spec.classes, predictions.path)
    image_ids = list(truth.by_image)
    names = [found.names.get(i, f"{predictions.path}, an image without detections") for i in image_ids]
    objects = [truth.by_image[i] for i in image_ids]
    said = f"detections on {len(predictions.keys):,} images read; the other images have none"
    boxes = [found.by_image.get(i, []) for i in image_ids]
    return _Pairs(image_ids, boxes, names, objects, Path(), (), said, found.notes)
