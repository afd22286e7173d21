"""A black box as the user's Python function, `module:function`.

    def predict(images: list[PIL.Image.Image]) -> array or list, one prediction per image

Images are upright RGB, of any size. A prediction is what the loss function takes: class scores, numbers, a mask, a list
of COCO detections, or (with --task loss) the loss itself.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.choices import ScoreKind
from fsearch.indexer.object_path import load_object


class Function:
    """The user's function. Its source file is part of its digest: after a change, losses are computed again."""

    def __init__(self, function: str | Callable[[list[Image.Image]], Any]) -> None:
        """From `module:function`, or the function itself. Raises BadInputError where it cannot be found or called."""
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
        """The function's predictions, as a list."""
        out = self._function(list(inputs))
        if hasattr(out, "detach"):
            out = out.detach().cpu().numpy()
        if not hasattr(out, "__len__") or len(out) != len(inputs):
            got = f"{len(out)} predictions" if hasattr(out, "__len__") else f"a {type(out).__name__}"
            raise BadInputError(f"black box {self.origin} gave {got} for {len(inputs)} images; one an image is needed")
        return list(out)


def _source(function: Any) -> str:
    """A hash of the file that defines the function; empty where there is none."""
    try:
        path = inspect.getsourcefile(function if inspect.isroutine(function) else type(function))
        return hashlib.sha256(Path(path or "").read_bytes()).hexdigest()
    except (TypeError, OSError):
        return ""
