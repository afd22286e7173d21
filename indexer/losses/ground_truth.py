"""Ground truth of the images: columns of their metadata, a folder of masks, or a data set of objects."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.classes import TrueLabels
from fsearch.indexer.losses.detections import ObjectNames, in_pixels, names_of
from fsearch.indexer.losses.functions.base import LossFunction
from fsearch.indexer.losses.loss_spec import LossSpec
from fsearch.indexer.losses.matching import WorkspaceImages
from fsearch.indexer.losses.prediction_file import read_predictions
from fsearch.indexer.sources.annotated import AnnotatedSet, find_key
from fsearch.indexer.sources.kind import kind_of_objects
from fsearch.indexer.sources.paths import PathResolver
from fsearch.indexer.sources.resolve import reader_of
from fsearch.indexer.storage.column_types import text_of
from fsearch.indexer.storage.metadata import column_names, values_of
from fsearch.indexer.workspace.store import Store

USUAL_COLUMNS = ("label", "target", "labels")
_LABELS_AT_MOST = 100_000  # different ones that are compared to the classes


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """Targets by image identity.

    Attributes
    ----------
    by_image : a label, number, list of them, mask (path or array), or (width, height, COCO objects) per image.
    root : the folder that paths of masks are relative to.
    objects : how detections refer to images and categories, where the ground truth is objects.
    upright : boxes refer to upright images; else their sizes tell whether to the stored ones, see `functions.frame`.
    folders : names of the classes of an image folder, in torchvision's order, where labels are those of its folders.
    """

    by_image: Mapping[int, Any]
    root: Path = Path()
    objects: ObjectNames | None = None
    upright: bool = False
    folders: tuple[str, ...] = ()

    def labels(self) -> TrueLabels:
        """Every label there is, where images have one each."""
        single = {t for v in self.by_image.values() if not isinstance(v, list | tuple | dict) and (t := text_of(v))}
        return TrueLabels(self.folders, frozenset(single if len(single) <= _LABELS_AT_MOST else ()))


class ImageColumns(Protocol):
    """What is said of images beside their pixels."""

    def names(self) -> list[str]:
        """The users' columns."""

    def values(self, columns: Sequence[str]) -> list[dict[int, Any]]:
        """The values of some columns by image identity."""

    def sizes(self) -> dict[int, tuple[int, int]]:
        """Width and height of each present image, upright."""

    def sources(self) -> list[str]:
        """How each source is read: its options as JSON."""


@dataclass(frozen=True, slots=True)
class CatalogColumns:
    """What the catalog says of the images that are indexed; see ImageColumns."""

    store: Store

    def names(self) -> list[str]:
        """Names of the users' columns."""
        with self.store.catalog.read() as con:
            return column_names(con)

    def values(self, columns: Sequence[str]) -> list[dict[int, Any]]:
        """Their values; raises BadInputError where a column differs between models."""
        with self.store.catalog.read() as con:
            return [dict(con.execute(values_of(con, c)).fetchall()) for c in columns]

    def sizes(self) -> dict[int, tuple[int, int]]:
        """As read when they were indexed."""
        with self.store.catalog.read() as con:
            rows = con.execute("SELECT image_id, width, height FROM images WHERE status = 'present'").fetchall()
        return {image_id: (width, height) for image_id, width, height in rows}

    def sources(self) -> list[str]:
        """Of every source that has images."""
        with self.store.catalog.read() as con:
            rows = con.execute("SELECT options FROM sources WHERE source IN (SELECT source FROM images)").fetchall()
        return [options or "{}" for (options,) in rows]


