"""Losses from a file of predictions: read, matched to images, judged by a task, and stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.functions.registry import Task
from fsearch.indexer.losses.ground_truth import (
    USUAL,
    Targets,
    WorkspaceImages,
    check_categories,
    find_targets,
    workspace_images,
)
from fsearch.indexer.losses.loss_spec import LossSpec
from fsearch.indexer.losses.loss_store import LossesReport, LossStaging
from fsearch.indexer.losses.prediction_file import Predictions, read_predictions
from fsearch.indexer.storage.files import content_sha256
from fsearch.indexer.workspace.store import Store


def add_predictions(store: Store, model: str, path: Path, loss_spec: LossSpec, split: str | None) -> LossesReport:
    """Judge the predictions in `path` and store the losses as those of `model`. Call inside `store.writer()`.

    Raises BadInputError, and writes nothing, where the file or what it is judged by does not fit.
    """
    task = loss_spec.find()
    predictions = read_predictions(path, loss_spec.prediction)
    loss_spec = loss_spec.knowing(predictions.classes, predictions.scores)
    known = workspace_images(store)
    image_ids, values, names, targets, target_root = _matched(store, task, loss_spec, predictions, known)
    outcomes = task.outcomes(values, targets, names, loss_spec.settings(predictions.root, target_root))
    if all(outcomes.reasons):
        raise BadInputError(f"{path}: no prediction gives a loss; the first: {outcomes.reasons[0]}")
    fingerprint = loss_spec.fingerprint(str(path.resolve()), content_sha256(path))
    pending = LossStaging(store, model, fingerprint, dict(zip(image_ids, targets, strict=True)))
    known_already = pending.done()
    wanted = [i for i, image_id in enumerate(image_ids) if image_id not in known_already]
    pending.add([image_ids[i] for i in wanted], outcomes.only(wanted))
    return pending.finish(str(loss_spec), str(path), split)


def _matched(
    store: Store, task: Task, loss_spec: LossSpec, predictions: Predictions, known: WorkspaceImages
) -> tuple[list[int], Any, list[str], list[Any], Path]:
    """Image identities, predictions, names, targets, and the targets' root; of images that the file speaks of."""
    path, columns = predictions.path, predictions.columns
    here = list(loss_spec.target) or [c for c in USUAL if c in columns][:1]
    if task.target != "objects" and here and all(c in columns for c in here):
        found = known.find(predictions.keys, path)
        rows = [columns[c] for c in here]
        targets: list[Any] = list(rows[0]) if len(rows) == 1 else [list(t) for t in zip(*rows, strict=True)]
        image_ids = [known.image_ids[i] for i in found if i is not None]
        return image_ids, predictions.values, predictions.names(), targets, predictions.root
    said = find_targets(store, task, loss_spec, known)
    if task.target == "objects":
        return _detections(predictions, said)
    image_ids = [known.image_ids[i] for i in known.find(predictions.keys, path) if i is not None]
    return image_ids, predictions.values, predictions.names(), [said.by_image.get(i) for i in image_ids], said.root


def _detections(predictions: Predictions, targets: Targets) -> tuple[list[int], list[Any], list[str], list[Any], Path]:
    """Every image of the ground truth with its detections: none found is an answer too."""
    coco_ids = targets.coco_ids or {}
    names = predictions.names()
    if not set(predictions.keys) & set(coco_ids):
        raise BadInputError(f"{predictions.path}: none of its image ids is in the ground truth")
    for key in predictions.keys:
        if key not in coco_ids:
            raise BadInputError(
                f"{predictions.path}: image id {key} is not in the ground truth, or not among the images"
            )
    check_categories(predictions.values, targets, names)
    found = {coco_ids[key]: boxes for key, boxes in zip(predictions.keys, predictions.values, strict=True)}
    image_ids = list(targets.by_image)
    named = {i: f"{predictions.path}, image id {key}" for key, i in coco_ids.items()}
    objects = [targets.by_image[i] for i in image_ids]
    return image_ids, [found.get(i, []) for i in image_ids], [named[i] for i in image_ids], objects, Path()
