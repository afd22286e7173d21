"""All loss functions by name, and the user's own by `module:function`. A new one is a line in TASKS."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.functions import (
    classification,
    detection,
    multilabel,
    regression,
    retrieval,
    segmentation,
    user_defined,
)
from fsearch.indexer.losses.functions.base import LossFunction
from fsearch.indexer.losses.functions.classification import evaluate_labels, evaluate_scores
from fsearch.indexer.losses.functions.detection import evaluate_boxes
from fsearch.indexer.losses.functions.multilabel import evaluate_label_sets
from fsearch.indexer.losses.functions.regression import evaluate_values
from fsearch.indexer.losses.functions.retrieval import evaluate_embeddings
from fsearch.indexer.losses.functions.segmentation import evaluate_mask_scores, evaluate_masks
from fsearch.indexer.losses.functions.user_defined import evaluate_function, evaluate_losses
from fsearch.indexer.object_path import is_named, load_object

TASKS: Mapping[str, LossFunction] = {
    loss.name: loss
    for loss in (
        LossFunction("cross-entropy", classification.cross_entropy, evaluate_scores, classifies=True),
        LossFunction("zero-one", classification.zero_one, evaluate_labels, classifies=True),
        LossFunction("brier", classification.brier, evaluate_scores, classifies=True),
        LossFunction("margin", classification.margin, evaluate_scores, classifies=True),
        LossFunction("top-k-error", classification.top_k_error, evaluate_scores, classifies=True),
        LossFunction("ranked-probability", classification.ranked_probability, evaluate_scores, classifies=True),
        LossFunction("reciprocal-rank", retrieval.reciprocal_rank, evaluate_scores),
        LossFunction(
            "embedding-reciprocal-rank", retrieval.embedding_reciprocal_rank, evaluate_embeddings, batchwise=True
        ),
        LossFunction("binary-cross-entropy", multilabel.binary_cross_entropy, evaluate_label_sets),
        LossFunction("squared-error", regression.squared_error, evaluate_values),
        LossFunction("absolute-error", regression.absolute_error, evaluate_values),
        LossFunction("huber", regression.huber, evaluate_values),
        LossFunction("log-cosh", regression.log_cosh, evaluate_values),
        LossFunction("quantile", regression.quantile, evaluate_values),
        LossFunction("mean-iou", segmentation.mean_iou, evaluate_masks, "mask"),
        LossFunction("dice", segmentation.dice, evaluate_masks, "mask"),
        LossFunction("pixel-cross-entropy", segmentation.pixel_cross_entropy, evaluate_mask_scores, "mask"),
        LossFunction("detection-f1", detection.detection_f1, evaluate_boxes, "objects", evaluator_params=("score",)),
        LossFunction("lrp", detection.lrp, evaluate_boxes, "objects", evaluator_params=("score",)),
        LossFunction("loss", user_defined.identity, evaluate_losses, "optional"),
    )
}

_RANGES = {"k": (1, math.inf), "delta": (1e-9, math.inf), "q": (0, 1), "iou": (0, 0.999), "score": (0, 1)}


def find_task(name: str, params: Mapping[str, float]) -> LossFunction:
    """The loss function `name`, or the user's own `module:function`.

    Raises BadInputError for an unknown name or parameter, or a parameter outside its range.
    """
    if is_named(name):
        function = load_object(name, "loss function")
        if not callable(function):
            raise BadInputError(f"loss function {name!r} cannot be called")
        task = LossFunction(name, function, evaluate_function, "optional")
    elif name in TASKS:
        task = TASKS[name]
    else:
        raise BadInputError(f"unknown task {name!r}; use one of: {', '.join(TASKS)}, or module:function")
    for param in params:
        if param not in task.params:
            known = f"it has: {', '.join(task.params)}" if task.params else "it has none"
            raise BadInputError(f"task {name} has no setting {param!r}; {known}")
        low, high = _RANGES.get(param, (-math.inf, math.inf))
        if not low <= params[param] <= high:
            raise BadInputError(f"task {name}: {param} = {params[param]:g} lies outside {low:g} to {high:g}")
    return task
