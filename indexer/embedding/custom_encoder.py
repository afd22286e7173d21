"""An encoder of the user's own: a Python object, named `module:attribute` or handed over from a program.

It has

    embed_images(images)   a list of n RGB Pillow images to an array (n, dim)
    embed_texts(texts)     a list of n strings to an array (n, dim)
    dim                    length of its embeddings
    logit_scale            inverse temperature it was trained with, itself and not its logarithm; DEFAULT_LOGIT_SCALE
                           where it has none

Rows need not be unit vectors: they are divided by their norm here.
"""

from __future__ import annotations

import inspect
import logging
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.errors import BadInputError, EncoderError
from fsearch.indexer.object_path import load_object
from fsearch.indexer.storage.files import file_sha256
from fsearch.indexer.workspace.encoder_spec import EncoderSpec

if TYPE_CHECKING:
    from PIL import Image

DEFAULT_LOGIT_SCALE = 100.0  # the upper bound of CLIP's training, which its published models reach
_TEXTS = 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CustomEncoder:
    """The user's encoder behind the Protocol `encoder.Encoder`; its vocabulary is open."""

    spec: EncoderSpec
    logit_scale: float
    _object: Any
    vocabulary: frozenset[str] | None = None
    only_side: int | None = None
    support: tuple[float, float] | None = None

    def prepare(self, image: Image.Image) -> Any:
        """The image itself."""
        return image

    def embed_images(self, prepared: Sequence[Any]) -> NDArray[np.float32]:
        """(n, dim) float32, unit rows; a row that is zero or not finite becomes NaN. Raises EncoderError."""
        return self._call("embed_images", list(prepared))

    def embed_texts(
        self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """(n, dim) float32, unit rows. Raises EncoderError, also for a row that is zero or not finite."""
        found = [np.empty((0, self.spec.dim), np.float32)]
        for start in range(0, len(texts), _TEXTS):
            batch = list(texts[start : start + _TEXTS])
            found.append(self._call("embed_texts", batch))
            bad = np.flatnonzero(~np.isfinite(found[-1]).all(axis=1))
            if len(bad):
                raise EncoderError(
                    f"{self.spec.name}.embed_texts gave a zero or non-finite embedding of {batch[bad[0]]!r}"
                )
            if progress:
                progress(start + len(batch), len(texts))
        return np.concatenate(found)

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """None: the vocabulary is open."""
        return ()

    def _call(self, method: str, inputs: list[Any]) -> NDArray[np.float32]:
        where = f"{self.spec.name}.{method}"
        try:
            given = getattr(self._object, method)(inputs)
            rows = np.asarray(given.detach().cpu() if hasattr(given, "detach") else given)  # a torch tensor too
        except Exception as error:  # the code is the user's and may raise anything
            raise EncoderError(f"{where} raised {type(error).__name__}: {_line(error)}") from error
        if rows.shape != (len(inputs), self.spec.dim) or not np.issubdtype(rows.dtype, np.floating):
            raise EncoderError(
                f"{where} gave {rows.dtype} {rows.shape} for {len(inputs)} inputs; "
                f"it must be floats of shape ({len(inputs)}, {self.spec.dim})"
            )
        return unit_rows(rows)


def unit_rows(rows: NDArray[Any]) -> NDArray[np.float32]:
    """(n, d) floats of any kind as (n, d) float32 unit rows; a row that is zero or not finite becomes NaN."""
    wide = rows.astype(np.float64)
    with np.errstate(all="ignore"):
        largest = np.abs(wide).max(axis=1, keepdims=True)  # first, so that no square over- or underflows
        scaled = wide / largest
        found = (scaled / np.linalg.norm(scaled, axis=1, keepdims=True)).astype(np.float32)
    found[~np.isfinite(found).all(axis=1)] = np.nan
    return np.asarray(found)


def load(named: Any) -> CustomEncoder:
    """The encoder that `module:attribute` names (an object, or a function or class that makes one), or `named` itself.

    Naming runs the module's code. Raises EncoderError where it is no such encoder.
    """
    if isinstance(named, str):
        try:
            found = load_object(named, "encoder")
        except BadInputError as error:
            raise EncoderError(str(error)) from error
        name, source = named, getattr(sys.modules.get(named.split(":")[0]), "__file__", None)
    else:
        found, name, source = named, name_of(named), _source_of(_class_of(named))
    if inspect.isclass(found) or (callable(found) and not hasattr(found, "embed_images")):
        try:
            found = found()
        except Exception as error:
            raise EncoderError(f"encoder {name!r}: making it raised {type(error).__name__}: {_line(error)}") from error
    missing = [m for m in ("embed_images", "embed_texts") if not callable(getattr(found, m, None))]
    if missing:
        raise EncoderError(f"encoder {name!r} has no method {missing[0]}; it needs embed_images and embed_texts")
    dim = getattr(found, "dim", None)
    if not isinstance(dim, int | np.integer) or dim < 1:
        raise EncoderError(f"encoder {name!r}: dim is {dim!r}; it must be the length of its embeddings")
    digest = file_sha256(Path(source)) if source and Path(source).is_file() else "unknown"
    return CustomEncoder(EncoderSpec.of_code(name, digest, int(dim)), _scale(found, name), found)


def name_of(named: Any) -> str:
    """The name under which a workspace stores what a caller names: an object by its class."""
    return named if isinstance(named, str) else f"{_class_of(named).__module__}:{_class_of(named).__qualname__}"


def _class_of(named: Any) -> type:
    return named if inspect.isclass(named) else type(named)


def _scale(found: Any, name: str) -> float:
    given = getattr(found, "logit_scale", None)
    if given is None:
        _log.warning("encoder %r has no logit_scale; %g is taken, as in CLIP", name, DEFAULT_LOGIT_SCALE)
        return DEFAULT_LOGIT_SCALE
    try:
        scale = float(given)
    except Exception:
        scale = math.nan
    if not (math.isfinite(scale) and scale > 0):
        raise EncoderError(f"encoder {name!r}: logit_scale is {given!r}; it must be a number above 0")
    return scale


def _source_of(kind: type) -> str | None:
    try:
        return inspect.getsourcefile(kind)
    except (TypeError, OSError):
        return None


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
