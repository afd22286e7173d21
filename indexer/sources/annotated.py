"""Data sets of objects, whatever their files: images with boxes and categories, and the source that they make.

Readers of each form (COCO, YOLO, Pascal VOC) give an `AnnotatedSet`; the images and the ground truth of detection come
from it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.base import UNKNOWN_KEY, Item, current, reject_duplicates, rejecting
from fsearch.indexer.sources.decode import RejectedImageError
from fsearch.indexer.sources.paths import PathResolver
from fsearch.indexer.sources.urls import is_url


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """One image of such a data set.

    Attributes
    ----------
    id : how results name it, as text: COCO's image id, else the stem of its file.
    file_name : its path as the data set gives it.
    width, height : in pixels; None where the data set does not say.
    objects : `bbox` [left, top, width, height], `category_id`, and `iscrowd` where it does not count.
    captions : texts about it.
    split : the part of the data set it belongs to, if there are several.
    """

    id: str
    file_name: str
    width: int | None = None
    height: int | None = None
    objects: list[dict[str, Any]] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    split: str | None = None


@dataclass(frozen=True, slots=True)
class AnnotatedSet:
    """The images of a data set of objects.

    Attributes
    ----------
    categories : names by id.
    root : the folder that file names are relative to.
    relative : boxes are shares of the upright image's width and height, not pixels.
    named_only : ids of categories were made up here: only their names are the data set's own.
    notes : what was left out.
    """

    images: list[AnnotatedImage]
    categories: Mapping[int, str]
    root: Path
    relative: bool = False
    named_only: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class AnnotatedImages:
    """The images that `load` finds at `path`; their paths are relative to `paths.root`."""

    path: Path
    paths: PathResolver
    load: Callable[[Path], AnnotatedSet]

    @property
    def name(self) -> str:
        """The full path of the file or folder."""
        return str(self.path.resolve())

    @cached_property
    def _set(self) -> AnnotatedSet:
        return self.load(self.path)

    @property
    def schema(self) -> pa.Schema:
        """Id, number of objects (crowds apart) and categories seen in it; captions and split where there are any."""
        fields = {"coco_id": pa.string(), "objects": pa.int64(), "categories": pa.list_(pa.string())}
        if any(i.captions for i in self._set.images):
            fields["captions"] = pa.list_(pa.string())
        if any(i.split for i in self._set.images):
            fields["split"] = pa.string()
        return pa.schema(fields)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out."""
        return self._set.notes

    @cached_property
    def _images(self) -> list[tuple[str, dict[str, Any]]]:
        found, names = [], self.schema.names
        for row, image in enumerate(self._set.images, start=1):
            where = f"{self.path}, image {row}"
            key = find_key(image.file_name, self.paths, where)
            ids = [o["category_id"] for o in image.objects if not o.get("iscrowd")]
            seen = {self._set.categories.get(i, str(i)) for i in ids if i is not None}
            metadata = {"coco_id": image.id, "objects": len(ids), "categories": sorted(seen)}
            metadata |= {"captions": image.captions, "split": image.split}
            found.append((key, {name: metadata[name] for name in names}))
        reject_duplicates([key for key, _ in found], str(self.path))
        return found

    def keys(self) -> list[str]:
        """File names, as paths below the root."""
        return [key for key, _ in self._images]

    def items(self) -> Iterator[Item]:
        """The images."""
        for key, metadata in self._images:
            yield self.paths.item(key, metadata)

    def read(self, key: str) -> bytes:
        """The content of one image file. Raises RejectedImageError, see `Source.read`. Annotations are read once."""
        with rejecting():
            if key not in current(self, [self.path])._keys:
                raise RejectedImageError(UNKNOWN_KEY)
            data = self.paths.item(key, {}).read()
            assert isinstance(data, bytes)
            return data

    @cached_property
    def _keys(self) -> frozenset[str]:
        return frozenset(self.keys())


def find_key(file_name: str, paths: PathResolver, where: str) -> str:
    """The key of a file name; of its longest tail that is there, where the whole is not: tools write their own folders.

    Raises BadInputError for a path outside the root of which no tail is there.
    """
    try:
        key, refused = paths.key(file_name, where), None
    except BadInputError as error:
        key, refused = "", error
    if key and (is_url(key) or os.path.exists(paths.root / key)):
        return key
    parts = [p for p in file_name.replace("\\", "/").split("/") if p not in ("", ".", "..")]
    for first in range(len(parts)):
        tail = "/".join(parts[first:])
        if os.path.isfile(paths.root / tail):
            return paths.key(tail, where)
    if refused is not None:
        raise refused
    return key
