"""The character encoding of a text file: declared by a byte order mark, proved for UTF-8, else detected."""

from __future__ import annotations

import codecs
import io
import re
from pathlib import Path
from typing import Any

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.regular_files import open_regular, read_regular

_CHUNK = 2**20
_MAX_SHORT = 2**26  # bytes of a list of names
UNPACKED_FREE, _UNPACKED_TIMES = 2**31, 200  # bytes that are always unpacked; beyond, so many times the file's size
_SAMPLE = 2**16  # bytes of the lines with other than ASCII from which an encoding is detected
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHERS = (
    *("cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp932", "gb18030", "big5", "cp949"),
    *("mac_roman", "cp850", "cp437", "koi8_r"),
)
_FOREIGN = {b"PAR1": "Parquet", b"PK\x03\x04": "a spreadsheet or zip", b"\x1f\x8b": "gzip", b"\x89PNG": "an image"}


def open_bytes(path: Path) -> Any:
    """The file as a stream of bytes, decompressed where its name ends in .gz.

    Reading raises BadInputError where that makes far more of it than tables hold.
    """
    open_regular(path).close()
    if not path.name.lower().endswith(".gz"):
        return pa.input_stream(str(path), compression=None)
    return io.BufferedReader(_Unpacked(path), _CHUNK)


class _Unpacked(io.RawIOBase):
    """A gzip file's content."""

    def __init__(self, path: Path) -> None:
        self._path, self._stream, self._count = path, pa.input_stream(str(path), compression="gzip"), 0
        self._most = max(UNPACKED_FREE, _UNPACKED_TIMES * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        self._count += len(data)
        if self._count > self._most:
            raise BadInputError(
                f"{self._path} unpacks to more than {_UNPACKED_TIMES} times its size; unpack it, if you trust it"
            )
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()


def detect_encoding(path: Path) -> str:
    """Python's name of the encoding of the text file `path`, which is read once.

    UTF-8 is proved by decoding all of it. Raises BadInputError for a file that is no text.
    """
    with open_bytes(path) as stream:
        head = bytes(stream.read(_CHUNK))
        for magic, kind in _FOREIGN.items():
            if head.startswith(magic):
                raise BadInputError(f"{path} is no text but {kind}; save it as CSV, or name it after what it is")
        marked = next((name for mark, name in _MARKS if head.startswith(mark)), None) or _utf16(head)
        if marked:
            return marked
        decoder = codecs.getincrementaldecoder("utf-8")()
        sample, valid, chunk = b"", True, head
        while chunk:
            if b"\0" in chunk:
                raise BadInputError(f"{path} is no text: it holds a zero byte")
            if valid and not chunk.isascii():
                valid = _decodes(decoder, chunk)
            if not valid and len(sample) < _SAMPLE:
                sample += b"\n".join(line for line in chunk.splitlines() if not line.isascii())
            chunk = bytes(stream.read(_CHUNK))
        if valid and _decodes(decoder, b"", final=True):
            return "utf-8"
    return _detect(sample[:_SAMPLE], path)


def encoding_name(encoding: str) -> str:
    """An encoding as people write it."""
    name = encoding.removesuffix("-sig").removesuffix("-le").removesuffix("-be")
    return name.upper() if name.startswith("utf") else name


def decode_text(path: Path) -> str:
    """The whole of a short text file, such as a list of names. Raises BadInputError, OSError."""
    encoding = detect_encoding(path)
    try:
        return read_regular(path, _MAX_SHORT).decode(encoding)
    except UnicodeDecodeError as error:
        raise BadInputError(f"{path} is no text in {encoding}: {error.reason}") from error


def _decodes(decoder: Any, data: bytes, final: bool = False) -> bool:
    try:
        decoder.decode(data, final)
    except UnicodeDecodeError:
        return False
    return True


def _utf16(head: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of Western text is zero."""
    sample = head[:4096]
    for start, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        zeros, others = sample[start::2].count(0), sample[1 - start :: 2].count(0)
        if zeros > 8 and zeros > 0.6 * len(sample) / 2 and not others:
            return name
    return None


def _detect(sample: bytes, path: Path) -> str:
    """The encoding of bytes that are no UTF-8: Windows' Western one where that gives words, else detected."""
    if _western(sample):
        return "cp1252"
    import charset_normalizer

    best = charset_normalizer.from_bytes(sample, cp_isolation=list(_OTHERS)).best()
    if best is None:
        raise BadInputError(f"{path}: its character encoding cannot be told; save it as UTF-8")
    return str(best.encoding)


def _western(sample: bytes) -> bool:
    """Whether the bytes beyond ASCII are single letters of words, or signs, in cp1252: `café`, `Maße`, `5 €`."""
    try:
        text = sample.decode("cp1252")
    except UnicodeDecodeError:
        return False
    letters = r"[^\W\d_]"
    words = [w for w in re.findall(rf"{letters}+", text) if not w.isascii()]
    signs = re.findall(r"[^\x00-\x7f]", re.sub(r"[^\W\d_]", "", text))
    odd = sum(bool(re.search(r"[^\x00-\x7f]{3}|[a-z][À-ÞŠŽŒŸ]|ƒ", w)) for w in words)
    return odd <= 0.05 * len(words) and all(s in "€‘’“”–—…•°²³µ·½¼¾×÷§«»¿¡£¥©®™ºª" for s in signs)
