"""Which image and which category of the ground truth a detection means; what is not certain is asked, not guessed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.detections import Detection, ObjectNames, in_pixels
from fsearch.indexer.losses.functions.detection import box_ious, read_boxes
from fsearch.indexer.losses.ground_truth import GroundTruth
from fsearch.indexer.sources.coco import coco_id

_MEETS, _ENOUGH = 0.01, 5  # intersection over union of boxes of the same units; images without such a pair that tell


@dataclass(frozen=True, slots=True)
class MatchedDetections:
    """Detections by image identity, in pixels and with category ids of the ground truth; `notes` for the user."""

    by_image: Mapping[int, list[Detection]]
    names: Mapping[int, str]
    notes: tuple[str, ...]


def match_detections(
    keys: Sequence[str], detections: Sequence[list[Detection]], truth: GroundTruth, classes: Sequence[str], path: Path
) -> MatchedDetections:
    """Detections of the file `path`, whose images are called `keys`, as the ground truth numbers them.

    `classes` are the model's own names of classes, if they are given. Raises BadInputError for an image or category
    that the ground truth does not have, where a number may mean two categories, and where no box meets an object.
    """
    objects = truth.objects
    assert objects is not None
    if not keys:
        raise BadInputError(f"{path} holds no detection, of any image")
    known = objects.ids if any(k in objects.ids for k in keys) else objects.names
    if not any(k in known for k in keys):
        raise BadInputError(f"{path}: none of its image ids is in the ground truth, or not among the images")
    by_image: dict[int, list[Detection]] = {}
    names, absent = {}, 0
    for key, found in zip(keys, detections, strict=True):
        if key not in known and key not in objects.listed:
            raise BadInputError(f"{path}: image id {key} is not in the ground truth")
        if key not in known:
            absent += 1
            continue
        image = known[key]
        names[image] = f"{path}, image id {key}"
        by_image[image] = [_in_pixels(d, truth.by_image[image]) for d in found]
    notes = (f"{absent:,} images of {path.name} are not among the indexed ones",) if absent else ()
    numbered, how = _numbered(by_image, names, truth, objects, classes)
    _refuse_other_units(numbered, names, truth, path)
    return MatchedDetections(numbered, names, notes + how)


def _refuse_other_units(
    by_image: Mapping[int, list[Detection]], names: Mapping[int, str], truth: GroundTruth, path: Path
) -> None:
    """However bad a detector is, some box of it meets an object, unless one of the two sides has other units."""
    looked = 0
    for image, found in by_image.items():
        objects = [o for o in truth.by_image[image][2] if "bbox" in o]
        if not found or not objects:
            continue
        detected, true = read_boxes(found, f"{names[image]}, prediction", None), read_boxes(objects, "", None)
        if box_ious(detected.corners, true.corners, np.zeros(len(objects), bool)).max() >= _MEETS:
            return
        looked += 1
    if looked >= _ENOUGH:
        raise BadInputError(
            f"{path}: on none of {looked:,} images does a box meet one of the ground truth; both must be left, top, "
            "width and height in pixels of the same images"
        )


def _in_pixels(detection: Detection, target: tuple[int | None, int | None, Any]) -> Detection:
    if not detection.get("relative"):
        return detection
    width, height, _ = target
    if not width or not height:
        raise BadInputError("detections in shares of the image need its width and height in the ground truth")
    rest = {k: v for k, v in detection.items() if k != "relative"}
    # a label file has a class's place in the model's list, as Ultralytics writes it
    return {**rest, "bbox": in_pixels(detection["bbox"], (width, height)), "class_index": rest.pop("category_id")}


def _numbered(
    by_image: Mapping[int, list[Detection]],
    names: Mapping[int, str],
    truth: GroundTruth,
    objects: ObjectNames,
    classes: Sequence[str],
) -> tuple[dict[int, list[Detection]], tuple[str, ...]]:
    """The detections with ids of the ground truth, and how numbers were read."""
    ids = {name: i for i, name in objects.categories.items()}
    indexes = _by_index(objects, ids, classes)
    shift = _shift(by_image, truth, objects) if objects.from_zero else 0
    used: dict[str, str] = {}
    found: dict[int, list[Detection]] = {}
    for image, detections in by_image.items():
        found[image] = []
        for d in detections:
            number = _category(d, names[image], objects, ids, indexes, shift)
            if "category" not in d and ("class_index" in d or objects.from_zero or classes):
                said = d.get("class_index", d.get("category_id"))
                used.setdefault(str(said), objects.categories.get(number, str(number)))
            found[image].append({"bbox": d["bbox"], "score": d["score"], "category_id": number})
    first = ", ".join(f"{said} is {name!r}" for said, name in list(used.items())[:3])
    return found, (f"classes of the detections by number: {first}",) if used else ()


def _by_index(objects: ObjectNames, ids: Mapping[str, int], classes: Sequence[str]) -> dict[int, int] | None:
    """The category id of each place in the model's list of classes; None where that is not known."""
    if classes:
        unknown = [c for c in classes if c not in ids]
        if len(unknown) == len(classes):
            raise BadInputError(f"--classes: none of {', '.join(classes[:3])}, … is a category of the ground truth")
        return {i: ids.get(c, -1 - i) for i, c in enumerate(classes)}  # a class without an object there is a new id
    return None if objects.named_only else dict(enumerate(objects.categories))


