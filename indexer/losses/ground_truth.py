"""What is right for each image: a column of its metadata or of the predictions, a mask, or a COCO file's objects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.functions.registry import Task
from fsearch.indexer.losses.loss_file import match
from fsearch.indexer.losses.loss_spec import LossSpec
from fsearch.indexer.losses.prediction_file import read_predictions
from fsearch.indexer.sources.coco import read_coco
from fsearch.indexer.storage.sql import quoted
from fsearch.indexer.workspace.store import Store

USUAL = ("label", "target", "labels")


@dataclass(frozen=True, slots=True)
class WorkspaceImages:
    """The images of a workspace: n identities, keys and sources, in order of identity."""

    image_ids: list[int]
    keys: list[str]
    sources: list[str]

    def find(self, keys: Sequence[str], path: Path, base: Path = Path(), *, partial: bool = False) -> list[int | None]:
        """Positions of the images that `keys`, in the file `path`, name. See `match`."""
        several = self.sources if len(set(self.sources)) > 1 else ()
        return match(keys, self.keys, path, base, sources=several, partial=partial)


@dataclass(frozen=True, slots=True)
class Targets:
    """What is right, by image identity; `root` is the folder that paths of masks are relative to.

    `coco_ids` gives the image of a COCO id, as text; COCO results go by it.
    """

    by_image: Mapping[int, Any]
    root: Path = Path()
    coco_ids: Mapping[str, int] | None = None
    categories: frozenset[int] = frozenset()


def workspace_images(store: Store) -> WorkspaceImages:
    """The images that are present."""
    with store.catalog.read() as con:
        rows = con.execute(
            "SELECT image_id, key, source FROM images WHERE status = 'present' ORDER BY image_id"
        ).fetchall()
    if not rows:
        raise BadInputError(f"no images in {store.layout.root}; index some first")
    return WorkspaceImages([i for i, *_ in rows], [k for _, k, _ in rows], [s for *_, s in rows])


def find_targets(store: Store, task: Task, loss_spec: LossSpec, known: WorkspaceImages) -> Targets:
    """The targets of all images that have one. Raises BadInputError where there are none, or it is not clear which."""
    place = Path(loss_spec.target[0]) if len(loss_spec.target) == 1 else Path()
    if task.target == "objects":
        if place.suffix.lower() != ".json" or not place.is_file():
            raise BadInputError(f"task {task.name} needs the true objects: --target COCO-FILE.json")
        return _objects(place, known)
    if task.target == "mask" and loss_spec.target and place.is_dir():
        masks = read_predictions(place)
        hits = known.find(masks.keys, place, partial=True)
        return Targets({known.image_ids[i]: m for i, m in zip(hits, masks.values, strict=True) if i is not None}, place)
    return _columns(store, task, loss_spec)


def _columns(store: Store, task: Task, loss_spec: LossSpec) -> Targets:
    with store.catalog.read() as con:
        seen = [str(name) for name, *_ in con.execute("DESCRIBE metadata").fetchall() if name != "image_id"]
        columns = list(loss_spec.target) or [c for c in USUAL if c in seen][:1]
        missing = [c for c in columns if c not in seen]
        if missing or not columns:
            if task.target == "optional" and not loss_spec.target:
                return Targets({})
            what = f"no column {missing[0]!r}" if missing else "no column 'label'"
            raise BadInputError(
                f"{what} to judge by; the images have: {', '.join(seen) or 'none'} (choose with --target)"
            )
        chosen = ", ".join(quoted(c) for c in columns)
        rows = con.execute(f"SELECT image_id, {chosen} FROM metadata").fetchall()
    found = {i: values[0] if len(values) == 1 else list(values) for i, *values in rows}
    if all(value is None for value in found.values()):
        raise BadInputError(f"the column {', '.join(columns)} is empty for every image")
    return Targets(found, _root(store) if task.target == "mask" else Path())


def _root(store: Store) -> Path:
    """The folder that the images' own columns speak from: that of their one source."""
    with store.catalog.read() as con:
        sources = [Path(s) for (s,) in con.execute("SELECT DISTINCT source FROM images").fetchall()]
    if len(sources) != 1:
        raise BadInputError(
            "masks named by a column need images of one source; give their folder instead: --target FOLDER"
        )
    return sources[0] if sources[0].is_dir() else sources[0].parent


def _objects(path: Path, known: WorkspaceImages) -> Targets:
    said = read_coco(path)
    objects: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    categories = frozenset(c["id"] for c in said["categories"])
    for row, annotation in enumerate(said["annotations"], start=1):
        if "bbox" not in annotation:
            raise BadInputError(f"{path}, annotation {row}: 'bbox' is needed")
        objects[annotation["image_id"]].append(annotation)
    hits = known.find([i["file_name"] for i in said["images"]], path, path.parent, partial=True)
    by_image, coco_ids = {}, {}
    for image, hit in zip(said["images"], hits, strict=True):
        if hit is not None:
            by_image[known.image_ids[hit]] = (image.get("width"), image.get("height"), objects[image["id"]])
            coco_ids[str(image["id"])] = known.image_ids[hit]
    return Targets(by_image, path.parent, coco_ids, categories)


def check_categories(detections: Sequence[Sequence[Mapping[str, Any]]], targets: Targets, names: Sequence[str]) -> None:
    """Raise BadInputError for a detection of a category that the ground truth does not know."""
    for found, name in zip(detections, names, strict=True):
        for detection in found:
            if targets.categories and int(detection["category_id"]) not in targets.categories:
                raise BadInputError(f"{name}: category {detection['category_id']} is not in the ground truth")
