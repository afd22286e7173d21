"""YOLO data sets, as Ultralytics lays them out: data.yaml, folders `images` and `labels`, a text file an image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.annotated import AnnotatedImage, AnnotatedSet
from fsearch.indexer.sources.listing import is_image, is_left_out
from fsearch.indexer.storage.regular_files import read_regular
from fsearch.indexer.storage.yaml_file import read_settings

_SPLITS = ("train", "val", "valid", "test")
_CONFIGS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_MAX_LABELS, _MAX_LIST = 2**24, 2**28  # bytes of one file of labels, and of a list of images


def config_of(folder: Path) -> Path | None:
    """The configuration of a YOLO data set in `folder`; None where there is none."""
    return next((folder / name for name in _CONFIGS if (folder / name).is_file()), None)


def is_yolo(folder: Path) -> bool:
    """Whether a folder is laid out as YOLO's: it has a configuration, or `images` beside `labels`."""
    return config_of(folder) is not None or ((folder / "images").is_dir() and (folder / "labels").is_dir())


def read_yolo(place: Path) -> AnnotatedSet:
    """The images of a folder, or of a data.yaml, in the splits that it names, with boxes as shares of their size.

    Raises BadInputError where there are none, or a label file is malformed.
    """
    folder, config = (place, config_of(place)) if place.is_dir() else (place.parent, place)
    content = read_settings(config, "YOLO configuration") if config is not None else {}
    if not isinstance(content, dict):
        raise BadInputError(f"{config} is no YOLO configuration: it must hold train, val or test, and names")
    root = _root(folder, content.get("path"))
    absent: list[str] = []
    files = list(_files(root, folder, content, absent))
    names = _names(content.get("names"), folder)
    images, classes, missing = [], set(names), 0
    for split, file in files:
        labels = _labels_of(file)
        missing += not labels.is_file()
        objects = read_labels(labels) if labels.is_file() else []
        classes |= {o["category_id"] for o in objects}
        relative = os.path.relpath(file, folder).replace(os.sep, "/")
        images.append(AnnotatedImage(file.stem, relative, objects=objects, split=split))
    if not images:
        raise BadInputError(
            f"no images in the YOLO data set {place}: there is nothing at {', '.join(map(str, _places(content)))} "
            f"in {folder}; put data.yaml into the folder of the images"
        )
    notes = [f"{missing:,} images have no file of labels, and count as without objects"] if missing else []
    if absent:
        notes.append(f"{len(absent):,} folders, lists or images that it names are not there, the first {absent[0]!r}")
    return AnnotatedSet(
        images, {c: names.get(c, str(c)) for c in sorted(classes)}, folder, relative=True, notes=tuple(notes)
    )


def read_labels(path: Path) -> list[dict[str, Any]]:
    """The objects of a label file: lines of a class and a box (centre, width, height), or a polygon of corners.

    A sixth number of a box is its score. Values are shares of the image. Raises BadInputError.
    """
    try:
        lines = read_regular(path, _MAX_LABELS).decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return [_object(line.split(), f"{path} row {row}") for row, line in enumerate(lines, start=1) if line.strip()]


def _object(parts: list[str], where: str) -> dict[str, Any]:
    try:
        category, *values = (float(p) for p in parts)
    except ValueError:
        raise BadInputError(f"{where}: a label is numbers: class, then centre, width and height") from None
    if not category.is_integer() or category < 0 or len(values) < 4:
        raise BadInputError(f"{where}: a label is a class number, then centre, width and height, or corners")
    if len(values) > 5:
        xs, ys = values[0 : len(values) // 2 * 2 : 2], values[1::2]
        box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
        score = {"score": values[-1]} if len(values) % 2 else {}
    else:
        x, y, width, height = values[:4]
        box, score = [x - width / 2, y - height / 2, width, height], {"score": values[4]} if len(values) == 5 else {}
    return {"category_id": int(category), "bbox": box} | score


def _root(folder: Path, path: Any) -> Path:
    """The folder that splits are relative to: `path` where that is there, else the configuration's own."""
    if not isinstance(path, str):
        return folder
    named = next((p for p in (folder / path, folder / Path(path).name) if os.path.isdir(p)), folder)
    return named if named.resolve().is_relative_to(folder.resolve()) else folder


def _places(content: dict[str, Any]) -> list[Any]:
    """Where the configuration says that images are."""
    return [content[s] for s in _SPLITS if content.get(s)] or ["images"]


def _files(root: Path, folder: Path, content: dict[str, Any], absent: list[str]) -> Iterator[tuple[str | None, Path]]:
    """Each image file once, with its split; what is not there is appended to `absent`."""
    seen: set[Path] = set()
    splits: dict[str | None, Any] = {s: content[s] for s in _SPLITS if content.get(s)}
    for split, given in (splits or {None: "images"}).items():
        for text in given if isinstance(given, list) else [given]:
            for file in _listed(root, folder, str(text), absent):
                if file not in seen:
                    seen.add(file)
                    yield {"valid": "val"}.get(split or "", split), file


def _listed(root: Path, folder: Path, text: str, absent: list[str], *, lists: bool = True) -> list[Path]:
    """The images of a folder, or of a text file that lists them; of a path of another machine the tail that is here.

    What such a file lists are no `lists`: it might be in one of them itself. What is not there goes to `absent`.
    """
    parts = [p for p in text.replace("\\", "/").split("/") if p not in ("", ".", "..")]
    tails = ["/".join(parts[i:]) for i in range(len(parts) + 1)]
    found_at = (base / t for t in tails for base in (root, folder) if t and os.path.exists(base / t))
    place = next(found_at, None)
    if place is None:
        absent.append(text)
        return []
    if place.is_file():
        if is_image(place.name):
            return [place]
        if not lists:
            return []
        listed = read_lines(place)
        several = (_listed(root, place.parent, line.strip(), absent, lists=False) for line in listed if line.strip())
        return [file for files in several for file in files]
    found = []
    for parent, folders, names in os.walk(place):
        folders[:] = [f for f in folders if not is_left_out(f)]
        found += [Path(parent, name) for name in names if is_image(name)]
    return sorted(found)


def read_lines(path: Path) -> list[str]:
    """The lines of a list. Raises BadInputError where it is too large."""
    try:
        return read_regular(path, _MAX_LIST).decode("utf-8", "replace").splitlines()
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}") from error


def _labels_of(image: Path) -> Path:
    """Where the labels of an image lie: the last folder `images` of its path becomes `labels`."""
    parts = list(image.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            return Path(*parts).with_suffix(".txt")
    return image.with_suffix(".txt")


def _names(given: Any, folder: Path) -> dict[int, str]:
    """Names of classes by number: a list, or a mapping; else classes.txt beside the images."""
    if isinstance(given, dict):
        return {int(k): str(v) for k, v in given.items() if str(k).isdecimal()}
    if not isinstance(given, list) and (folder / "classes.txt").is_file():
        given = read_lines(folder / "classes.txt")
        given = [line.strip() for line in given if line.strip()]
    return dict(enumerate(map(str, given))) if isinstance(given, list) else {}