def _category(
    detection: Detection,
    name: str,
    objects: ObjectNames,
    ids: Mapping[str, int],
    indexes: Mapping[int, int] | None,
    shift: int,
) -> int:
    if "category" in detection:
        if detection["category"] not in ids:
            raise BadInputError(f"{name}: category {detection['category']!r} is not in the ground truth")
        return ids[detection["category"]]
    by_index = "class_index" in detection or objects.named_only
    text = coco_id(detection.get("class_index", detection.get("category_id")))
    if text in ids and not (text or "").lstrip("-").isdecimal():
        return ids[text or ""]
    if text is None or not text.lstrip("-").isdecimal():
        raise BadInputError(f"{name}: category {text!r} is not in the ground truth")
    number = int(text)
    if not by_index:
        number += shift
        if objects.categories and number not in objects.categories:
            raise BadInputError(f"{name}: category {text} is not in the ground truth")
        return number
    if indexes is None:
        raise BadInputError(
            f"{name}: class {number} has no name, and the ground truth has only names; give the model's own in their "
            "order: --classes"
        )
    if number not in indexes:
        raise BadInputError(f"{name}: class {number} lies outside the {len(indexes)} classes (0 to {len(indexes) - 1})")
    return indexes[number]


def _shift(by_image: Mapping[int, list[Detection]], truth: GroundTruth, objects: ObjectNames) -> int:
    """0, or -1 where `category_id` counts classes from 1: versions of Ultralytics write either for YOLO data.

    Told by the ids themselves, else by which reading agrees with the objects of more images.
    """
    pairs = {(i, d["category_id"]) for i, found in by_image.items() for d in found if "category_id" in d}
    numbers = {int(n) for _, n in pairs if coco_id(n) is not None and str(coco_id(n)).isdecimal()}
    if not numbers or 0 in numbers:
        return 0
    if max(numbers) > max(objects.categories, default=0):
        return -1
    there = {(i, o["category_id"]) for i, (_, _, found) in truth.by_image.items() for o in found}
    as_zero, as_one = _agreement(pairs, there, 0), _agreement(pairs, there, -1)
    if as_zero == as_one:
        raise BadInputError(
            "the detections' category ids may count classes from 0 or from 1, and the objects do not tell; write names "
            "as 'category_id', or label files (save_txt)"
        )
    return 0 if as_zero > as_one else -1


def _agreement(pairs: Iterable[tuple[int, Any]], there: set[tuple[int, int]], shift: int) -> int:
    return sum((image, int(number) + shift) in there for image, number in pairs)
