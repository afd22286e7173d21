"""The interface of every black box: prepare an image in a thread, predict a batch, and describe itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from PIL import Image

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.blackbox.preprocess import InputOptions, Preprocessing
from fsearch.indexer.losses.choices import ScoreKind


@dataclass(frozen=True, slots=True)
class Failure:
    """An image without a prediction; `reason` goes into the table `prediction_errors`."""

    reason: str


@runtime_checkable
class BlackBox(Protocol):
    """A model that fsearch can run.

    Attributes
    ----------
    origin : the model as the user named it.
    digest : a hash of the model and its preprocessing: equal for equal predictions.
    batch : preferred batch size, in images.
    classes, scores : class names and score kind of the outputs; empty and None if unknown.
    note : the preprocessing in words, for the user; empty for none.
    squashes : whether the model sees the whole image, so that a predicted mask can be resized to it.
    """

    origin: str
    digest: str
    batch: int
    classes: tuple[str, ...]
    scores: ScoreKind | None
    note: str
    squashes: bool

    def prepare(self, image: Image.Image) -> Any:
        """The input for one upright RGB image. Runs in a thread."""

    def predict(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """One prediction, or Failure, per input; may raise anything."""


class TensorModel:
    """What black boxes with one image tensor as input share: the attributes of `BlackBox`, and `prepare`."""

    def __init__(
        self,
        origin: str,
        preprocessing: Preprocessing,
        options: InputOptions,
        *identity: str,
        batch: int,
        scores: ScoreKind | None = None,
    ) -> None:
        """`identity` : what else predictions depend on; `scores` : the score kind where the options give none."""
        self.preprocessing = preprocessing
        self.origin, self.batch = origin, batch
        self.digest = preprocessing.digest(*identity)
        self.classes: tuple[str, ...] = options.classes
        self.scores: ScoreKind | None = options.scores or scores
        self.note, self.squashes = str(preprocessing), preprocessing.resize == "squash"

    def prepare(self, image: Image.Image) -> Any:
        """The input tensor of one image."""
        return self.preprocessing.tensor(image)


def choose_tensor(names: Sequence[Any], wanted: str | None, what: str, model: object) -> int:
    """Position of the tensor called `wanted` among the inputs or outputs (`what`) of `model`; the first for None.

    Raises BadInputError where there is none of that name.
    """
    if wanted is None:
        return 0
    if wanted not in names:
        raise BadInputError(f"{model} has no {what} {wanted!r}; it has: {', '.join(map(str, names))}")
    return names.index(wanted)
