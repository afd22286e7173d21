"""How predictions become losses: loss function, target and prediction columns, classes, as the user gave them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.choices import ScoreKind
from fsearch.indexer.losses.classes import Classes, TrueLabels
from fsearch.indexer.losses.functions.base import LossFunction, Settings
from fsearch.indexer.losses.functions.registry import find_task
from fsearch.indexer.storage.encoding import decode_text
from fsearch.indexer.storage.tabular import read_json
from fsearch.indexer.storage.yaml_file import read_settings

_DIGITS = 9  # of the number of a class, at most


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
    index_base : labels that are numbers count the classes from it; None where that is not said.
    scores : whether class scores are probabilities or logits.
    params : parameters of the loss function, such as k.
    """

    task: str
    target: tuple[str, ...] = ()
    prediction: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    scores: ScoreKind | None = None
    params: Mapping[str, float] = field(default_factory=dict)
    index_base: int | None = None
    classes_from: str = "--classes"

    def find(self) -> LossFunction:
        """The loss function. Raises BadInputError where the name or a parameter is unknown."""
        return find_task(self.task, self.params)

    def with_defaults(self, classes: Sequence[str], scores: ScoreKind | None, origin: str) -> LossSpec:
        """A copy with the classes and score kind that a model or file declares, where the user gave none."""
        scored = replace(self, scores=self.scores or scores)
        return scored if self.classes or not classes else replace(scored, classes=tuple(classes), classes_from=origin)

    def settings(
        self, prediction_root: Path = Path(), target_root: Path = Path(), labels: TrueLabels | None = None
    ) -> Settings:
        """The settings that the loss function is evaluated with; `labels` is what is known of the images' labels."""
        labels = labels or TrueLabels()
        classes = Classes(self.classes, self.classes_from, self.index_base, labels.folders, labels.vocabulary)
        return Settings(classes, self.scores, prediction_root, target_root, self.params)

    def fingerprint(self, *others: str) -> str:
        """A hash of the spec and of `others` (model, file): equal for equal losses."""
        spec: list[object] = [
            self.task,
            self.target,
            self.prediction,
            self.classes,
            self.scores,
            dict(sorted(self.params.items())),
        ]
        spec += [] if self.index_base is None else [self.index_base]
        return hashlib.sha256(json.dumps([spec, others]).encode()).hexdigest()

    def __str__(self) -> str:
        params = ", ".join(f"{k} = {v:g}" for k, v in self.params.items())
        return f"{self.task} ({params})" if params else self.task


def read_classes(text: str) -> tuple[str, ...]:
    """Class names: from a file with one per line, a JSON or YAML file (a list, id2label, class_to_idx or `names`), or
    a comma-separated list.

    Raises BadInputError for an empty or repeated name, or numbers of classes that skip.
    """
    path = Path(text)
    if "," not in text and path.suffix and not path.is_file():
        raise BadInputError(f"no such file of class names: {path}")
    if path.is_file() and path.suffix.lower() in (".json", ".yaml", ".yml"):
        names: Sequence[str] = _declared(path)
    else:
        names = decode_text(path).splitlines() if path.is_file() else text.split(",")
    classes = tuple(name.strip() for name in names)
    while classes and not classes[-1]:
        classes = classes[:-1]
    if len(classes) < 2 or "" in classes or len(set(classes)) < len(classes):
        raise BadInputError(f"--classes {text}: give at least two names, each once, none empty")
    return classes


def _declared(path: Path) -> list[str]:
    """Class names in a file of JSON or YAML. Raises BadInputError where there are none, or their numbers skip."""
    is_json = path.suffix.lower() == ".json"
    said = read_json(path, "file") if is_json else read_settings(path, "file of class names")
    if isinstance(said, dict):
        said = next((said[k] for k in ("id2label", "names", "class_to_idx", "label2id") if k in said), said)
    if isinstance(said, dict) and said and all(str(k).isdecimal() and len(str(k)) <= _DIGITS for k in said):
        said = {str(name): int(number) for number, name in said.items()}
    if isinstance(said, dict) and sorted(said.values(), key=str) == sorted(range(len(said)), key=str):
        said = sorted(said, key=lambda name: int(said[name]))
    if not isinstance(said, list) or not all(
        isinstance(name, str | int) and not isinstance(name, bool) for name in said
    ):
        raise BadInputError(f"{path} names no classes in order: give a list, id2label or class_to_idx, counted from 0")
    return [str(name) for name in said]


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
