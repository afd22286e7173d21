"""Images in a zip or tar archive, read in place: nothing is unpacked to disk."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.archive_members import TarMember, ZipMember, check_member, open_zip
from fsearch.indexer.sources.base import Item, reject_duplicates, sized_item
from fsearch.indexer.sources.decode import MAX_BYTES
from fsearch.indexer.sources.folder import is_image

TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
SUFFIXES = (".zip", *TARS)


@dataclass(frozen=True)
class Archive:
    """The image files in one archive; a key is a member's name.

    Raises BadInputError where it has none, or is damaged.
    """

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
            raise BadInputError(f"no such archive: {self.path}")
        try:
            found = self._zip_members() if self._is_zip else self._tar_members()
        except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
            raise BadInputError(f"archive {self.path} cannot be read: {str(error).splitlines()[0]}") from error
        images = sorted(m for m in found if is_image(m[0]))
        if not images:
            raise BadInputError(f"no images in the archive {self.path}")
        reject_duplicates([name for name, *_ in images], f"archive {self.path}")
        return images

    def keys(self) -> list[str]:
        """Names of the members that are images."""
        return [name for name, *_ in self._members]

    def items(self) -> Iterator[Item]:
        """The members."""
        if self._is_zip:
            for name, size, _ in self._members:
                yield sized_item(name, ZipMember(self.path, name, self._changed), size, self._changed)
        elif self.path.suffix.lower() == ".tar":
            for name, size, offset in self._members:
                yield sized_item(name, TarMember(self.path, offset, size), size, self._changed)
        else:
            yield from self._compressed()

    @property
    def _is_zip(self) -> bool:
        return self.path.suffix.lower() == ".zip"

    def _zip_members(self) -> list[tuple[str, int, int]]:
        archive = open_zip(self.path, self._changed)
        for name in archive.namelist():
            check_member(name, str(self.path))
        return [(i.filename, i.file_size, 0) for i in archive.infolist() if not i.is_dir()]

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
