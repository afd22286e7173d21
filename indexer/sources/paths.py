"""Paths and URLs in a data set: confined to a root folder, URLs read through fsspec, of the allowed schemes only."""

from __future__ import annotations

import contextlib
import os.path
import stat
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.base import Item, first_line, is_utf8, reject, sized_item, unreadable
from fsearch.indexer.sources.decode import MAX_BYTES, RejectedImageError
from fsearch.indexer.sources.urls import SCHEMES, is_url, is_web
from fsearch.indexer.sources.web_address import Hosts
from fsearch.indexer.storage.regular_files import open_regular


def check_url(url: str, where: str, schemes: Sequence[str] = SCHEMES) -> None:
    """Raise BadInputError where `url` is of a scheme that is not allowed, or its file system is not installed."""
    scheme = url.split("://", 1)[0].lower()
    if scheme not in schemes or ("::" in url and not is_web(url)):
        raise BadInputError(
            f"{where}: {url!r} is refused; allowed are paths and {', '.join(f'{s}://' for s in schemes)}"
        )
    if is_web(url):
        return
    import fsspec

    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        raise BadInputError(
            f"{where}: {scheme}:// needs a library that is missing: pip install 'fsspec[s3,gs]'"
        ) from error


def open_stream(place: str) -> contextlib.AbstractContextManager[IO[bytes]]:
    """Open a local path, or an allowed URL that the user named, for reading in order."""
    if not is_url(place):
        return open_regular(place)
    if is_web(place):
        from fsearch.indexer.sources.web import streaming

        return streaming(place, Hosts.of(place))
    import fsspec

    stream: Any = fsspec.open(place, "rb").open()
    return stream  # type: ignore[no-any-return]


def open_file_system(url: str) -> tuple[Any, str]:
    """The file system of an allowed URL that the user named, and the URL's path on it."""
    if is_web(url):
        from fsearch.indexer.sources.web_listing import WebFolders

        return WebFolders(Hosts.of(url)), url
    import fsspec

    files, path = fsspec.core.url_to_fs(url)
    return files, str(path)


@dataclass(frozen=True, slots=True)
class PathResolver:
    """Resolves the paths in a data set: relative to `root`, and not outside it unless allowed.

    Its URLs may lead to hosts at private addresses only where `allow_private_hosts`.
    """

    root: Path
    allow_outside: bool = False
    allow_private_hosts: bool = False

    def key(self, text: str, where: str) -> str:
        """The key of a path: relative to the root where it lies below it, else absolute. A URL is its own key.

        Raises BadInputError for a path outside the root, or a URL of a scheme that is not allowed.
        """
        if is_url(text) and not text.startswith("file://"):
            check_url(text, where)
            return text
        text = text.removeprefix("file://").replace("\\", "/")
        if "\0" in text or not is_utf8(text):
            raise BadInputError(f"{where}: {text!r} is no path")
        root = os.path.abspath(self.root)
        full = os.path.normpath(os.path.join(root, text))
        if full.startswith(root + os.sep):
            return Path(full).relative_to(root).as_posix()
        if not self.allow_outside:
            raise BadInputError(f"{where}: {text!r} lies outside {self.root}; give --root FOLDER, or --allow-outside")
        return full

    def item(self, key: str, metadata: dict[str, Any]) -> Item:
        """The item of a key that the method `key` returned."""
        if is_url(key):
            return Item(key, _fetch(key, Hosts(private=self.allow_private_hosts)), 0, 0, metadata)
        path = as_written(self.root / key)
        try:
            status = path.stat()
        except OSError as error:
            return Item(key, unreadable(error), 0, None, metadata)
        if not self.allow_outside and not path.resolve().is_relative_to(self.root.resolve()):
            return Item(key, reject("a link that leads outside the data set's root"), 0, None, metadata)
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):  # reading a pipe would block
            return Item(key, reject("not a regular file"), 0, None, metadata)
        return sized_item(key, path.read_bytes, status.st_size, status.st_mtime_ns, metadata)


def as_written(path: Path) -> Path:
    """The path as the disk spells it: composed (NFC) or decomposed (NFD) characters, whichever there is."""
    if os.path.exists(path) or str(path).isascii():  # unlike Path.exists, of any name
        return path
    forms = (Path(unicodedata.normalize(form, str(path))) for form in ("NFC", "NFD"))
    return next((form for form in forms if os.path.exists(form)), path)


def _fetch(url: str, hosts: Hosts) -> Callable[[], bytes]:
    """What reads the file at a URL that a table names."""

    def read() -> bytes:
        with fetching():
            if is_web(url):
                from fsearch.indexer.sources.web import fetch

                return fetch(url, MAX_BYTES + 1, hosts)
            with open_stream(url) as stream:
                return stream.read(MAX_BYTES + 1)

    return read


@contextlib.contextmanager
def fetching() -> Iterator[None]:
    """Translate any exception of a remote file system into RejectedImageError, with the exception as its cause."""
    try:
        yield
    except Exception as error:  # each file system has its own errors
        raise RejectedImageError(f"cannot be fetched: {_http_status(error) or first_line(error)}") from error


def _http_status(error: BaseException | None) -> str | None:
    """The HTTP status that an exception was raised for, however often it was wrapped; None where there is none."""
    seen = 0
    while error is not None and seen < 10:
        status = getattr(error, "status", None)
        if isinstance(status, int):
            return f"HTTP {status} {getattr(error, 'message', '')}".strip()
        error, seen = error.__cause__ or error.__context__, seen + 1
    return None


@dataclass(frozen=True, slots=True)
class Storage:
    """Small files in a local folder or at an fsspec URL, each written atomically.

    Raises BadInputError where it is none.
    """

    place: str

    def write(self, name: str, data: bytes) -> None:
        """Write a file."""
        with self._opened() as (files, folder):
            files.makedirs(folder, exist_ok=True)
            files.pipe_file(f"{folder}/{name}.part", data)
            files.mv(f"{folder}/{name}.part", f"{folder}/{name}")

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""
        with self._opened() as (files, folder):
            try:
                data: bytes = files.cat_file(f"{folder}/{name}")
            except FileNotFoundError:
                return None
            return data

    def holds(self, name: str) -> bool:
        """Whether there is such a file."""
        with self._opened() as (files, folder):
            return bool(files.exists(f"{folder}/{name}"))

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        with self._opened() as (files, folder), contextlib.suppress(FileNotFoundError):
            files.rm_file(f"{folder}/{name}")

    def clear(self) -> None:
        """Remove the folder with all that is in it."""
        with self._opened() as (files, folder):
            if files.exists(folder):
                files.rm(folder, recursive=True)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[tuple[Any, str]]:
        import fsspec

        try:
            files, folder = fsspec.core.url_to_fs(self.place)
            yield files, str(folder)
        except OSError as error:
            raise BadInputError(f"{self.place} cannot be used: {error.strerror or error}") from error
        except (ImportError, ValueError) as error:
            raise BadInputError(f"{self.place} cannot be opened: {str(error).splitlines()[0]}") from error
