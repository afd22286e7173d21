"""Is a file what FAISS writes of the kinds that we construct? Looked at before FAISS reads it.

FAISS believes what a file says of sizes, kinds and nested indexes, and reads memory of others where that is wrong. So
every field that is a size must agree with the others and with the length of the file; what is left are vectors, codes
and row numbers, which no size depends on. The layout is that of faiss/impl/index_write.cpp.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.storage.regular_files import open_regular

_FLAT, _IVF_SQ, _IVF_PQ, _LISTS = b"IxFI", b"IwSq", b"IwPQ", b"ilar"
_UNUSED = 1 << 20  # two fields that FAISS no longer uses
_INNER_PRODUCT = 0
_QUANTIZERS = {4: (2, 0), 0: (1, 2)}  # of fp16 and 8 bit: bytes and trained floats a dimension
_CENTROIDS = 256  # of each part of a product code


class _OddError(ValueError):
    """The file is not as FAISS writes it."""


def is_sound(path: Path, rows: int, dim: int) -> bool:
    """Whether the file holds an index of at most `rows` vectors of length `dim`, of a kind that `make` constructs.

    Headers and sizes are read, no vector.
    """
    try:
        with open_regular(path) as file:
            _Parser(file, dim).index(rows)
    except (OSError, ValueError, struct.error):
        return False
    return True


class _Parser:
    """Reads a file from its beginning. Raises _OddError, or struct.error where it ends early."""

    def __init__(self, file: IO[bytes], dim: int) -> None:
        self._file, self._dim = file, dim
        self._size = os.fstat(file.fileno()).st_size

    def index(self, rows: int) -> None:
        kind = self._file.read(4)
        count = self._header()
        _require(count <= rows)
        if kind == _FLAT:
            self._floats(count * self._dim)
        elif kind in (_IVF_SQ, _IVF_PQ):
            lists, probes = self._take("<QQ")
            _require(1 <= probes <= lists <= self._size)
            _require(self._file.read(4) == _FLAT and self._header() == lists)
            self._floats(lists * self._dim)
            _require(self._take("<BQ") == (0, 0))  # no map from rows to lists
            code = self._scalar_codes() if kind == _IVF_SQ else self._product_codes()
            self._lists(lists, code, count)
        else:
            raise _OddError
        _require(self._file.tell() == self._size)

    def _header(self) -> int:
        """How many vectors an index has."""
        dim, count, *unused, trained, metric = self._take("<iqqqBi")
        _require(
            dim == self._dim and count >= 0 and unused == [_UNUSED] * 2 and (trained, metric) == (1, _INNER_PRODUCT)
        )
        return int(count)

    def _scalar_codes(self) -> int:
        """Bytes of a vector's code."""
        kind, _, _, dim, code = self._take("<iifQQ")
        _require(kind in _QUANTIZERS and dim == self._dim)
        size, trained = _QUANTIZERS[kind]
        _require(code == size * dim)
        self._floats(trained * dim)
        _require(self._take("<QB") == (code, 0))
        return int(code)

    def _product_codes(self) -> int:
        _, code, dim, parts, bits = self._take("<?QQQQ")
        _require(dim == self._dim and code == parts and 1 <= parts <= dim and dim % parts == 0 and bits == 8)
        self._floats(_CENTROIDS * dim)
        return int(code)

    def _lists(self, lists: int, code: int, count: int) -> None:
        _require(self._file.read(4) == _LISTS and self._take("<QQ") == (lists, code))
        form, fields = self._file.read(4), self._take("<Q")[0]
        _require(form in (b"full", b"sprs") and fields <= 2 * lists)
        numbers = self._numbers(fields)
        sizes = numbers
        if form == b"sprs":
            _require(fields % 2 == 0)
            places, sizes = numbers[0::2].astype(np.int64), numbers[1::2]
            _require(bool((places >= 0).all() and (places < lists).all() and (np.diff(places) > 0).all()))
        else:
            _require(fields == lists)
        _require(bool((sizes <= count).all()) and sum(sizes.tolist()) == count)
        self._skip(count * (code + 8))

    def _numbers(self, count: int) -> NDArray[np.uint64]:
        data = self._file.read(8 * count) if 8 * count <= self._size else b""
        _require(len(data) == 8 * count)
        return np.frombuffer(data, "<u8")

    def _floats(self, count: int) -> None:
        """Skip so many floats, whose number stands before them."""
        _require(self._take("<Q") == (count,))
        self._skip(4 * count)

    def _skip(self, count: int) -> None:
        _require(count <= self._size - self._file.tell())
        self._file.seek(count, os.SEEK_CUR)

    def _take(self, layout: str) -> tuple[int, ...]:
        return struct.unpack(layout, self._file.read(struct.calcsize(layout)))


def _require(holds: bool) -> None:
    if not holds:
        raise _OddError
