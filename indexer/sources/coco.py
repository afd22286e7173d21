"""The images of a COCO JSON file, with what its annotations say of each: how many objects, of which categories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.base import Item, reject_duplicates
from fsearch.indexer.sources.paths import Places
from fsearch.indexer.storage.tabular import read_json


def read_coco(path: Path) -> dict[str, list[dict[str, Any]]]:
    """A COCO file's images, annotations and categories.

    Raises BadInputError where it is none, or lacks what they need.
    """
    said = read_json(path, "COCO file")
    if not isinstance(said, dict) or not isinstance(said.get("images"), list) or not said["images"]:
        raise BadInputError(f"{path} is no COCO file: it has no list 'images'")
    return {
        "images": _entries(said, "images", path, {"id": str | int, "file_name": str}),
        "annotations": _entries(said, "annotations", path, {"image_id": str | int, "category_id": int}),
        "categories": _entries(said, "categories", path, {"id": int}),
    }


def _entries(said: dict[str, Any], name: str, path: Path, needed: dict[str, Any]) -> list[dict[str, Any]]:
    entries = said.get(name) or []
    if not isinstance(entries, list):
        raise BadInputError(f"{path}: {name!r} must be a list")
    for row, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or not all(isinstance(entry.get(k), kind) for k, kind in needed.items()):
            raise BadInputError(f"{path}, {name} {row}: {' and '.join(map(repr, needed))} are needed")
    return entries


@dataclass(frozen=True)
class Coco:
    """The images that a COCO file lists; paths relative to `places.root`."""

    path: Path
    places: Places

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
        said = read_coco(self.path)
        names = {c["id"]: str(c.get("name", c["id"])) for c in said["categories"]}
        objects: dict[Any, list[str]] = defaultdict(list)
        for annotation in said["annotations"]:
            if not annotation.get("iscrowd"):
                category = annotation["category_id"]
                objects[annotation["image_id"]].append(names.get(category, str(category)))
        found = []
        for row, image in enumerate(said["images"], start=1):
            key = self.places.key(image["file_name"], f"{self.path}, image {row}")
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
            yield self.places.item(key, metadata)
