"""COCO JSON and its variants: captions, LVIS, Objects365, and what Label Studio, CVAT and Roboflow export."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.annotated import AnnotatedImage, AnnotatedSet
from fsearch.indexer.storage.tabular import read_json

_URLS = ("coco_url", "flickr_url", "url")


def read_coco(path: Path) -> AnnotatedSet:
    """A COCO file's images with their objects and captions.

    Ids may be numbers, whole floats or text, and mean the same. Raises BadInputError where it is no COCO file, or lacks
    what is needed.
    """
    content = read_json(path, "COCO file")
    if not isinstance(content, dict) or not isinstance(content.get("images"), list) or not content["images"]:
        raise BadInputError(f"{path} is no COCO file: it has no list 'images'")
    categories = {}
    for row, entry in enumerate(_entries(content, "categories", path), start=1):
        where = f"{path}, categories {row}"
        categories[_number(entry.get("id"), f"{where}: 'id' is needed, a whole number")] = str(
            entry.get("name", entry.get("id"))
        )
    objects: dict[str, list[dict[str, Any]]] = defaultdict(list)
    captions: dict[str, list[str]] = defaultdict(list)
    for row, entry in enumerate(_entries(content, "annotations", path), start=1):
        where = f"{path}, annotations {row}"
        image = coco_id(entry.get("image_id"))
        if image is None:
            raise BadInputError(f"{where}: 'image_id' is needed")
        if isinstance(entry.get("caption"), str):
            captions[image].append(entry["caption"])
        if "category_id" in entry or "bbox" in entry or "caption" not in entry:
            objects[image].append(_object(entry, where))
    listed = enumerate(_entries(content, "images", path), start=1)
    images = [_image(entry, f"{path}, images {row}", objects, captions) for row, entry in listed]
    return AnnotatedSet(images, categories, path.parent, notes=_strays(images, objects, captions))


def coco_id(value: Any) -> str | None:
    """An id as text: 7, 7.0 and "7" are the same. None for what is no id."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else None
    return str(value).strip() or None


def _entries(content: dict[str, Any], name: str, path: Path) -> list[dict[str, Any]]:
    entries = content.get(name) or []
    if not isinstance(entries, list):
        raise BadInputError(f"{path}: {name!r} must be a list")
    for row, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict):
            raise BadInputError(f"{path}, {name} {row}: it must be an object, {{…}}")
    return entries


def _image(
    entry: dict[str, Any], where: str, objects: dict[str, list[dict[str, Any]]], captions: dict[str, list[str]]
) -> AnnotatedImage:
    key, name = coco_id(entry.get("id")), entry.get("file_name")
    if not isinstance(name, str) or not name:  # LVIS has only URLs; their last two parts are folder and file
        url = next((entry[u] for u in _URLS if isinstance(entry.get(u), str) and entry[u]), None)
        name = None if url is None else "/".join(url.split("?")[0].split("://")[-1].split("/")[-2:])
    if key is None or not name:
        raise BadInputError(f"{where}: 'id' and 'file_name' are needed")
    width, height = (_size(entry.get(side)) for side in ("width", "height"))
    return AnnotatedImage(key, name, width, height, objects.get(key, []), captions.get(key, []))


def _object(entry: dict[str, Any], where: str) -> dict[str, Any]:
    """An object in one form; without a box it has that of its polygons."""
    category = _number(entry.get("category_id"), f"{where}: 'image_id' and 'category_id' are needed")
    found = {k: v for k, v in entry.items() if k in ("bbox", "score")} | {"category_id": category}
    if not found.get("bbox"):
        found.pop("bbox", None)
        found |= _box_of(entry.get("segmentation"))
    return found | ({"iscrowd": 1} if entry.get("iscrowd") in (1, True, "1") else {})


def _box_of(polygons: Any) -> dict[str, list[float]]:
    """The box around polygons [[x, y, x, y, …], …]; nothing where there are none."""
    try:
        xs = [float(x) for polygon in polygons for x in polygon[0::2]]
        ys = [float(y) for polygon in polygons for y in polygon[1::2]]
        return {"bbox": [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]}
    except (TypeError, ValueError, KeyError):
        return {}


def _number(value: Any, message: str) -> int:
    text = coco_id(value)
    if text is None or not text.lstrip("-").isdecimal():
        raise BadInputError(message)
    return int(text)


def _size(value: Any) -> int | None:
    text = coco_id(value)
    return int(text) if text is not None and text.isdecimal() and int(text) > 0 else None


def _strays(images: list[AnnotatedImage], *by_image: dict[str, list[Any]]) -> tuple[str, ...]:
    """A line where annotations are of images that the file does not list."""
    known = {i.id for i in images}
    count = sum(len(found) for group in by_image for image, found in group.items() if image not in known)
    return (f"{count:,} annotations are of images that the file does not list, and are left out",) if count else ()
