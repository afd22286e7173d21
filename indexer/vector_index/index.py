"""The FAISS index over the shards: row i of the index is global row i of the shards.

It is derived data: a missing or damaged file is rebuilt, a lagging one topped up. Rows that it does not hold yet are
searched in the shards themselves, so a result always covers every committed row.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.device import Device
from fsearch.indexer.errors import WorkspaceError
from fsearch.indexer.storage.files import fsync_folder
from fsearch.indexer.storage.inside import new_file, remove
from fsearch.indexer.storage.vectors import Embeddings, Vectors, blocks
from fsearch.indexer.vector_index.build import kind_of, list_assigner
from fsearch.indexer.vector_index.exact_search import Floats, Neighbors, Rows, empty_result, merge, scan
from fsearch.indexer.vector_index.file_format import is_sound
from fsearch.indexer.vector_index.gpu import Searcher
from fsearch.indexer.vector_index.spec import IndexKind

_RERANK_BATCH = 65_536  # candidates whose own vectors are read together
_DAMAGED = "index.faiss does not hold each row of its shards once; run: fsearch check --repair"


class VectorIndex:
    """Nearest neighbours by cosine among all of `vectors`."""

    def __init__(self, kind: IndexKind, index: faiss.Index, vectors: Embeddings, device: Device = "cpu") -> None:
        self.kind = kind
        self._device: Device = device
        self._searcher = Searcher(index, device)
        self._index: Any = index  # FAISS's stubs do not know all of it
        self.vectors = vectors
        self._list_of_row: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        """How many vectors can be found: those of the shards."""
        return len(self.vectors)

    @property
    def rows(self) -> int:
        """How many vectors the index itself holds."""
        return int(self._index.ntotal)

    @property
    def nprobe(self) -> int:
        """How many inverted lists a query probes; stored in the index file."""
        return int(getattr(self._index, "nprobe", 0))

    @nprobe.setter
    def nprobe(self, count: int) -> None:
        self._index.nprobe = count

    def add(self, blocks: Iterable[NDArray[np.float16]]) -> None:
        """Add rows in the order of the shards; each block is (n, dim)."""
        assign = list_assigner(self._index, self._device) if self.kind.nlist else None
        for block in blocks:
            vectors = np.ascontiguousarray(block, dtype=np.float32)
            if assign is None:
                self._index.add(vectors)
            else:
                lists = assign(vectors)
                self._index.add_core(len(vectors), faiss.swig_ptr(vectors), None, faiss.swig_ptr(lists))
        self._list_of_row = None

    def save(self, path: Path) -> None:
        """Replace the file at `path` atomically. Raises WorkspaceError where there is no space for it."""
        part = path.with_name(path.name + ".part")
        new_file(part).close()  # so that FAISS writes through no link
        try:
            faiss.write_index(self._index, str(part))
        except RuntimeError as error:
            remove(part)
            raise WorkspaceError(f"{path} could not be written (is the disk full?); all else was kept") from error
        with part.open("rb") as file:
            os.fsync(file.fileno())
        if path.is_dir():
            remove(path)
        part.replace(path)
        fsync_folder(path.parent)

    def reconstruct(self, start: int, rows: int) -> Floats:
        """(rows, dim) the vectors from row `start` on as decoded from their codes; lossless for some kinds only.

        Raises WorkspaceError where the index is damaged.
        """
        self.require_each_row()
        if self.kind.nlist:
            self._index.make_direct_map()
        vectors: Floats = self._index.reconstruct_n(start, rows)
        return vectors

    def require_each_row(self) -> None:
        """Raise WorkspaceError unless every row is in one list, once."""
        if self.kind.nlist:
            self._lists()

    def search(
        self, queries: Floats, k: int, allowed: NDArray[np.bool_] | None = None, *, nprobe: int | None = None
    ) -> Neighbors:
        """The k nearest rows of each query.

        Parameters
        ----------
        queries : (q, dim) float32, unit rows.
        allowed : (rows,) bool; only these rows may be returned. None allows all.
        nprobe : inverted lists to probe; by default as many as the index is tuned to.

        Returns
        -------
        similarities : (q, k) float32 cosines, highest first.
        rows : (q, k) int64 global rows. k shrinks to the number of allowed rows.

        Raises WorkspaceError where the index is damaged.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        k = min(k, len(self.vectors) if allowed is None else int(allowed.sum()))
        indexed = None if allowed is None else allowed[: self.rows]
        count = min(k, self.rows if indexed is None else int(indexed.sum()))
        found = self._found(queries, count, indexed, nprobe or self.nprobe) if count else empty_result(len(queries))
        if self.rows < len(self.vectors):
            rest = scan(blocks(self.vectors, self.rows), queries, k, start=self.rows, allowed=allowed)
            found = merge(found, rest, k)
        return found

    def _found(self, queries: Floats, k: int, allowed: NDArray[np.bool_] | None, nprobe: int) -> Neighbors:
        """As `_search`, of rows that there are: a file may have any numbers in its lists."""
        similarities, rows = self._search(queries, k, allowed, nprobe)
        if (rows < 0).any() or (rows >= self.rows).any() or not np.isfinite(similarities).all():
            raise WorkspaceError(_DAMAGED)
        return similarities, rows

    def _search(self, queries: Floats, k: int, allowed: NDArray[np.bool_] | None, nprobe: int) -> Neighbors:
        """The k nearest among the rows that the index itself holds; at least k of these are allowed."""
        selector = None
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg,arg-type]
        if not self.kind.nlist:
            return self._searcher(queries, k, selector=selector)
        if allowed is not None:
            nprobe = self._nprobe_under_filter(queries, allowed, nprobe)
        factor = self.kind.rerank_factor
        candidates = min(self.rows, int(np.ceil(k * factor))) if factor else k
        return self._probe(queries, k, candidates, selector, nprobe)

    def _probe(
        self, queries: Floats, k: int, candidates: int, selector: faiss.IDSelector | None, nprobe: int
    ) -> Neighbors:
        """Probe `nprobe` lists; twice as many for queries that found fewer than k there."""
        similarities, rows = self._searcher(queries, candidates, nprobe=min(nprobe, self.kind.nlist), selector=selector)
        if self.kind.rerank_factor:
            similarities, rows = self._rerank(queries, rows)
        similarities, rows = similarities[:, :k], rows[:, :k]
        short = np.flatnonzero(rows[:, -1] < 0)
        if len(short) and nprobe < self.kind.nlist:
            similarities[short], rows[short] = self._probe(queries[short], k, candidates, selector, 2 * nprobe)
        return similarities, rows

    def _rerank(self, queries: Floats, candidates: Rows) -> Neighbors:
        """`candidates`, (q, n) rows or -1 for none, sorted by exact cosine; -1 last."""
        similarities = np.full(candidates.shape, -np.inf, np.float32)
        per_batch = max(1, _RERANK_BATCH // candidates.shape[1])
        for first in range(0, len(queries), per_batch):
            batch = slice(first, first + per_batch)
            rows = candidates[batch]
            if (rows >= self.rows).any():
                raise WorkspaceError(_DAMAGED)
            vectors = self.vectors[rows.clip(min=0).ravel()].astype(np.float32).reshape(*rows.shape, -1)
            similarities[batch] = np.where(rows < 0, -np.inf, (vectors @ queries[batch, :, None])[..., 0])
        order = np.argsort(-similarities, axis=1, kind="stable")
        return np.take_along_axis(similarities, order, axis=1), np.take_along_axis(candidates, order, axis=1)

    def _nprobe_under_filter(self, queries: Floats, allowed: NDArray[np.bool_], nprobe: int) -> int:
        """How many lists must be probed to compare as many allowed rows as `nprobe` lists hold of all rows.

        A filter may leave few rows, and none of them in the lists nearest to a query; the recall that was measured
        without a filter holds with it only if as many rows are compared.
        """
        sizes = np.bincount(self._lists()[allowed], minlength=self.kind.nlist)
        enough = min(int(allowed.sum()), round(self.rows / self.kind.nlist * nprobe))
        centroids = faiss.downcast_index(self._index.quantizer).reconstruct_n(0, self.kind.nlist)
        nearest = np.argsort(-(queries @ centroids.T), axis=1)
        seen = np.cumsum(sizes[nearest], axis=1)
        return int((seen < enough).sum(axis=1).max()) + 1

    def _lists(self) -> NDArray[np.int32]:
        """(rows,) the number of the inverted list that each row is in. Raises WorkspaceError where one is in none."""
        if self._list_of_row is None:
            lists = self._index.invlists
            found = np.full(self.rows, -1, np.int32)
            for number in range(self.kind.nlist):
                if size := lists.list_size(number):
                    rows = faiss.rev_swig_ptr(lists.get_ids(number), size)
                    if rows.min() < 0 or rows.max() >= self.rows:
                        raise WorkspaceError(_DAMAGED)
                    found[rows] = number
            if (found < 0).any():
                raise WorkspaceError(_DAMAGED)
            self._list_of_row = found
        return self._list_of_row


def exact_index(vectors: Embeddings, dim: int, device: Device = "cpu") -> VectorIndex:
    """An exact index of `vectors`, (rows, dim), that holds none of them itself yet."""
    return VectorIndex(IndexKind("exact", 0, 4 * dim), faiss.IndexFlatIP(dim), vectors, device)


def read_index(path: Path, vectors: Vectors, device: Device = "cpu", *, mapped: bool = False) -> VectorIndex | None:
    """The index at `path`; None where the file is missing, damaged, or not of these vectors.

    `mapped` leaves inverted lists on disk: it opens at once, and cannot be added to. FAISS reads no file whose sizes
    are not checked; the numbers of rows in it are checked when they are used.
    """
    if not is_sound(path, *vectors.shape):
        return None
    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if mapped else 0)
    except RuntimeError:
        return None
    kind = kind_of(index)
    return None if kind is None else VectorIndex(kind, index, vectors, device)
