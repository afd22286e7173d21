"""Images that a Python program holds: a torch `Dataset`, a list, a dictionary, or what has a length and an index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.object_path import load_object
from fsearch.indexer.sources.base import Item, reject
from fsearch.indexer.sources.decode import RejectedImageError

_IMAGE_FIELDS = ("image", "img", "pixel_values", "pixels")
_LABEL_FIELDS = ("label", "target", "y")


@dataclass(frozen=True)
class PythonImages:
    """The images of `held`, which gives an image, array or tensor, or one of them with a label, for each index.

    A pair is (image, label); a dictionary has its image under 'image' and the rest is metadata. A class number becomes
    its name where `held.classes` lists names. Keys are those of a dictionary, else indices. Only reading an image tells
    whether it changed, so each is read in every run, and embedded if it is new.
    """

    held: Any
    name: str = "memory"

    @property
    def schema(self) -> pa.Schema | None:
        """Known from the values only."""
        return None

    @cached_property
    def _keys(self) -> list[str]:
        if isinstance(self.held, Mapping):
            keys = [str(k) for k in self.held]
        elif hasattr(self.held, "__len__") and hasattr(self.held, "__getitem__"):
            keys = [f"{i:08d}" for i in range(len(self.held))]
        else:
            raise BadInputError(f"{self.name}: images need a length and an index; this is a {type(self.held).__name__}")
        if not keys:
            raise BadInputError(f"{self.name} holds no images")
        return keys

    def keys(self) -> list[str]:
        """Keys of the dictionary, or indices."""
        return self._keys

    def items(self) -> Iterator[Item]:
        """The images; each is fetched here, one after the other, since a data set need not be safe in threads."""
        handles = self.held if isinstance(self.held, Mapping) else range(len(self._keys))
        for key, handle in zip(self._keys, handles, strict=True):
            yield self._item(key, handle)

    def _item(self, key: str, handle: Any) -> Item:
        try:
            got = self.held[handle]
            pixels, metadata = self._parts(got)
            image = as_image(pixels)
        except Exception as error:  # the data set is the user's program and may raise anything
            reason = f"the data set raised {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            said = str(error) if isinstance(error, RejectedImageError) else reason
            return Item(key, reject(said))
        return Item(key, lambda: image, 0, None, metadata)

    def _parts(self, got: Any) -> tuple[Any, dict[str, Any]]:
        if isinstance(got, Mapping):
            field = next((f for f in _IMAGE_FIELDS if f in got), None)
            if field is None:
                raise RejectedImageError(
                    f"no image in it: it has {', '.join(map(str, got))}, and 'image' is looked for"
                )
            rest = {str(k): _plain(v) for k, v in got.items() if k != field}
            label = next((f for f in _LABEL_FIELDS if f in rest), None)
            return got[field], rest if label is None else rest | {label: self._label(rest[label])}
        if isinstance(got, tuple | list) and len(got) >= 2:
            return got[0], {"label": self._label(_plain(got[1]))}
        return (got[0] if isinstance(got, tuple | list) and got else got), {}

    def _label(self, label: Any) -> Any:
        names: Sequence[Any] = getattr(self.held, "classes", None) or ()
        if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(names):
            return str(names[label])
        return label


def from_name(name: str) -> PythonImages:
    """The data set that `module:object` names; a function is called for it.

    Raises BadInputError where there is none.
    """
    found = load_object(name, "data set")
    if callable(found) and not hasattr(found, "__getitem__"):
        found = found()
    return PythonImages(found, name)


def as_image(pixels: Any) -> Image.Image:
    """Pillow image of an image, an (H, W) or (H, W, 3 or 4) array, or a (3, H, W) tensor; floats are in 0 to 1.

    Raises RejectedImageError for another shape, or values outside their range.
    """
    if isinstance(pixels, Image.Image):
        return pixels
    if isinstance(pixels, bytes):
        raise RejectedImageError("bytes where an image was expected; decode them first")
    array = np.asarray(pixels)
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        array = np.moveaxis(array, 0, 2)  # channels first, as tensors have them
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.size == 0 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise RejectedImageError(f"an array of shape {np.shape(pixels)} is no image")
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all() or array.min() < 0 or array.max() > 1:
            raise RejectedImageError("pixel values as floats must lie between 0 and 1; undo the normalisation")
        array = np.rint(array * 255)
    elif array.dtype != np.uint8 and (array.min() < 0 or array.max() > 255):
        raise RejectedImageError(f"pixel values from {array.min()} to {array.max()}; they must lie between 0 and 255")
    return Image.fromarray(array.astype(np.uint8))


def _plain(value: Any) -> Any:
    """The Python value of a single number, in a tensor or not; text of anything that a table cannot hold."""
    if hasattr(value, "item") and int(np.prod(np.shape(value))) == 1:
        value = value.item()
    return value if isinstance(value, str | int | float | bool | None) else str(value)
