"""References to images within archives, read when called, in whichever process that is."""

from __future__ import annotations

import os
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.decode import MAX_BYTES, RejectedImageError
from fsearch.indexer.sources.tar_stream import open_plain
from fsearch.indexer.storage.regular_files import open_regular

_OPEN_ZIPS = 4


def check_member(name: str, archive: str) -> None:
    """Raise BadInputError for a member whose name is absolute or climbs out of the archive."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
        raise BadInputError(
            f"archive {archive}: the member {name!r} points outside the archive; such archives are refused"
        )


@dataclass(frozen=True, slots=True)
class TarMember:
    """A file in an uncompressed tar: `size` bytes from `offset` on."""

    path: Path
    offset: int
    size: int

    def __call__(self) -> bytes:
        """Its content.

        Raises RejectedImageError where the archive ends within it, OSError where the archive cannot be read.
        """
        with open_regular(self.path) as file:
            data = os.pread(file.fileno(), self.size, self.offset)
        if len(data) < self.size:
            raise RejectedImageError("cut off: the archive ends within it")
        return data


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A file in a zip that was modified at `mtime_ns`."""

    path: Path
    name: str
    mtime_ns: int

    def __call__(self) -> bytes:
        """Its content. Raises RejectedImageError where that is damaged, OSError where the archive cannot be read."""
        try:
            with open_zip(self.path, self.mtime_ns).open(self.name) as member:
                return member.read(MAX_BYTES + 1)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
            raise RejectedImageError(f"damaged in its archive: {error}") from error


@lru_cache(_OPEN_ZIPS)
def open_zip(path: Path, mtime_ns: int) -> zipfile.ZipFile:
    """The archive, cached open and anew where it was modified; safe in threads. Raises BadZipFile, OSError."""
    try:
        return zipfile.ZipFile(path)
    except NotImplementedError as error:  # of a version of the format that is not read, or says so
        raise zipfile.BadZipFile(str(error)) from error


def is_plain_tar(path: Path) -> bool:
    """Whether `path` is an uncompressed tar, whose members can be read at their offsets."""
    try:
        with open_plain(path):
            return True
    except (OSError, EOFError, tarfile.TarError):
        return False
