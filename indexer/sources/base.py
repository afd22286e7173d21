"""The interface of every kind of data set: a named stream of images that are read only when needed, or by key."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn, Protocol, TypeVar

import pyarrow as pa
from PIL import Image

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.decode import MAX_BYTES, RejectedImageError

UNREAD = "cannot be read: "  # prefix of the reason where the file itself, not its content, is at fault
GONE = "the image is gone: there is no such file any more"
UNKNOWN_KEY = "the data set has no image of that key"

_SNAPSHOTS = 4  # listings of changed or reopened sources that are cached for `Source.read`


@dataclass(frozen=True, slots=True)
class Item:
    """One image of a source, not yet read.

    Attributes
    ----------
    key : identifies the image within its source: a path, a URL, an id or a number.
    read : returns the encoded bytes, or a decoded image; raises RejectedImageError or OSError. Called in a thread.
    size : bytes, as far as they are known without reading.
    mtime_ns : modification time in nanoseconds, of the file or its container; 0 where a key stands for one content
        for ever (a URL); None where only reading tells whether the content changed.
    metadata : the data set's own columns for this image.
    """

    key: str
    read: Callable[[], bytes | Image.Image]
    size: int = 0
    mtime_ns: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


class Source(Protocol):
    """A set of images that can be iterated more than once, in the same order, without being held in memory."""

    @property
    def name(self) -> str:
        """Identity: stored with each image, so that a later run recognises its own images."""

    @property
    def schema(self) -> pa.Schema | None:
        """Types of the items' metadata; None where only the values tell."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out or taken in some way that the user should know, a line each; whole after iterating it."""

    def keys(self) -> list[str] | None:
        """All keys in order; None for a stream, whose keys are known only after iterating it."""

    def items(self) -> Iterator[Item]:
        """The images in order. Raises BadInputError where the source itself turns out to be unusable."""

    def read(self, key: str) -> bytes | Image.Image:
        """Random access: what `read` of the item with this key returns. Safe in threads.

        Raises RejectedImageError, and no other exception: with the item's own reason, with GONE where its file or
        container was deleted, with UNKNOWN_KEY for a key that the source does not have.
        """


def encoded_item(key: str, data: bytes | None, mtime_ns: int, metadata: Mapping[str, Any]) -> Item:
    """The item of an image whose encoded bytes are in memory, from a container modified at `mtime_ns`."""
    if data is None:
        return Item(key, reject("there is no image here"), 0, mtime_ns, metadata)
    return sized_item(key, lambda: data, len(data), mtime_ns, metadata)


def sized_item(
    key: str,
    read: Callable[[], bytes],
    size: int,
    mtime_ns: int | None,
    metadata: Mapping[str, Any] = MappingProxyType({}),
) -> Item:
    """An item that is rejected, without being read, where it exceeds MAX_BYTES."""
    if size > MAX_BYTES:
        return Item(key, reject(f"file of {size:,} bytes; the limit is {MAX_BYTES:,}"), size, mtime_ns, metadata)
    return Item(key, read, size, mtime_ns, metadata)


def reject(reason: str) -> Callable[[], NoReturn]:
    """A `read` for an item that must not, or cannot, be read."""

    def read() -> NoReturn:
        raise RejectedImageError(reason)

    return read


def unreadable(error: OSError) -> Callable[[], NoReturn]:
    """A `read` for a file whose status could not be read; it raises the same again."""
    number, text = error.errno, error.strerror

    def read() -> NoReturn:
        raise OSError(number, text)

    return read


@contextmanager
def rejecting() -> Iterator[None]:
    """Translate any exception of a random access into RejectedImageError, see `Source.read`."""
    try:
        yield
    except RejectedImageError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            raise RejectedImageError(GONE) from error
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RejectedImageError(GONE) from error
    except OSError as error:
        raise RejectedImageError(f"{UNREAD}{error.strerror or first_line(error)}") from error
    except BadInputError as error:
        raise RejectedImageError(str(error)) from error
    except Exception as error:  # libraries that read containers have errors of their own
        raise RejectedImageError(f"{UNREAD}{first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its type where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


_S = TypeVar("_S", bound=Any)


def current(source: _S, files: Iterable[Path]) -> _S:
    """A cached copy of `source` (a dataclass) whose listing is as its container `files` are now.

    The listing that a source caches in itself is a snapshot, made when it is iterated. `Source.read` looks keys up in
    this copy, so that a container rewritten since then is listed again and never read at outdated positions. Raises
    OSError where a file is gone.
    """
    versions = []
    for file in files:
        status = file.stat()
        versions.append((os.path.abspath(file), status.st_mtime_ns, status.st_size))
    copy: _S = _copy(source, tuple(versions))
    return copy


@lru_cache(_SNAPSHOTS)
def _copy(source: Any, _: tuple[tuple[str, int, int], ...]) -> Any:
    return replace(source)


def is_utf8(text: str) -> bool:
    """Whether a text can be stored; file names, and escapes in JSON, may hold lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def storable(item: Item) -> Item:
    """The item; rejected, under an escaped key, where its own is no UTF-8."""
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
