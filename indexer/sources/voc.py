"""Pascal VOC: one XML file of objects an image, in a folder `Annotations` beside `JPEGImages`, or beside the images."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.annotated import AnnotatedImage, AnnotatedSet
from fsearch.indexer.sources.decode import suffixes
from fsearch.indexer.sources.listing import is_image
from fsearch.indexer.sources.yolo import read_lines
from fsearch.indexer.storage.regular_files import read_regular

_MAX_BYTES = 2**24
_IMAGES, _XML = ("JPEGImages", "images", "Images", "."), ("Annotations", "annotations", "xmls", ".")


def annotations_of(folder: Path) -> list[Path]:
    """The XML files of a VOC data set in `folder`, sorted; none where it is no such data set."""
    for name in _XML:
        if (folder / name).is_dir():
            found = sorted(p for p in (folder / name).iterdir() if p.suffix.lower() == ".xml")
            if found:
                surely = name != "." and (folder / _IMAGES[0]).is_dir()  # then a damaged file is an error
                return found if surely or _looks_like_voc(found[0]) else []
    return []


def read_voc(folder: Path) -> AnnotatedSet:
    """The images of a VOC folder. Corners count from 1 and are inclusive; a `difficult` object does not count.

    Categories have only names in VOC. Raises BadInputError for a malformed file.
    """
    files = annotations_of(folder)
    if not files:
        raise BadInputError(f"{folder} is no Pascal VOC data set: it has no Annotations/*.xml")
    read = [_read(path) for path in files]
    names = sorted({o["name"] for _, _, objects in read for o in objects})
    ids = {name: i for i, name in enumerate(names, start=1)}
    place = next((p for p in _IMAGES if (folder / p).is_dir()), ".")
    splits = _splits(folder)
    images = []
    for path, (file, size, objects) in zip(files, read, strict=True):
        found = [{k: v for k, v in o.items() if k != "name"} | {"category_id": ids[o["name"]]} for o in objects]
        name = _image_file(folder / place, file, path.stem).relative_to(folder).as_posix()
        images.append(AnnotatedImage(path.stem, name, *size, found, split=splits.get(path.stem)))
    listed = {Path(image.file_name).name for image in images}
    others = sum(is_image(n) and n not in listed for n in os.listdir(folder / place))
    notes = (f"{others:,} images have no file of objects, and are left out",) if others else ()
    return AnnotatedSet(images, {i: n for n, i in ids.items()}, folder, named_only=True, notes=notes)


def _read(path: Path) -> tuple[str, tuple[int | None, int | None], list[dict[str, Any]]]:
    """File name, size and objects of one XML file."""
    root = _parse(path)
    sides = [_text(root, f"size/{side}") for side in ("width", "height")]
    size = tuple(int(float(s)) if re.fullmatch(r"\d{1,9}(\.0*)?", s) and float(s) > 0 else None for s in sides)
    objects = []
    for row, element in enumerate(root.iter("object"), start=1):
        try:
            left, top, right, bottom = (float(_text(element, f"bndbox/{c}")) for c in ("xmin", "ymin", "xmax", "ymax"))
        except ValueError:
            raise BadInputError(f"{path}, object {row}: 'bndbox' must hold xmin, ymin, xmax and ymax") from None
        box = [left - 1, top - 1, right - left + 1, bottom - top + 1]
        crowd = {"iscrowd": 1} if _text(element, "difficult") == "1" else {}
        objects.append({"name": _text(element, "name"), "bbox": box} | crowd)
    return _text(root, "filename"), (size[0], size[1]), objects


def _parse(path: Path) -> ElementTree.Element:
    try:
        data = read_regular(path, _MAX_BYTES)
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}") from error
    if not data or b"<!" in re.sub(rb"<!--.*?-->", b"", data, flags=re.S):  # entities are how XML becomes a bomb
        raise BadInputError(f"{path} is no Pascal VOC file: it is empty, too large, or declares entities")
    try:
        return ElementTree.fromstring(data)  # noqa: S314  # without declarations there is nothing to expand
    except (ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        raise BadInputError(f"{path} is no XML: {str(error).splitlines()[0]}") from error


def _looks_like_voc(path: Path) -> bool:
    try:
        return _parse(path).tag == "annotation"
    except BadInputError:
        return False


def _text(element: ElementTree.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _image_file(folder: Path, name: str, stem: str) -> Path:
    """The image of an XML file: the one that it names, else the one of its own stem."""
    plain = Path(name.replace("\\", "/")).name
    if plain and os.path.isfile(folder / plain):
        return folder / plain
    beside = (folder / f"{stem}{s}" for suffix in sorted(suffixes()) for s in (suffix, suffix.upper()))
    return next((p for p in beside if os.path.isfile(p)), folder / (plain or f"{stem}.jpg"))


def _splits(folder: Path) -> dict[str, str]:
    """The split of each stem, from ImageSets/Main/{train,val,test}.txt."""
    found: dict[str, str] = {}
    for split in ("train", "val", "test"):
        path = folder / "ImageSets" / "Main" / f"{split}.txt"
        if path.is_file():
            stems = read_lines(path)
            found |= {name: split for line in stems for name in line.split()}
    return found
