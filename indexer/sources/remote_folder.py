"""A folder of image files on any file system that fsspec can list: S3, Google Cloud Storage, a web server's index."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.base import UNKNOWN_KEY, Item, first_line, rejecting, sized_item
from fsearch.indexer.sources.decode import MAX_BYTES, RejectedImageError
from fsearch.indexer.sources.folder import is_key, label_of, label_schema, no_images
from fsearch.indexer.sources.paths import SCHEMES, check_url, fetching, open_file_system

_SCHEMES = (*SCHEMES, "memory")  # of a folder that the user names; a table may not point to the last
_TIMES = ("mtime", "LastModified", "last_modified", "updated")  # of the last change, as file systems call it
_DEPTH = 64  # of sub-folders; some web servers answer every path with the same index
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file below a folder on an fsspec file system; its size in bytes, 0 where that is not known."""

    folder: str
    key: str
    size: int = 0

    def __call__(self) -> bytes:
        """Its content, at most MAX_BYTES + 1. Raises RejectedImageError where it cannot be fetched."""
        with fetching():
            files, root = open_file_system(self.folder)  # the key is no part of the URL: it may look like one
            path = f"{root}/{self.key}"
            if self.size:
                content: bytes = files.cat_file(path)  # one request, not two
                return content
            with files.open(path, "rb") as file:
                data: bytes = file.read(MAX_BYTES + 1)
                return data


@dataclass(frozen=True)
class RemoteFolder:
    """All image files below a folder at a URL, sorted. Hidden folders are left out.

    With `labelled`, it is an ImageFolder, as for `Folder`. A file is read again only if its size or time changed, where
    the file system tells the time; else in every run. Raises BadInputError where the URL is of another scheme, its
    library is not installed, or the folder cannot be listed or holds no image.
    """

    url: str
    labelled: bool = False

    @property
    def name(self) -> str:
        """The URL, without a slash at its end."""
        return self.url.rstrip("/")

    @property
    def schema(self) -> pa.Schema | None:
        """Label and split, of an ImageFolder."""
        return label_schema(self.labelled)

    @cached_property
    def _found(self) -> list[Item]:
        check_url(self.url, self.url, _SCHEMES)
        try:
            found = sorted(self._list(), key=lambda item: item.key)
        except BadInputError:
            raise
        except FileNotFoundError as error:
            raise BadInputError(f"no such folder: {self.url}") from error
        except Exception as error:  # each file system has its own errors
            raise BadInputError(f"folder {self.url} cannot be listed: {first_line(error)}") from error
        if not found:
            raise no_images(self.url)
        return found

    def keys(self) -> list[str]:
        """Paths below the folder, '/' between parts."""
        return [item.key for item in self._found]

    def items(self) -> Iterator[Item]:
        """The files."""
        return iter(self._found)

    def read(self, key: str) -> bytes:
        """The content of one file, without listing the folder. Raises RejectedImageError, see `Source.read`.

        A file that is not there counts as gone, whether or not it ever was.
        """
        with rejecting():
            check_url(self.url, self.url, _SCHEMES)
            if not self._is_key(key) or not is_key(key, self.labelled):
                raise RejectedImageError(UNKNOWN_KEY)
            return RemoteFile(self.name, key)()

    def _is_key(self, key: str) -> bool:
        """As `is_key`; in a web address `%2e%2e` is `..`, too."""
        return is_key(key) and (not self.url.lower().startswith("http") or is_key(unquote(key)))

    def _list(self) -> Iterator[Item]:
        """The files, listed folder by folder: `walk` and `find` of fsspec omit folders that fail to be listed."""
        files, root = open_file_system(self.name)
        root = root.rstrip("/")
        files.invalidate_cache()  # of listings: instances live as long as the process
        folders = [root]
        while folders:
            for info in files.ls(folders.pop(), detail=True):
                path = str(info["name"]).rstrip("/")
                key = path.removeprefix(f"{root}/")
                if key == path:  # the folder itself, or a link to another place
                    continue
                if info["type"] == "directory":
                    if self._is_key(f"{key}/any.png") and key.count("/") < _DEPTH:
                        folders.append(path)
                elif info["type"] == "file" and self._is_key(key):
                    yield self._item(files, key, info)

    def _item(self, files: Any, key: str, info: dict[str, Any]) -> Item:
        size = int(info.get("size") or 0)
        label = label_of(key, self.name) if self.labelled else {}
        return sized_item(key, RemoteFile(self.name, key, size), size, _mtime_ns(files, info), label)


def _mtime_ns(files: Any, info: dict[str, Any]) -> int | None:
    """Time of the last change in nanoseconds; None where the file system does not tell."""
    time = next((info[name] for name in _TIMES if info.get(name) is not None), None)
    try:
        time = files.modified(info["name"]) if time is None else time
        time = datetime.fromisoformat(time) if isinstance(time, str) else time
    except Exception:  # it need not be known: then the file is read
        return None
    if isinstance(time, datetime):
        time = time.replace(tzinfo=time.tzinfo or UTC)
        return (time - _EPOCH) // timedelta(microseconds=1) * 1000
    return None if time is None else round(float(time) * 1e9)
