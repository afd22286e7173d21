"""Tar archives that may be anybody's: opened with bounds on headers, and on what decompression makes of them.

What comes after a damaged header is not lost without a word: it is an error.

A header of a header may claim gigabytes, which tarfile reads into memory; two megabytes of gzip may hold as many
gigabytes of zeros.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from fsearch.indexer.storage.regular_files import open_regular

FREE, TIMES = 2**28, 200  # bytes that are unpacked in any case; beyond, so many times what was read
_HEADER = 2**20  # bytes of a header of a header: a long name, or the fields of POSIX
_OF_HEADERS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME)
_MAGIC: tuple[tuple[bytes, Any], ...] = (
    (b"\x1f\x8b", lambda stream: gzip.GzipFile(fileobj=stream)),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ", lzma.LZMAFile),
    (b"\x5d\x00\x00\x80", lzma.LZMAFile),
)


class _Member(tarfile.TarInfo):
    """A member whose headers are small, and whole: tarfile takes a damaged one for the end of the archive."""

    @classmethod
    def frombuf(cls, block: Any, encoding: str, errors: str) -> Any:
        try:
            return super().frombuf(block, encoding, errors)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            if not any(block):  # cut off in the mark of the end, after all members
                raise tarfile.EOFHeaderError(str(error)) from error  # type: ignore[attr-defined]
            raise tarfile.ReadError(f"a damaged header: {error}") from error

    def _proc_member(self, tar: tarfile.TarFile) -> Any:
        if self.type in (*_OF_HEADERS, tarfile.GNUTYPE_LONGLINK) and self.size > _HEADER:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        try:
            return super()._proc_member(tar)  # type: ignore[misc]
        except RecursionError:
            raise tarfile.ReadError("headers of headers without an end") from None


@contextlib.contextmanager
def open_plain(path: Path) -> Iterator[tarfile.TarFile]:
    """An uncompressed tar. Raises OSError, tarfile.TarError where it is none."""
    with open_regular(path) as file, tarfile.open(fileobj=file, mode="r:", tarinfo=_Member) as tar:
        yield tar


@contextlib.contextmanager
def open_streamed(stream: IO[bytes]) -> Iterator[tarfile.TarFile]:
    """A tar, compressed or not, to be read once from its beginning. Raises as `open_plain`, EOFError and zlib.error."""
    counted = io.BufferedReader(_Counted(stream))
    head = counted.peek(8)
    unpack = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
    raw = counted.raw
    assert isinstance(raw, _Counted)
    content = counted if unpack is None else _Unpacked(unpack(counted), raw)
    with tarfile.open(fileobj=content, mode="r|", tarinfo=_Member) as tar:  # type: ignore[call-overload]
        yield tar


class _Counted(io.RawIOBase):
    """A stream, and how much of it was read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self.count = stream, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self.count += len(data)
        return len(data)


class _Unpacked:
    """What a decompressor makes of a stream, unless that is far more than images would make of it."""

    def __init__(self, content: Any, packed: _Counted) -> None:
        self._content, self._packed, self._count = content, packed, 0

    def read(self, size: int) -> bytes:
        try:
            data: bytes = self._content.read(size)
        except lzma.LZMAError as error:
            raise tarfile.ReadError(str(error)) from error
        self._count += len(data)
        if self._count > max(FREE, TIMES * self._packed.count):
            raise tarfile.ReadError(f"it unpacks to more than {TIMES} times its size; unpack it, if you trust it")
        return data
