"""Images within archives, as what names them: read when they are called, in whichever process that is."""

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

_OPEN = 4  # zip archives at once


def check_member(name: str, archive: str) -> None:
    """Raise BadInputError for a member whose name is absolute or climbs out of the archive."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
        raise BadInputError(
            f"archive {archive}: the member {name!r} points outside the archive; such archives are refused"
        )


@dataclass(frozen=True, slots=True)
class TarMember:
    """A file in a tar that is not compressed: `size` bytes of it from `offset` on."""

    path: Path
    offset: int
    size: int

    def __call__(self) -> bytes:
        """Its content.

        Raises RejectedImageError where the archive ends within it, OSError where that cannot be read.
        """
        with self.path.open("rb") as file:
            data = os.pread(file.fileno(), self.size, self.offset)
        if len(data) < self.size:
            raise RejectedImageError("cut off: the archive ends within it")
        return data


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A file in a zip that was changed at `changed`, in nanoseconds."""

    path: Path
    name: str
    changed: int

    def __call__(self) -> bytes:
        """Its content. Raises RejectedImageError where that is damaged, OSError where the archive cannot be read."""
        try:
            with open_zip(self.path, self.changed).open(self.name) as member:
                return member.read(MAX_BYTES + 1)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
            raise RejectedImageError(f"damaged in its archive: {error}") from error


@lru_cache(_OPEN)
def open_zip(path: Path, changed: int) -> zipfile.ZipFile:
    """The archive, kept open while few others are asked for; one `changed` since is opened anew. Safe in threads."""
    return zipfile.ZipFile(path)


def is_plain_tar(path: Path) -> bool:
    """Whether `path` is a tar that is not compressed, so that its members can be read where they lie."""
    try:
        with tarfile.open(path, "r:"):
            return True
    except (OSError, tarfile.TarError):
        return False
