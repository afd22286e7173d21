"""The FAISS index over the shards: exact inner product on unit vectors. The one file that imports faiss.

The index is derived: its row i is global row i of the shards, so a missing, damaged or lagging file is rebuilt or
topped up.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.errors import WorkspaceError
from fsearch.indexer.layout import sync_folder

_log = logging.getLogger(__name__)


class VectorIndex:
    """Nearest neighbours by cosine among the rows added so far."""

    def __init__(self, dim: int) -> None:
        self._index: faiss.Index = faiss.IndexFlatIP(dim)

    @property
    def rows(self) -> int:
        """How many vectors the index holds."""
        return int(self._index.ntotal)

    @classmethod
    def read(cls, path: Path, dim: int) -> VectorIndex | None:
        """The index at `path`; None where the file is missing, damaged, or of another dimension."""
        index = cls(dim)
        try:
            index._index = faiss.read_index(str(path))
        except RuntimeError:
            return None
        return index if index._index.d == dim else None

    @classmethod
    def load(cls, path: Path, dim: int, rows: int) -> VectorIndex:
        """The index at `path`; an empty one where the file is missing, damaged, or not of these shards."""
        index = cls.read(path, dim)
        if index is None and path.exists():
            _log.warning("%s is damaged; it is rebuilt from the shards", path)
        return index if index is not None and index.rows <= rows else cls(dim)

    def add(self, blocks: Iterable[NDArray[np.float16]]) -> None:
        """Add rows in the order of the shards; each block is (n, dim)."""
        for block in blocks:
            self._index.add(np.ascontiguousarray(block, dtype=np.float32))

    def save(self, path: Path) -> None:
        """Write the index aside, then move it into place. Raises WorkspaceError where there is no room for it."""
        part = path.with_name(path.name + ".part")
        try:
            faiss.write_index(self._index, str(part))
        except RuntimeError as error:
            part.unlink(missing_ok=True)
            raise WorkspaceError(f"{path} could not be written (is the disk full?); all else was kept") from error
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
        sync_folder(path.parent)

    def stored(self, start: int, rows: int) -> NDArray[np.float32]:
        """(rows, dim) the vectors it holds, from row `start` on."""
        vectors: NDArray[np.float32] = self._index.reconstruct_n(start, rows)
        return vectors

    def search(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k nearest rows of each query.

        Parameters
        ----------
        queries : (q, dim) float32, unit rows.
        allowed : (rows,) bool; only these rows may be returned. None allows all.

        Returns
        -------
        similarities : (q, k) float32 cosines, highest first.
        rows : (q, k) int64 global rows. k shrinks to the number of allowed rows.
        """
        parameters = None
        if allowed is not None:
            k = min(k, int(allowed.sum()))
            bits = np.packbits(allowed, bitorder="little")
            parameters = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))  # type: ignore[call-arg,arg-type]
        k = min(k, self.rows)
        if k == 0:
            return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        return self._index.search(np.ascontiguousarray(queries, np.float32), k, params=parameters)
