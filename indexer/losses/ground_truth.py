"""Ground truth of the images: columns of their metadata, a folder of masks, or a COCO file of objects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.functions.base import LossFunction
from fsearch.indexer.losses.loss_spec import LossSpec
from fsearch.indexer.losses.matching import WorkspaceImages
from fsearch.indexer.losses.prediction_file import read_predictions
from fsearch.indexer.sources.coco import read_coco
from fsearch.indexer.storage.sql import quoted
from fsearch.indexer.workspace.store import Store

USUAL_COLUMNS = ("label", "target", "labels")


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """Targets by image identity.

    Attributes
    ----------
    by_image : a label, number, list of them, mask (path or array), or (width, height, COCO objects) per image.
    root : the folder that paths of masks are relative to.
    coco_ids : image identity by COCO image id, as text; detections refer to images by it.
    categories : category ids of the COCO file.
    """

    by_image: Mapping[int, Any]
    root: Path = Path()
    coco_ids: Mapping[str, int] | None = None
    categories: frozenset[int] = frozenset()


def find_ground_truth(store: Store, task: LossFunction, loss_spec: LossSpec, known: WorkspaceImages) -> GroundTruth:
    """The targets of all images that have one, for the loss `task` as `loss_spec` names them.

    Raises BadInputError where there are none, or the column, folder or file is missing.
    """
    place = Path(loss_spec.target[0]) if len(loss_spec.target) == 1 else Path()
    if task.target == "objects":
        if place.suffix.lower() != ".json" or not place.is_file():
            raise BadInputError(f"task {task.name} needs the true objects: --target COCO-FILE.json")
        return _objects(place, known)
    if task.target == "mask" and loss_spec.target and place.is_dir():
        masks = read_predictions(place)
        hits = known.find(masks.keys, place, partial=True)
        return GroundTruth(
            {known.image_ids[i]: m for i, m in zip(hits, masks.values, strict=True) if i is not None}, place
        )
    return _columns(store, task, loss_spec, known)


def _columns(store: Store, task: LossFunction, loss_spec: LossSpec, known: WorkspaceImages) -> GroundTruth:
    """Targets from columns of the images' metadata."""
    with store.catalog.read() as con:
        seen = [str(name) for name, *_ in con.execute("DESCRIBE metadata").fetchall() if name != "image_id"]
        columns = list(loss_spec.target) or [c for c in USUAL_COLUMNS if c in seen][:1]
        missing = [c for c in columns if c not in seen]
        if missing or not columns:
            if task.target == "optional" and not loss_spec.target:
                return GroundTruth({})
            what = f"no column {missing[0]!r}" if missing else "no column 'label'"
            raise BadInputError(
                f"{what} to judge by; the images have: {', '.join(seen) or 'none'} (choose with --target)"
            )
        chosen = ", ".join(quoted(c) for c in columns)
        rows = con.execute(f"SELECT image_id, {chosen} FROM metadata").fetchall()
    found = {i: values[0] if len(values) == 1 else list(values) for i, *values in rows}
    if all(value is None for value in found.values()):
        raise BadInputError(f"the column {', '.join(columns)} is empty for every image")
    return GroundTruth(found, _folder(known) if task.target == "mask" else Path())


def _folder(known: WorkspaceImages) -> Path:
    """The folder of the one source, which paths of masks in its columns are relative to."""
    if len(set(known.sources)) != 1:
        raise BadInputError(
            "masks named by a column need images of one source; give their folder instead: --target FOLDER"
        )
    return known.folder


def _objects(path: Path, known: WorkspaceImages) -> GroundTruth:
    """Objects of a COCO file."""
    coco = read_coco(path)
    objects: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    categories = frozenset(c["id"] for c in coco["categories"])
    for row, annotation in enumerate(coco["annotations"], start=1):
        if "bbox" not in annotation:
            raise BadInputError(f"{path}, annotation {row}: 'bbox' is needed")
        objects[annotation["image_id"]].append(annotation)
    hits = known.find([i["file_name"] for i in coco["images"]], path, path.parent, partial=True)
    by_image, coco_ids = {}, {}
    for image, hit in zip(coco["images"], hits, strict=True):
        if hit is not None:
            by_image[known.image_ids[hit]] = (image.get("width"), image.get("height"), objects[image["id"]])
            coco_ids[str(image["id"])] = known.image_ids[hit]
    return GroundTruth(by_image, path.parent, coco_ids, categories)


def check_categories(
    detections: Sequence[Sequence[Mapping[str, Any]]], truth: GroundTruth, names: Sequence[str]
) -> None:
    """Raise BadInputError for a detection of a category that is not in the ground truth."""
    for found, name in zip(detections, names, strict=True):
        for detection in found:
            if truth.categories and int(detection["category_id"]) not in truth.categories:
                raise BadInputError(f"{name}: category {detection['category_id']} is not in the ground truth")
