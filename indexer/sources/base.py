"""What every kind of data set looks like to the rest: a named stream of items that are read only when needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn, Protocol

import pyarrow as pa
from PIL import Image

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.decode import MAX_BYTES, RejectedImageError


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a source, not yet read.

    Attributes
    ----------
    key : names the image within its source: a path, a URL, an id or a number.
    read : gives the encoded bytes, or an image in memory; raises RejectedImageError or OSError where it cannot. Runs in
        a thread.
    size : bytes, as far as they are known without reading.
    mtime_ns : time of last change in nanoseconds, of the file or what holds it; 0 where a name stands for one content
        for ever (a URL); None where only reading tells.
    metadata : the data set's own columns for this image.
    """

    key: str
    read: Callable[[], bytes | Image.Image]
    size: int = 0
    mtime_ns: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Source(Protocol):
    """A set of images that can be gone through more than once, in the same order, without being held in memory."""

    @property
    def name(self) -> str:
        """Identity: stored with each image, so that a later run knows its own."""

    @property
    def schema(self) -> pa.Schema | None:
        """Types of the items' metadata; None where only the values tell."""

    def keys(self) -> list[str] | None:
        """All keys in order; None for a stream, whose keys are known only once it was gone through."""

    def items(self) -> Iterator[Item]:
        """The images, one after the other. Raises BadInputError where the source itself turns out to be unusable."""


def held_item(key: str, data: bytes | None, changed: int, metadata: Mapping[str, Any]) -> Item:
    """The item of an image whose encoded bytes are at hand, from a container that was changed at `changed`."""
    if data is None:
        return Item(key, reject("there is no image here"), 0, changed, metadata)
    return sized_item(key, lambda: data, len(data), changed, metadata)


def sized_item(
    key: str, read: Callable[[], bytes], size: int, changed: int, metadata: Mapping[str, Any] = MappingProxyType({})
) -> Item:
    """An item that is refused, without being read, where it is too large."""
    if size > MAX_BYTES:
        return Item(key, reject(f"file of {size:,} bytes; the limit is {MAX_BYTES:,}"), size, changed, metadata)
    return Item(key, read, size, changed, metadata)


def reject(reason: str) -> Callable[[], NoReturn]:
    """A `read` for an item that must not, or cannot, be read."""

    def read() -> NoReturn:
        raise RejectedImageError(reason)

    return read


def is_utf8(text: str) -> bool:
    """Whether a text can be stored; names of files on disk, and escapes in JSON, may be ones that cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def storable(item: Item) -> Item:
    """The item; refused, under a name that can be stored, where its own cannot."""
    if is_utf8(item.key):
        return item
    key = item.key.encode("utf-8", "backslashreplace").decode()
    return Item(key, reject("its name is no UTF-8; rename it"), item.size, item.mtime_ns)


def reject_duplicates(keys: list[str], where: str) -> None:
    """Raise BadInputError where two images have one key. `where` names the source in the message."""
    first: dict[str, int] = {}
    for row, key in enumerate(keys, start=1):
        if key in first:
            raise BadInputError(f"{where} row {row}: image {key!r} is in row {first[key]} already; keep one")
        first[key] = row
