"""A black box as a Python function of the user's, `module:function`.

    def predict(images: list[PIL.Image.Image]) -> array or list, one prediction an image

Images are upright RGB, of any size. A prediction is whatever the task takes: scores of classes, numbers, a mask, a list
of COCO detections, or (with the task "loss") the loss itself.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.functions.settings import ScoreKind
from fsearch.indexer.object_path import load_object


class Function:
    """The user's function. Its source file is part of its identity: change it, and the losses are computed anew."""

    def __init__(self, function: str | Callable[[list[Image.Image]], Any]) -> None:
        """From a name, or the function itself. Raises BadInputError where it cannot be found or called."""
        found = load_object(function, "black box") if isinstance(function, str) else function
        if not callable(found):
            raise BadInputError(f"black box {function!r} cannot be called")
        self._function = found
        self.origin = function if isinstance(function, str) else getattr(found, "__qualname__", type(found).__name__)
        self.digest = f"{self.origin} {_source(found)}"
        self.batch = 32
        self.classes: tuple[str, ...] = ()
        self.scores: ScoreKind | None = None
        self.note, self.squashes = "", True

    def prepare(self, image: Image.Image) -> Any:
        """The image as it is."""
        return image

    def predict(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """What the function says."""
        said = self._function(list(inputs))
        if hasattr(said, "detach"):
            said = said.detach().cpu().numpy()
        if not hasattr(said, "__len__") or len(said) != len(inputs):
            got = f"{len(said)} predictions" if hasattr(said, "__len__") else f"a {type(said).__name__}"
            raise BadInputError(f"black box {self.origin} gave {got} for {len(inputs)} images; one an image is needed")
        return list(said)


def _source(function: Any) -> str:
    """A hash of the file that the function is written in."""
    try:
        path = inspect.getsourcefile(function if inspect.isroutine(function) else type(function))
        return hashlib.sha256(Path(path or "").read_bytes()).hexdigest()
    except (TypeError, OSError):
        return ""
