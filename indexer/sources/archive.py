"""Images in a zip or tar archive, read in place: nothing is unpacked to disk."""

from __future__ import annotations

import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import pyarrow as pa

from fsearch.indexer.decode import MAX_BYTES, Rejected
from fsearch.indexer.errors import BadInput
from fsearch.indexer.sources.folder import is_image
from fsearch.indexer.sources.item import Item, refuse_repeated, sized_item

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
SUFFIXES = (".zip", *TARS)


def check_member(name: str, archive: str) -> None:
    """Raise BadInput for a member whose name is absolute or climbs out of the archive."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or (path.parts and path.parts[0].endswith(":")):
        raise BadInput(f"archive {archive}: the member {name!r} points outside the archive; such archives are refused")


@dataclass(frozen=True)
class Archive:
    """The image files in one archive; a key is a member's name. Raises BadInput where it has none, or is damaged."""

    path: Path

    @property
    def name(self) -> str:
        """The archive's full path."""
        return str(self.path.resolve())

    @property
    def schema(self) -> pa.Schema:
        """No metadata."""
        return pa.schema([])

    @cached_property
    def _changed(self) -> int:
        return self.path.stat().st_mtime_ns

    @cached_property
    def _members(self) -> list[tuple[str, int, int]]:
        """Name, size and (in a plain tar) offset of each image."""
        if not self.path.is_file():
            raise BadInput(f"no such archive: {self.path}")
        try:
            found = self._zip_members() if self._is_zip else self._tar_members()
        except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
            raise BadInput(f"archive {self.path} cannot be read: {str(error).splitlines()[0]}") from error
        images = sorted(m for m in found if is_image(m[0]))
        if not images:
            raise BadInput(f"no images in the archive {self.path}")
        refuse_repeated([name for name, *_ in images], f"archive {self.path}")
        return images

    def keys(self) -> list[str]:
        """Names of the members that are images."""
        return [name for name, *_ in self._members]

    def items(self) -> Iterator[Item]:
        """The members."""
        if self._is_zip:
            yield from (sized_item(n, _zip_reader(self._zip, n), s, self._changed) for n, s, _ in self._members)
        elif self.path.suffix.lower() == ".tar":
            yield from (sized_item(n, _tar_reader(self.path, s, o), s, self._changed) for n, s, o in self._members)
        else:
            yield from self._compressed()

    @property
    def _is_zip(self) -> bool:
        return self.path.suffix.lower() == ".zip"

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        """Open as long as this object lives: threads read members after the last item was handed out."""
        return zipfile.ZipFile(self.path)

    def _zip_members(self) -> list[tuple[str, int, int]]:
        for name in self._zip.namelist():
            check_member(name, str(self.path))
        return [(i.filename, i.file_size, 0) for i in self._zip.infolist() if not i.is_dir()]

    def _tar_members(self) -> list[tuple[str, int, int]]:
        found = []
        with tarfile.open(self.path) as tar:
            for member in tar:
                check_member(member.name, str(self.path))
                if member.isfile():  # a link is never followed
                    found.append((member.name, member.size, member.offset_data))
        return found

    def _compressed(self) -> Iterator[Item]:
        """A compressed tar can only be read from its beginning, so each member's bytes are taken as they pass."""
        wanted = set(self.keys())
        with tarfile.open(self.path, "r|*") as tar:
            for member in tar:
                if member.isfile() and member.name in wanted:
                    file = tar.extractfile(member) if member.size <= MAX_BYTES else None
                    data = file.read() if file else b""
                    yield sized_item(member.name, lambda data=data: data, member.size, self._changed)  # type: ignore[misc]
                tar.members = []  # type: ignore[attr-defined]  # else it keeps every header


def _zip_reader(archive: zipfile.ZipFile, name: str) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            with archive.open(name) as member:
                return member.read(MAX_BYTES + 1)
        except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError) as error:
            raise Rejected(f"damaged in its archive: {error}") from error

    return read


def _tar_reader(path: Path, size: int, offset: int) -> Callable[[], bytes]:
    def read() -> bytes:
        with path.open("rb") as file:
            data = os.pread(file.fileno(), size, offset)
        if len(data) < size:
            raise Rejected("cut off: the archive ends within it")
        return data

    return read
