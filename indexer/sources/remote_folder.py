"""A folder of image files on a file system that fsspec can list (S3, Google Cloud Storage), or on a web server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.base import UNKNOWN_KEY, Item, first_line, rejecting, sized_item
from fsearch.indexer.sources.decode import MAX_BYTES, RejectedImageError
from fsearch.indexer.sources.listing import FolderListing, LeftOut, is_image, is_key, is_left_out, label_of
from fsearch.indexer.sources.paths import check_url, fetching, open_file_system
from fsearch.indexer.sources.urls import SCHEMES, is_web
from fsearch.indexer.sources.web import fetch
from fsearch.indexer.sources.web_address import Hosts

_SCHEMES = (*SCHEMES, "memory")  # of a folder that the user names; a table may not point to the last
_TIMES = ("mtime", "LastModified", "last_modified", "updated")  # of the last change, as file systems call it
_DEPTH = 64  # of sub-folders; some web servers answer every path with the same index
_FOLDERS = 100_000
_PART = 2**20  # bytes that are read at once
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file below a folder on an fsspec file system.

    Attributes
    ----------
    size : bytes, as the listing says; 0 where that is not known. It may be wrong.
    limit : the most bytes that are taken, and one more tells that there are more.
    """

    folder: str
    key: str
    size: int = 0
    limit: int = MAX_BYTES

    def __call__(self) -> bytes:
        """Its content, at most limit + 1 bytes. Raises RejectedImageError where it cannot be fetched."""
        with fetching():
            if is_web(self.folder):
                return fetch(f"{self.folder}/{self.key}", self.limit + 1, Hosts.of(self.folder))
            files, root = open_file_system(self.folder)  # the key is no part of the URL: it may look like one
            path = f"{root}/{self.key}"
            if self.size:
                content: bytes = files.cat_file(path, end=self.limit + 1)  # one request, not two
                return content
            with files.open(path, "rb") as file:
                return self._capped(file)

    def _capped(self, file: Any) -> bytes:
        """At most limit + 1 bytes of an open file, which may give fewer than are asked for."""
        parts: list[bytes] = []
        left = self.limit + 1
        while left and (part := file.read(min(left, _PART))):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)


@dataclass(frozen=True)
class RemoteFolder(FolderListing):
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
    def where(self) -> str:
        """The URL as it was given."""
        return self.url

    def _list(self, left_out: LeftOut) -> Iterator[Item]:
        self._check()
        try:
            yield from self._walk(left_out)
        except BadInputError:
            raise
        except FileNotFoundError as error:
            raise BadInputError(f"no such folder: {self.url}") from error
        except Exception as error:  # each file system has its own errors
            raise BadInputError(f"folder {self.url} cannot be listed: {first_line(error)}") from error

    def _check(self) -> None:
        """Raise BadInputError where the URL cannot be that of a folder."""
        check_url(self.url, self.url, _SCHEMES)
        if is_web(self.url) and set("?#") & set(self.url):
            raise BadInputError(f"{self.url}: a folder's address ends before '?' and '#', which no file below it has")

    def read(self, key: str) -> bytes:
        """The content of one file, without listing the folder. Raises RejectedImageError, see `Source.read`.

        A file that is not there counts as gone, whether or not it ever was.
        """
        with rejecting():
            self._check()
            if not self._is_key(key) or not is_key(key, self.labelled):
                raise RejectedImageError(UNKNOWN_KEY)
            return RemoteFile(self.name, key)()

    def _is_key(self, key: str) -> bool:
        """As `is_key`; in a web address `%2e%2e` is `..`, too."""
        return is_key(key) and (not is_web(self.url) or is_key(unquote(key)))

    def _walk(self, left_out: LeftOut) -> Iterator[Item]:
        """The files, listed folder by folder: `walk` and `find` of fsspec omit folders that fail to be listed."""
        files, root = open_file_system(self.name)
        root = root.rstrip("/")
        files.invalidate_cache()  # of listings: instances live as long as the process
        folders, listed = [root], 0
        while folders:
            listed += 1
            if listed > _FOLDERS:
                raise BadInputError(f"{self.url} has more than {_FOLDERS:,} folders; index a part of it")
            for info in files.ls(folders.pop(), detail=True):
                path = str(info["name"]).rstrip("/")
                key = path.removeprefix(f"{root}/")
                if key == path:  # the folder itself, or a link to another place
                    continue
                name = key.rsplit("/", 1)[-1]
                if info["type"] == "directory":
                    if is_left_out(name):
                        left_out.folder(name)
                    elif self._is_key(f"{key}/any.png") and key.count("/") < _DEPTH:
                        folders.append(path)
                elif info["type"] == "file" and self._is_key(key):
                    yield self._item(files, key, info)
                elif info["type"] == "file" and not is_image(name) and "?" not in name:
                    left_out.file(name)

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
