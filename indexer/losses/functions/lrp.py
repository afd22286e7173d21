"""Localisation recall precision (LRP) error of an image's detections."""

from __future__ import annotations

from fsearch.indexer.losses.functions.boxes import Matched


def lrp(matched: Matched, iou: float = 0.5) -> float:
    """(sum over TP of (1 - IoU) / (1 - iou) + FP + FN) / (TP + FP + FN): from 0 to 1.

    0 where there is nothing and nothing was found. Source: Oksuz et al. 2018, "Localization recall precision (LRP): a
    new performance metric for object detection", equation 4, for one image and all categories together.
    """
    wrong = matched.false_positives + matched.false_negatives
    count = len(matched.ious) + wrong
    return float(((1 - matched.ious) / (1 - iou)).sum() + wrong) / count if count else 0.0
