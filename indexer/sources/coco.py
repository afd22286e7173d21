"""The images of a COCO JSON file, with what its annotations say of each: how many objects, of which categories."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from fsearch.indexer.errors import BadInput
from fsearch.indexer.sources.item import Item, refuse_repeated
from fsearch.indexer.sources.location import Places


def read_coco(path: Path) -> dict[str, Any]:
    """A COCO file's content. Raises BadInput where it is no JSON object with a list of images."""
    try:
        said = json.loads(path.read_bytes())
    except OSError as error:
        raise BadInput(f"COCO file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BadInput(f"{path} is no JSON: {error}") from error
    images = said.get("images") if isinstance(said, dict) else None
    if not isinstance(images, list) or not images:
        raise BadInput(f"{path} is no COCO file: it has no list 'images'")
    for row, image in enumerate(images, start=1):
        if not isinstance(image, dict) or not isinstance(image.get("file_name"), str) or "id" not in image:
            raise BadInput(f"{path}, image {row}: 'id' and 'file_name' are needed")
    found: dict[str, Any] = said
    return found


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
        names = {c.get("id"): str(c.get("name")) for c in said.get("categories") or []}
        objects: dict[Any, list[str]] = defaultdict(list)
        for annotation in said.get("annotations") or []:
            if not annotation.get("iscrowd"):
                category = annotation.get("category_id")
                objects[annotation.get("image_id")].append(names.get(category, str(category)))
        found = []
        for row, image in enumerate(said["images"], start=1):
            key = self.places.key(image["file_name"], f"{self.path}, image {row}")
            seen = objects[image["id"]]
            metadata = {"coco_id": str(image["id"]), "objects": len(seen), "categories": sorted(set(seen))}
            found.append((key, metadata))
        refuse_repeated([key for key, _ in found], str(self.path))
        return found

    def keys(self) -> list[str]:
        """File names, as paths below the root."""
        return [key for key, _ in self._images]

    def items(self) -> Iterator[Item]:
        """The images."""
        for key, metadata in self._images:
            yield self.places.item(key, metadata)
