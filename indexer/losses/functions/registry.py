"""All tasks by name, and the user's own by `module:function`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any, Literal

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.functions.absolute_error import absolute_error
from fsearch.indexer.losses.functions.binary_cross_entropy import binary_cross_entropy, outcomes_of_labels_sets
from fsearch.indexer.losses.functions.boxes import outcomes_of_boxes
from fsearch.indexer.losses.functions.brier import brier
from fsearch.indexer.losses.functions.cross_entropy import cross_entropy
from fsearch.indexer.losses.functions.detection_f1 import detection_f1
from fsearch.indexer.losses.functions.dice import dice
from fsearch.indexer.losses.functions.embeddings import outcomes_of_embeddings
from fsearch.indexer.losses.functions.given import outcomes_of_function, outcomes_of_losses
from fsearch.indexer.losses.functions.huber import huber
from fsearch.indexer.losses.functions.log_cosh import log_cosh
from fsearch.indexer.losses.functions.lrp import lrp
from fsearch.indexer.losses.functions.margin import margin
from fsearch.indexer.losses.functions.masks import outcomes_of_mask_scores, outcomes_of_masks
from fsearch.indexer.losses.functions.mean_iou import mean_iou
from fsearch.indexer.losses.functions.pixel_cross_entropy import pixel_cross_entropy
from fsearch.indexer.losses.functions.quantile import quantile
from fsearch.indexer.losses.functions.ranked_probability import ranked_probability
from fsearch.indexer.losses.functions.reciprocal_rank import embedding_reciprocal_rank, reciprocal_rank
from fsearch.indexer.losses.functions.regression import outcomes_of_values
from fsearch.indexer.losses.functions.scores import outcomes_of_scores
from fsearch.indexer.losses.functions.settings import Outcomes, Settings
from fsearch.indexer.losses.functions.squared_error import squared_error
from fsearch.indexer.losses.functions.top_k_error import top_k_error
from fsearch.indexer.losses.functions.zero_one import outcomes_of_labels, zero_one
from fsearch.indexer.object_path import is_named, load_object

TargetKind = Literal["column", "mask", "objects", "optional"]


@dataclass(frozen=True, slots=True)
class Task:
    """A task loss: its formula, and how predictions and targets are read for it.

    Attributes
    ----------
    target : what stands for the truth: a column's value, a mask, the objects of a COCO file, or nothing need be given.
    whole : an image is judged among all others, so predictions come from a file.
    """

    name: str
    formula: Callable[..., Any]
    read: Callable[..., Outcomes]
    target: TargetKind = "column"
    whole: bool = False

    @property
    def about(self) -> str:
        """The first line of the formula's docstring."""
        return (self.formula.__doc__ or "").strip().splitlines()[0]

    @property
    def params(self) -> tuple[str, ...]:
        """Names of the formula's settings."""
        own = [p.name for p in signature(self.formula).parameters.values() if p.default is not p.empty]
        return (*own, "score") if self.read is outcomes_of_boxes else tuple(own)

    def outcomes(self, predictions: Any, targets: Sequence[Any], names: Sequence[str], settings: Settings) -> Outcomes:
        """Losses of n images; `names` say which they are, in messages.

        Raises BadInputError where the input does not fit.
        """
        return self.read(self.formula, predictions, targets, names, settings)


def _itself(losses: Any) -> Any:
    """The black box gives its own loss: any finite number, higher is worse."""
    return losses


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task("cross-entropy", cross_entropy, outcomes_of_scores),
        Task("zero-one", zero_one, outcomes_of_labels),
        Task("brier", brier, outcomes_of_scores),
        Task("margin", margin, outcomes_of_scores),
        Task("top-k-error", top_k_error, outcomes_of_scores),
        Task("ranked-probability", ranked_probability, outcomes_of_scores),
        Task("reciprocal-rank", reciprocal_rank, outcomes_of_scores),
        Task("embedding-reciprocal-rank", embedding_reciprocal_rank, outcomes_of_embeddings, whole=True),
        Task("binary-cross-entropy", binary_cross_entropy, outcomes_of_labels_sets),
        Task("squared-error", squared_error, outcomes_of_values),
        Task("absolute-error", absolute_error, outcomes_of_values),
        Task("huber", huber, outcomes_of_values),
        Task("log-cosh", log_cosh, outcomes_of_values),
        Task("quantile", quantile, outcomes_of_values),
        Task("mean-iou", mean_iou, outcomes_of_masks, "mask"),
        Task("dice", dice, outcomes_of_masks, "mask"),
        Task("pixel-cross-entropy", pixel_cross_entropy, outcomes_of_mask_scores, "mask"),
        Task("detection-f1", detection_f1, outcomes_of_boxes, "objects"),
        Task("lrp", lrp, outcomes_of_boxes, "objects"),
        Task("loss", _itself, outcomes_of_losses, "optional"),
    )
}


_RANGES = {"k": (1, math.inf), "delta": (1e-9, math.inf), "q": (0, 1), "iou": (0, 0.999), "score": (0, 1)}


def find_task(name: str, params: Mapping[str, float]) -> Task:
    """The task of that name, or the user's own `module:function`. Raises BadInputError for another task or setting."""
    if is_named(name):
        function = load_object(name, "loss function")
        if not callable(function):
            raise BadInputError(f"loss function {name!r} cannot be called")
        task = Task(name, function, outcomes_of_function, "optional")
    elif name in TASKS:
        task = replace(TASKS[name])
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
