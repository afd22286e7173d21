"""Losses from a predictions file: read, matched to images and ground truth, evaluated by a loss, and stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.functions.base import LossFunction
from fsearch.indexer.losses.ground_truth import USUAL_COLUMNS, GroundTruth, find_ground_truth
from fsearch.indexer.losses.loss_report import LossesReport, clipped_note
from fsearch.indexer.losses.loss_spec import LossSpec
from fsearch.indexer.losses.loss_store import LossStaging
from fsearch.indexer.losses.matching import WorkspaceImages, workspace_images
from fsearch.indexer.losses.object_matching import match_detections
from fsearch.indexer.losses.prediction_file import Predictions, read_predictions
from fsearch.indexer.storage.files import content_sha256
from fsearch.indexer.workspace.store import Store


@dataclass(frozen=True, slots=True)
class _Pairs:
    """n predictions with their images and targets; `names` for messages, `target_root` for paths of masks."""

    image_ids: list[int]
    predictions: Any
    names: list[str]
    targets: list[Any]
    target_root: Path
    notes: tuple[str, ...] = ()


def add_predictions(store: Store, model: str, path: Path, loss_spec: LossSpec, split: str | None) -> LossesReport:
    """Evaluate the predictions in `path` and store the losses as those of `model`. Call inside `store.writer()`.

    Raises BadInputError, and writes nothing, where the file or its ground truth does not fit.
    """
    task = loss_spec.find()
    predictions = read_predictions(path, loss_spec.prediction)
    loss_spec = loss_spec.with_defaults(predictions.classes, predictions.scores)
    pairs = _pairs(store, task, loss_spec, predictions, workspace_images(store))
    settings = loss_spec.settings(predictions.root, pairs.target_root)
    outcomes = task.outcomes(pairs.predictions, pairs.targets, pairs.names, settings)
    if all(outcomes.reasons):
        raise BadInputError(f"{path}: no prediction gives a loss; the first: {outcomes.reasons[0]}")
    fingerprint = loss_spec.fingerprint(str(path.resolve()), content_sha256(path))
    staging = LossStaging(store, model, fingerprint, dict(zip(pairs.image_ids, pairs.targets, strict=True)))
    done = staging.done()
    todo = [i for i, image_id in enumerate(pairs.image_ids) if image_id not in done]
    staging.add([pairs.image_ids[i] for i in todo], outcomes.only(todo))
    return staging.finish(str(loss_spec), str(path), split, pairs.notes + clipped_note(outcomes.clipped))


def _pairs(
    store: Store, task: LossFunction, loss_spec: LossSpec, predictions: Predictions, known: WorkspaceImages
) -> _Pairs:
    """Predictions beside their ground truth: the file's own columns, else that of the images."""
    path, columns = predictions.path, predictions.columns
    chosen = list(loss_spec.target) or [c for c in USUAL_COLUMNS if c in columns][:1]
    own_targets = task.target != "objects" and chosen and all(c in columns for c in chosen)
    truth = GroundTruth({}) if own_targets else find_ground_truth(store, task, loss_spec, known)
    if task.target == "objects":
        return _detections(predictions, truth, loss_spec)
    image_ids = [known.image_ids[i] for i in known.find(predictions.keys, path) if i is not None]
    if not own_targets:
        targets = [truth.by_image.get(i) for i in image_ids]
        return _Pairs(image_ids, predictions.values, predictions.names(), targets, truth.root)
    rows = [columns[c] for c in chosen]
    targets = list(rows[0]) if len(rows) == 1 else [list(t) for t in zip(*rows, strict=True)]
    return _Pairs(image_ids, predictions.values, predictions.names(), targets, predictions.root)


def _detections(predictions: Predictions, truth: GroundTruth, loss_spec: LossSpec) -> _Pairs:
    """Every image of the ground truth with its detections; an image without any has an empty list."""
    found = match_detections(predictions.keys, predictions.values, truth, loss_spec.classes, predictions.path)
    image_ids = list(truth.by_image)
    names = [found.names.get(i, f"{predictions.path}, an image without detections") for i in image_ids]
    objects = [truth.by_image[i] for i in image_ids]
    return _Pairs(image_ids, [found.by_image.get(i, []) for i in image_ids], names, objects, Path(), found.notes)
