"""Images in a zip or tar archive, read in place: nothing is unpacked to disk."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.archive_members import TarMember, ZipMember, check_member, is_plain_tar, open_zip
from fsearch.indexer.sources.base import UNKNOWN_KEY, Item, current, reject_duplicates, rejecting, sized_item
from fsearch.indexer.sources.decode import MAX_BYTES, RejectedImageError
from fsearch.indexer.sources.listing import LeftOut, is_image
from fsearch.indexer.sources.tar_stream import FREE, TIMES, open_plain, open_streamed
from fsearch.indexer.storage.regular_files import open_regular

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
    def _mtime_ns(self) -> int:
        return self.path.stat().st_mtime_ns

    @cached_property
    def _files(self) -> list[tuple[str, int, int]]:
        """Name, size and (in a plain tar) offset of every file."""
        if not self.path.is_file():
            raise BadInputError(f"no such archive: {self.path}")
        try:
            return self._zip_members() if self._is_zip else self._tar_members()
        except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise BadInputError(f"archive {self.path} cannot be read: {reason}") from error

    @cached_property
    def _members(self) -> dict[str, tuple[int, int]]:
        """Size and (in a plain tar) offset of each image, sorted by name."""
        images = sorted(m for m in self._files if is_image(m[0]))
        if not images:
            hints = "".join(f"; {note}" for note in self.notes)
            raise BadInputError(f"no images in the archive {self.path}{hints}")
        reject_duplicates([name for name, *_ in images], f"archive {self.path}")
        return {name: (size, offset) for name, size, offset in images}

    @property
    def notes(self) -> tuple[str, ...]:
        """Members that are no images."""
        left_out = LeftOut()
        for name, *_ in self._files:
            if not is_image(name):
                left_out.file(PurePosixPath(name).name)
        return left_out.notes()

    def keys(self) -> list[str]:
        """Names of the members that are images."""
        return list(self._members)

    def items(self) -> Iterator[Item]:
        """The members."""
        return map(self._item, self._members) if self._in_place else self._streamed(set(self._members))

    def read(self, key: str) -> bytes:
        """The content of one member. Raises RejectedImageError, see `Source.read`.

        A zip, and an uncompressed tar, are listed once and read in place. A compressed tar can only be read from its
        beginning, so that each call decompresses it up to the member, or to its end for a key that is not there.
        """
        with rejecting():
            source = current(self, [self.path])
            if source._in_place:
                item = source._item(key) if key in source._members else None
            else:
                item = next(source._streamed({key}), None) if is_image(key) else None
            if item is None:
                raise RejectedImageError(UNKNOWN_KEY)
            data = item.read()
            assert isinstance(data, bytes)
            return data

    @property
    def _is_zip(self) -> bool:
        return self.path.suffix.lower() == ".zip"

    @cached_property
    def _in_place(self) -> bool:
        """Whether members can be read where they lie; a compressed tar may be called .tar, too."""
        return self._is_zip or is_plain_tar(self.path)

    def _item(self, name: str) -> Item:
        size, offset = self._members[name]
        member = ZipMember(self.path, name, self._mtime_ns) if self._is_zip else TarMember(self.path, offset, size)
        return sized_item(name, member, size, self._mtime_ns)

    def _zip_members(self) -> list[tuple[str, int, int]]:
        archive = open_zip(self.path, self._mtime_ns)
        for name in archive.namelist():
            check_member(name, str(self.path))
        files = [i for i in archive.infolist() if not i.is_dir()]
        size, packed = sum(i.file_size for i in files), self.path.stat().st_size
        if size > max(FREE, TIMES * packed):
            raise zipfile.BadZipFile(f"it unpacks to more than {TIMES} times its size; unpack it, if you trust it")
        return [(i.filename, i.file_size, 0) for i in files]

    def _tar_members(self) -> list[tuple[str, int, int]]:
        found = []
        with open_plain(self.path) if self._in_place else self._stream() as tar:
            for member in tar:
                check_member(member.name, str(self.path))
                if member.isfile():
                    found.append((member.name, member.size, member.offset_data))
                elif member.issym() or member.islnk():  # a link is never followed, and is counted
                    found.append((f"{member.name} (link)", 0, 0))
                tar.members = []  # type: ignore[attr-defined]  # else it keeps every header
        return found

    @contextmanager
    def _stream(self) -> Iterator[tarfile.TarFile]:
        with open_regular(self.path) as file, open_streamed(file) as tar:
            yield tar

    def _streamed(self, wanted: set[str]) -> Iterator[Item]:
        """The `wanted` members of a compressed tar, decompressed in order: their bytes are taken as they pass."""
        with self._stream() as tar:
            for member in tar:
                check_member(member.name, str(self.path))
                if member.isfile() and member.name in wanted:
                    file = tar.extractfile(member) if member.size <= MAX_BYTES else None
                    data = file.read() if file else b""
                    yield sized_item(member.name, lambda data=data: data, member.size, self._mtime_ns)  # type: ignore[misc]
                tar.members = []  # type: ignore[attr-defined]  # else it keeps every header