def find_ground_truth(
    said: ImageColumns, task: LossFunction, loss_spec: LossSpec, known: WorkspaceImages
) -> GroundTruth:
    """The targets of all images that have one, for the loss `task` as `loss_spec` names them.

    Raises BadInputError where there are none, or the column, folder or file is missing.
    """
    place = Path(loss_spec.target[0]) if len(loss_spec.target) == 1 else Path()
    if task.target == "objects":
        kind = kind_of_objects(place)
        if kind is None:
            raise BadInputError(
                f"task {task.name} needs the true objects: --target COCO-FILE.json, or a YOLO or Pascal VOC folder"
            )
        return _objects(reader_of(kind)(place), place, said, known)
    if task.target == "mask" and loss_spec.target and place.is_dir():
        masks = read_predictions(place)
        hits = known.find(masks.keys, place)
        return GroundTruth(
            {known.image_ids[i]: m for i, m in zip(hits, masks.values, strict=True) if i is not None}, place
        )
    return _columns(said, task, loss_spec, known)


def _columns(said: ImageColumns, task: LossFunction, loss_spec: LossSpec, known: WorkspaceImages) -> GroundTruth:
    """Targets from columns of the images' metadata."""
    seen = said.names()
    columns = list(loss_spec.target) or [c for c in USUAL_COLUMNS if c in seen][:1]
    missing = [c for c in columns if c not in seen]
    if missing or not columns:
        if task.target == "optional" and not loss_spec.target:
            return GroundTruth({})
        what = f"no column {missing[0]!r}" if missing else "no column 'label'"
        raise BadInputError(f"{what} to judge by; the images have: {', '.join(seen) or 'none'} (choose with --target)")
    values = said.values(columns)
    ids = sorted({i for by_image in values for i in by_image})
    found = {i: values[0][i] if len(values) == 1 else [v.get(i) for v in values] for i in ids}
    if all(value is None for value in found.values()):
        raise BadInputError(f"the column {', '.join(columns)} is empty for every image")
    folders = _folder_classes(said, found) if columns == ["label"] else ()
    return GroundTruth(found, _folder(known) if task.target == "mask" else Path(), folders=folders)


def _folder_classes(said: ImageColumns, labels: Mapping[int, Any]) -> tuple[str, ...]:
    """The sorted labels, as torchvision's ImageFolder numbers them, where all images come from such folders."""
    sources = said.sources()
    if not sources or not all(json.loads(options).get("kind") == "imagefolder" for options in sources):
        return ()
    return tuple(sorted({str(v) for v in labels.values() if v is not None}))


def _folder(known: WorkspaceImages) -> Path:
    """The folder of the one source, which paths of masks in its columns are relative to."""
    if len(set(known.sources)) != 1:
        raise BadInputError(
            "masks named by a column need images of one source; give their folder instead: --target FOLDER"
        )
    return known.folder


def _objects(truth: AnnotatedSet, path: Path, said: ImageColumns, known: WorkspaceImages) -> GroundTruth:
    """Objects of a data set of objects, in pixels."""
    sizes = said.sizes() if truth.relative else {}
    paths = PathResolver(truth.root, allow_outside=True)
    keys = [find_key(image.file_name, paths, str(path)) for image in truth.images]
    hits = known.find(keys, path, truth.root)
    by_image: dict[int, Any] = {}
    ids: dict[str, int] = {}
    names: dict[str, int] = {}
    for image, hit in zip(truth.images, hits, strict=True):
        if hit is None:
            continue
        image_id = known.image_ids[hit]
        size, objects = (image.width, image.height), image.objects
        if any("bbox" not in o for o in objects):
            raise BadInputError(f"{path}, image {image.id}: an object has no 'bbox'")
        if truth.relative:
            size = sizes[image_id]
            objects = [o | {"bbox": in_pixels(o["bbox"], size)} for o in objects]
        by_image[image_id] = (*size, objects)
        ids[image.id] = image_id
        names |= dict.fromkeys(names_of(image.file_name), image_id)
    listed = frozenset(name for i in truth.images for name in (i.id, *names_of(i.file_name)))
    found = ObjectNames(ids, names, listed, truth.categories, truth.relative, truth.named_only)
    return GroundTruth(by_image, path.parent, found, truth.relative)
