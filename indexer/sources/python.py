"""Images in memory of a Python program: a torch `Dataset`, a list, a dictionary, or what has a length and an index."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.object_path import load_object
from fsearch.indexer.sources.base import GONE, UNKNOWN_KEY, Item, first_line, reject, reject_duplicates, rejecting
from fsearch.indexer.sources.decode import RejectedImageError

_IMAGE_FIELDS = ("image", "img", "pixel_values", "pixels")
_LABEL_FIELDS = ("label", "target", "y")


@dataclass(frozen=True)
class PythonImages:
    """The images of `data`, whose elements are images, arrays or tensors, or one of them with a label.

    A pair is (image, label); a dictionary has its image under 'image' and the rest is metadata. A class number becomes
    its name where `data.classes` lists names. Keys are those of a dictionary, else indices. Only reading an image tells
    whether it changed, so each is read in every run, and embedded if it is new.
    """

    data: Any
    name: str = "memory"
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    @property
    def schema(self) -> pa.Schema | None:
        """Known from the values only."""
        return None

    @property
    def notes(self) -> tuple[str, ...]:
        """None."""
        return ()

    @cached_property
    def _index(self) -> dict[str, Any]:
        """The dictionary key, or index, of each image by its key as text."""
        if isinstance(self.data, Mapping):
            keys = [(str(k), k) for k in self.data]
            reject_duplicates([text for text, _ in keys], self.name)
            index: dict[str, Any] = dict(keys)
        elif hasattr(self.data, "__len__") and hasattr(self.data, "__getitem__"):
            index = {f"{i:08d}": i for i in range(len(self.data))}
        else:
            raise BadInputError(f"{self.name}: images need a length and an index; this is a {type(self.data).__name__}")
        if not index:
            raise BadInputError(f"{self.name} holds no images")
        return index

    def keys(self) -> list[str]:
        """Keys of the dictionary, or indices."""
        return list(self._index)

    def items(self) -> Iterator[Item]:
        """The images; elements are taken one after the other, since a data set need not be safe in threads."""
        for key, position in self._index.items():
            yield self._item(key, position)

    def read(self, key: str) -> Image.Image:
        """One image. Raises RejectedImageError, see `Source.read`. Calls in several threads wait for each other."""
        with rejecting():
            if key not in self._index:
                raise RejectedImageError(UNKNOWN_KEY)
            position = self._index[key]
            if position not in self.data if isinstance(self.data, Mapping) else position >= len(self.data):
                raise RejectedImageError(GONE)
            image = self._item(key, position).read()
            assert isinstance(image, Image.Image)
            return image

    def _item(self, key: str, position: Any) -> Item:
        try:
            with self._lock:
                element = self.data[position]
            pixels, metadata = self._parts(element)
            image = as_image(pixels)
        except RejectedImageError as error:
            return Item(key, reject(str(error)))
        except Exception as error:  # the data set is the user's program and may raise anything
            reason = first_line(error) if str(error) else ""
            return Item(key, reject(f"the data set raised {type(error).__name__}: {reason}"))
        return Item(key, lambda: image, 0, None, metadata)

    def _parts(self, element: Any) -> tuple[Any, dict[str, Any]]:
        """Image and metadata of an element."""
        if isinstance(element, Mapping):
            image = next((f for f in _IMAGE_FIELDS if f in element), None)
            if image is None:
                raise RejectedImageError(
                    f"no image in it: it has {', '.join(map(str, element))}, and 'image' is looked for"
                )
            rest = {str(k): _plain(v) for k, v in element.items() if k != image}
            label = next((f for f in _LABEL_FIELDS if f in rest), None)
            return element[image], rest if label is None else rest | {label: self._label(rest[label])}
        if isinstance(element, tuple | list) and len(element) >= 2:
            return element[0], {"label": self._label(_plain(element[1]))}
        return (element[0] if isinstance(element, tuple | list) and element else element), {}

    def _label(self, label: Any) -> Any:
        names: Sequence[Any] = getattr(self.data, "classes", None) or ()
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
    """A Python value for a column: the number in a tensor of one element; text for any other object."""
    if hasattr(value, "item") and int(np.prod(np.shape(value))) == 1:
        value = value.item()
    return value if isinstance(value, str | int | float | bool | None) else str(value)
