"""One minus the F1 score of an image's detections."""

from __future__ import annotations

from fsearch.indexer.losses.functions.boxes import Matched


def detection_f1(matched: Matched, iou: float = 0.5) -> float:
    """1 - 2 TP / (2 TP + FP + FN) at one IoU and one score threshold, over all categories: from 0 to 1.

    0 where there is nothing and nothing was found; 1 where something was found and nothing is there, or the other way.
    `iou` was used in matching. Source: van Rijsbergen 1979, "Information retrieval", chapter 7, for one image.
    """
    wrong = matched.false_positives + matched.false_negatives
    right = len(matched.ious)
    return wrong / (2 * right + wrong) if right or wrong else 0.0
