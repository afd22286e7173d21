"""Losses of object detection: COCO boxes, checked, and matched to the true objects as COCO does at one IoU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.functions.base import Outcomes, Settings

_TOLERANCE = 1.0  # pixels that a box may stick out of the image, from rounding, before that is said


@dataclass(frozen=True, slots=True)
class Boxes:
    """Objects in one image.

    Attributes
    ----------
    corners : (n, 4) float64, left, top, right, bottom in pixels.
    categories : (n,) int64.
    scores : (n,) float64, confidence of detections; 1 for true objects.
    crowds : (n,) bool, true objects that stand for many (`iscrowd`): a detection that hits one is not counted.
    clipped : how many stuck out of the image, and were cut at its edge.
    """

    corners: NDArray[np.float64]
    categories: NDArray[np.int64]
    scores: NDArray[np.float64]
    crowds: NDArray[np.bool_]
    clipped: int = 0


@dataclass(frozen=True, slots=True)
class Matched:
    """Detections against objects: the IoU of each true positive, and the numbers of false positives and negatives."""

    ious: NDArray[np.float64]
    false_positives: int
    false_negatives: int


def detection_f1(matched: Matched, iou: float = 0.5) -> float:
    """1 - 2 TP / (2 TP + FP + FN) at one IoU and one score threshold, over all categories: from 0 to 1.

    0 for an image without objects and detections; 1 if it has only objects, or only detections.
    `iou` was used in matching. Source: van Rijsbergen 1979, "Information retrieval", chapter 7, for one image.
    """
    errors = matched.false_positives + matched.false_negatives
    hits = len(matched.ious)
    return errors / (2 * hits + errors) if hits or errors else 0.0


def lrp(matched: Matched, iou: float = 0.5) -> float:
    """(sum over TP of (1 - IoU) / (1 - iou) + FP + FN) / (TP + FP + FN): from 0 to 1.

    Localisation recall precision error; 0 for an image without objects and detections. Source: Oksuz et al. 2018,
    "Localization recall precision (LRP): a new performance metric for object detection", equation 4, for one image and
    all categories together.
    """
    errors = matched.false_positives + matched.false_negatives
    count = len(matched.ious) + errors
    return float(((1 - matched.ious) / (1 - iou)).sum() + errors) / count if count else 0.0


def match(detections: Boxes, objects: Boxes, iou: float, score: float) -> Matched:
    """Match detections of at least `score` to objects of their category, highest score first, each object once.

    Each takes the free object it overlaps most, if by at least `iou`; else a crowd takes it and it is not counted.
    Source: the matching of pycocotools' COCOeval.evaluateImg at one threshold and all areas.
    """
    order = np.argsort(-detections.scores, kind="stable")
    order = order[detections.scores[order] >= score]
    overlaps = box_ious(detections.corners[order], objects.corners, objects.crowds)
    same = detections.categories[order][:, None] == objects.categories[None, :]
    free = ~objects.crowds
    hits, false_positives = [], 0
    for row in np.where(same, overlaps, -1.0):
        candidates = np.where(free, row, -1.0)
        best = int(candidates.argmax()) if len(candidates) else -1
        if best >= 0 and candidates[best] >= iou:
            hits.append(candidates[best])
            free[best] = False
        elif not (objects.crowds & (row >= iou)).any():
            false_positives += 1
    return Matched(np.array(hits), false_positives, int(free.sum()))


def box_ious(
    detections: NDArray[np.float64], objects: NDArray[np.float64], crowds: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """(n, m) intersection over union of (n, 4) and (m, 4) corners; over the detection's area alone for a crowd."""
    low = np.maximum(detections[:, None, :2], objects[None, :, :2])
    high = np.minimum(detections[:, None, 2:], objects[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=2)
    area = np.prod(detections[:, 2:] - detections[:, :2], axis=1)[:, None]
    union = area + np.prod(objects[:, 2:] - objects[:, :2], axis=1)[None, :] - common
    whole = np.where(crowds[None, :], area, union)
    return np.asarray(np.divide(common, whole, out=np.zeros_like(common), where=whole > 0))


def read_boxes(objects: Sequence[Mapping[str, Any]], name: str, size: tuple[int, int] | None) -> Boxes:
    """Boxes of COCO objects, each with `bbox` [left, top, width, height], `category_id` and, if detected, `score`.

    `size` is the image's width and height in pixels, at whose edges boxes are cut; None where unknown. Raises
    BadInputError for a box that is malformed, or has a negative side or a score that is not finite.
    """
    corners = np.array([_corners(o, f"{name}, box {i}") for i, o in enumerate(objects, start=1)]).reshape(-1, 4)
    clipped = 0
    if size is not None:
        inside = np.clip(corners, 0, [*size, *size])
        clipped = int((np.abs(corners - inside).max(axis=1, initial=0) > _TOLERANCE).sum())
        corners = inside
    try:
        boxes = Boxes(
            corners,
            np.array([int(o["category_id"]) for o in objects], np.int64),
            np.array([float(o.get("score", 1.0)) for o in objects], np.float64),
            np.array([bool(o.get("iscrowd", 0)) for o in objects], bool),
            clipped,
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadInputError(
            f"{name}: a box needs a numeric 'category_id', and 'score' if it is a detection: {error}"
        ) from error
    if not np.isfinite(boxes.scores).all():
        raise BadInputError(f"{name}, box {np.argmin(np.isfinite(boxes.scores)) + 1}: 'score' is not finite")
    return boxes


def _corners(coco: Mapping[str, Any], name: str) -> list[float]:
    try:
        left, top, width, height = (float(v) for v in coco["bbox"])
    except (KeyError, TypeError, ValueError, OverflowError):
        raise BadInputError(f"{name}: 'bbox' must be four numbers, left, top, width, height") from None
    if not np.isfinite([left, top, width, height]).all():
        raise BadInputError(f"{name}: 'bbox' holds a number that is not finite")
    if width < 0 or height < 0:
        raise BadInputError(f"{name}: a side is negative ({width:g} x {height:g}); is it left, top, right, bottom?")
    return [left, top, left + width, top + height]


def evaluate_boxes(
    formula: Callable[..., float], predictions: Any, targets: Sequence[Any], names: Sequence[str], settings: Settings
) -> Outcomes:
    """Apply a formula to each image's matches.

    A target is (width, height, COCO objects); a prediction is a list of COCO detections, in the same frame unless the
    settings give the images' frames. The parameters `iou` and
    `score` are used in matching; the formula gets only the former.
    """
    params = dict(settings.params)
    iou, score = params.get("iou", 0.5), params.pop("score", 0.5)
    losses = np.full(len(targets), np.nan)
    reasons: list[str | None] = [None] * len(targets)
    clipped = 0
    for i, (detections, target, name) in enumerate(zip(predictions, targets, names, strict=True)):
        if target is None or detections is None:
            reasons[i] = "it is not in the ground truth" if target is None else "the prediction is missing"
            continue
        width, height, objects = settings.frames[i].objects(*target) if settings.frames else target
        size = (width, height) if width and height else None
        truth = read_boxes(objects, f"{name}, ground truth", size)
        found = read_boxes(detections, f"{name}, prediction", size)
        losses[i] = formula(match(found, truth, iou, score), **params)
        clipped += truth.clipped + found.clipped
    return Outcomes(losses, [None] * len(losses), [None] * len(losses), reasons, clipped=clipped)
