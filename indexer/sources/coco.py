"""The images of a COCO JSON file, with the number of objects and the categories annotated on each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.base import UNKNOWN_KEY, Item, current, reject_duplicates, rejecting
from fsearch.indexer.sources.decode import RejectedImageError
from fsearch.indexer.sources.paths import PathResolver
from fsearch.indexer.storage.tabular import read_json


def read_coco(path: Path) -> dict[str, list[dict[str, Any]]]:
    """A COCO file's images, annotations and categories.

    Raises BadInputError where it is no COCO file, or lacks a field that is needed.
    """
    content = read_json(path, "COCO file")
    if not isinstance(content, dict) or not isinstance(content.get("images"), list) or not content["images"]:
        raise BadInputError(f"{path} is no COCO file: it has no list 'images'")
    return {
        "images": _entries(content, "images", path, {"id": str | int, "file_name": str}),
        "annotations": _entries(content, "annotations", path, {"image_id": str | int, "category_id": int}),
        "categories": _entries(content, "categories", path, {"id": int}),
    }


def _entries(content: dict[str, Any], name: str, path: Path, needed: dict[str, Any]) -> list[dict[str, Any]]:
    entries = content.get(name) or []
    if not isinstance(entries, list):
        raise BadInputError(f"{path}: {name!r} must be a list")
    for row, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or not all(isinstance(entry.get(k), kind) for k, kind in needed.items()):
            raise BadInputError(f"{path}, {name} {row}: {' and '.join(map(repr, needed))} are needed")
    return entries


@dataclass(frozen=True)
class Coco:
    """The images that a COCO file lists; paths relative to `paths.root`."""

    path: Path
    paths: PathResolver

    @property
    def name(self) -> str:
        """The file's full path."""
        return str(self.path.resolve())

    @property
    def schema(self) -> pa.Schema:
        """The image's COCO id, its number of objects (crowds apart), and the categories seen in it."""
        return pa.schema({"coco_id": pa.string(), "objects": pa.int64(), "categories": pa.list_(pa.string())})

    @cached_property
    def _images(self) -> list[tuple[str, dict[str, Any]]]:
        content = read_coco(self.path)
        names = {c["id"]: str(c.get("name", c["id"])) for c in content["categories"]}
        objects: dict[Any, list[str]] = defaultdict(list)
        for annotation in content["annotations"]:
            if not annotation.get("iscrowd"):
                category = annotation["category_id"]
                objects[annotation["image_id"]].append(names.get(category, str(category)))
        found = []
        for row, image in enumerate(content["images"], start=1):
            key = self.paths.key(image["file_name"], f"{self.path}, image {row}")
            seen = objects[image["id"]]
            metadata = {"coco_id": str(image["id"]), "objects": len(seen), "categories": sorted(set(seen))}
            found.append((key, metadata))
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
        """The content of one image file. Raises RejectedImageError, see `Source.read`. The COCO file is read once."""
        with rejecting():
            if key not in current(self, [self.path])._keys:
                raise RejectedImageError(UNKNOWN_KEY)
            data = self.paths.item(key, {}).read()
            assert isinstance(data, bytes)
            return data

    @cached_property
    def _keys(self) -> frozenset[str]:
        return frozenset(self.keys())
