"""How predictions become losses: loss function, target and prediction columns, classes, as the user gave them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.choices import ScoreKind
from fsearch.indexer.losses.functions.base import LossFunction, Settings
from fsearch.indexer.losses.functions.registry import find_task


@dataclass(frozen=True, slots=True)
class LossSpec:
    """A loss function and how its input is read.

    Attributes
    ----------
    task : name of a loss function, or the user's own `module:function`.
    target : ground truth: columns of the predictions file, else of the images' metadata; for masks also a folder, for
        detection a COCO file.
    prediction : columns of the predictions file, `prefix*` for a group; found by their usual names if empty.
    classes : class names in the order of the model's outputs.
    scores : whether class scores are probabilities or logits.
    params : parameters of the loss function, such as k.
    """

    task: str
    target: tuple[str, ...] = ()
    prediction: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    scores: ScoreKind | None = None
    params: Mapping[str, float] = field(default_factory=dict)

    def find(self) -> LossFunction:
        """The loss function. Raises BadInputError where the name or a parameter is unknown."""
        return find_task(self.task, self.params)

    def with_defaults(self, classes: Sequence[str], scores: ScoreKind | None) -> LossSpec:
        """A copy with the classes and score kind that a model or file declares, where the user gave none."""
        return replace(self, classes=self.classes or tuple(classes), scores=self.scores or scores)

    def settings(self, prediction_root: Path = Path(), target_root: Path = Path()) -> Settings:
        """The settings that the loss function is evaluated with."""
        return Settings(self.classes, self.scores, prediction_root, target_root, self.params)

    def fingerprint(self, *others: str) -> str:
        """A hash of the spec and of `others` (model, file): equal for equal losses."""
        spec = [self.task, self.target, self.prediction, self.classes, self.scores, dict(sorted(self.params.items()))]
        return hashlib.sha256(json.dumps([spec, others]).encode()).hexdigest()

    def __str__(self) -> str:
        params = ", ".join(f"{k} = {v:g}" for k, v in self.params.items())
        return f"{self.task} ({params})" if params else self.task


def read_classes(text: str) -> tuple[str, ...]:
    """Class names from a file with one per line, or from a comma-separated list.

    Raises BadInputError for an empty or repeated name.
    """
    path = Path(text)
    if "," not in text and path.suffix and not path.is_file():
        raise BadInputError(f"no such file of class names: {path}")
    try:
        names = path.read_text(encoding="utf-8").splitlines() if path.is_file() else text.split(",")
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path} is no text in UTF-8: {error.reason}") from error
    classes = tuple(name.strip() for name in names)
    while classes and not classes[-1]:
        classes = classes[:-1]
    if len(classes) < 2 or "" in classes or len(set(classes)) < len(classes):
        raise BadInputError(f"--classes {text}: give at least two names, each once, none empty")
    return classes


def read_params(texts: Sequence[str]) -> dict[str, float]:
    """Parameters from texts like `k=3`. Raises BadInputError for another form."""
    params = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            params[name.strip()] = float(value)
        except ValueError:
            raise BadInputError(f"--param {text}: write NAME=NUMBER, like k=3") from None
    return params
