"""Detections of objects as detectors write them: COCO results, Ultralytics, torchvision and MMDetection.

Each becomes a list of COCO detections an image: `bbox` [left, top, width, height] in pixels, `score`, and the category
as an id (`category_id`), a place in the model's own list (`class_index`) or a name (`category`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.coco import coco_id
from fsearch.indexer.sources.yolo import read_labels
from fsearch.indexer.storage.tabular import read_json

Detection = dict[str, Any]
TENSORS = (".pt", ".pth")
_NAMES = ("image_id", "image", "file_name", "filename", "path", "img_path", "key", "id")
_PICKLES = (".pkl", ".pickle")


@dataclass(frozen=True, slots=True)
class ObjectNames:
    """How detections refer to the images and categories of the ground truth.

    Attributes
    ----------
    ids, names : image identity by the data set's own id; by file name, path or stem.
    listed : every id and name of the data set, also of images that are not indexed.
    categories : names by id, in the data set's order.
    from_zero : ids are places in the list of classes, counted from 0 (YOLO).
    named_only : ids were made up here, so a detection's number means nothing (Pascal VOC).
    """

    ids: Mapping[str, int]
    names: Mapping[str, int]
    listed: frozenset[str]
    categories: Mapping[int, str]
    from_zero: bool = False
    named_only: bool = False


def names_of(file_name: str) -> tuple[str, ...]:
    """How results may name an image: its path, file name and stem, and a numeric stem as a number."""
    path = PurePosixPath(file_name.replace("\\", "/"))
    number = (str(int(path.stem)),) if path.stem.isdecimal() else ()
    return (str(path), path.name, path.stem, *number)


def in_pixels(box: Sequence[float], size: tuple[int, int]) -> list[float]:
    """A box given in shares of an image of `size`, (width, height)."""
    return [box[0] * size[0], box[1] * size[1], box[2] * size[0], box[3] * size[1]]


def is_detections(folder: Path) -> bool:
    """Whether a folder holds a file of detections for each image, YOLO's .txt or MMDetection's .json."""
    return any(p.suffix.lower() in (".txt", ".json") for p in folder.iterdir())


def read_detections(path: Path) -> tuple[list[str], list[list[Detection]]]:
    """Names of images, and the detections of each. Raises BadInputError where they cannot be read."""
    found: dict[str, list[Detection]] = defaultdict(list)
    for name, detections in _folder(path) if path.is_dir() else _file(path):
        found[name] += detections
    return list(found), list(found.values())


def _folder(folder: Path) -> Iterator[tuple[str, list[Detection]]]:
    files = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".txt", ".json") and p.name != "classes.txt")
    for file in files:
        if file.suffix.lower() == ".txt":
            yield (
                file.stem,
                [_scored(o | {"relative": True}, f"{file} row {r}") for r, o in enumerate(read_labels(file), 1)],
            )
        else:
            yield file.stem, _arrays(read_json(file, "file of detections"), str(file))


def _file(path: Path) -> Iterator[tuple[str, list[Detection]]]:
    content = _tensors(path) if path.suffix.lower() in TENSORS else read_json(path, "predictions file")
    if isinstance(content, dict):
        content = [{"image_id": name, **entry} for name, entry in content.items() if isinstance(entry, dict)] or None
    if not isinstance(content, list):
        raise BadInputError(f"{path} is no COCO results file: it must be a list of detections")
    for row, entry in enumerate(content, start=1):
        where = f"{path}, detection {row}"
        if not isinstance(entry, dict):
            raise BadInputError(f"{where}: it must be an object, {{…}}")
        name = next((coco_id(entry[n]) for n in _NAMES if coco_id(entry.get(n)) is not None), None)
        if name is not None and ("boxes" in entry or "bboxes" in entry):
            yield name, _arrays(entry, where)
        elif name is not None and {"category_id", "bbox", "score"} <= set(entry):
            yield name, [{k: entry[k] for k in ("category_id", "bbox", "score")}]
        elif "boxes" in entry or "bboxes" in entry:
            raise BadInputError(f"{where} does not say of which image it is: give each an 'image_id' or 'file_name'")
        else:
            raise BadInputError(f"{where}: 'image_id', 'category_id', 'bbox' and 'score' are needed")


def _arrays(entry: Any, where: str) -> list[Detection]:
    """The detections of one image: corners, labels and scores side by side, as torchvision and MMDetection have them.

    torchvision's `labels` are ids of categories; MMDetection's, beside `bboxes`, are places in its list of classes.
    """
    mmdet = isinstance(entry, dict) and "bboxes" in entry
    try:
        boxes, labels = entry["bboxes" if mmdet else "boxes"], entry["labels"]
        scores = entry["scores"]
        rows = list(zip(boxes, labels, scores, strict=True))
        corners = [[float(v) for v in box] for box, _, _ in rows]
        if any(len(box) != 4 for box in corners):
            raise ValueError("a box has four corners")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadInputError(f"{where}: equally long 'boxes', 'labels' and 'scores' are needed: {error}") from error
    found = []
    for (left, top, right, bottom), (_, label, score) in zip(corners, rows, strict=True):
        name = "category" if isinstance(label, str) else "class_index" if mmdet else "category_id"
        found.append({"bbox": [left, top, right - left, bottom - top], "score": score, name: label})
    return found


def _scored(detection: Detection, where: str) -> Detection:
    if not 0 <= detection.get("score", -1) <= 1:  # a track's number stands last, and counts from 1
        raise BadInputError(
            f"{where} ends with no confidence; write them with save_conf=True, by val or predict; not of a track"
        )
    return detection


def _tensors(path: Path) -> Any:
    """What torch.save wrote, tensors as lists."""
    import torch

    try:
        return _plain(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises whatever the archive's readers raise
        raise BadInputError(
            f"{path} cannot be loaded: save plain dictionaries of 'boxes', 'labels' and 'scores' by image"
        ) from error


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def refuse_pickle(path: Path) -> None:
    """Raise BadInputError for a pickle, which runs code when it is read."""
    if path.suffix.lower() in _PICKLES:
        raise BadInputError(
            f"{path} is a pickle, which would run code; with MMDetection write JSON: test_evaluator.format_only=True "
            "and outfile_prefix, or the preds/ folder of DetInferencer"
        )
