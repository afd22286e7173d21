"""The FAISS index over the shards: row i of the index is global row i of the shards.

It is derived, so a missing, damaged or lagging file is made again or topped up. What it does not hold yet is searched
in the shards themselves, so an answer is always of every committed row.
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
from fsearch.indexer.storage.vectors import Embeddings, Vectors, blocks
from fsearch.indexer.vector_index.build import placing
from fsearch.indexer.vector_index.exact_search import Found, Rows, Singles, merged, nothing, scan
from fsearch.indexer.vector_index.gpu import Searching
from fsearch.indexer.vector_index.spec import Kind, Name

_RANKED_AT_ONCE = 65_536  # candidates whose own vectors are read together


class VectorIndex:
    """Nearest neighbours by cosine among all of `vectors`."""

    def __init__(self, kind: Kind, index: faiss.Index, vectors: Embeddings, device: Device = "cpu") -> None:
        self.kind = kind
        self._device: Device = device
        self._searching = Searching(index, device)
        self._index: Any = index  # FAISS's stubs do not know all of it
        self.vectors = vectors
        self._lists: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        """How many vectors there are to find."""
        return len(self.vectors)

    @property
    def rows(self) -> int:
        """How many vectors the index itself holds."""
        return int(self._index.ntotal)

    @property
    def probes(self) -> int:
        """How many lists a query looks at; stored in the index file."""
        return int(getattr(self._index, "nprobe", 0))

    @probes.setter
    def probes(self, count: int) -> None:
        self._index.nprobe = count

    def add(self, blocks: Iterable[NDArray[np.float16]]) -> None:
        """Add rows in the order of the shards; each block is (n, dim)."""
        place = placing(self._index, self._device) if self.kind.lists else None
        for block in blocks:
            vectors = np.ascontiguousarray(block, dtype=np.float32)
            if place is None:
                self._index.add(vectors)
            else:
                places = place(vectors)
                self._index.add_core(len(vectors), faiss.swig_ptr(vectors), None, faiss.swig_ptr(places))
        self._lists = None

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
        fsync_folder(path.parent)

    def stored(self, start: int, rows: int) -> Singles:
        """(rows, dim) the vectors it holds, from row `start` on, as far as its codes keep them."""
        if self.kind.lists:
            self._index.make_direct_map()
        vectors: Singles = self._index.reconstruct_n(start, rows)
        return vectors

    def search(
        self, queries: Singles, k: int, allowed: NDArray[np.bool_] | None = None, *, probes: int | None = None
    ) -> Found:
        """The k nearest rows of each query.

        Parameters
        ----------
        queries : (q, dim) float32, unit rows.
        allowed : (rows,) bool; only these rows may be returned. None allows all.
        probes : lists to look at, where not those of the index.

        Returns
        -------
        similarities : (q, k) float32 cosines, highest first.
        rows : (q, k) int64 global rows. k shrinks to the number of allowed rows.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        k = min(k, len(self.vectors) if allowed is None else int(allowed.sum()))
        here = None if allowed is None else allowed[: self.rows]
        count = min(k, self.rows if here is None else int(here.sum()))
        found = self._indexed(queries, count, here, probes or self.probes) if count else nothing(len(queries))
        if self.rows < len(self.vectors):
            rest = scan(blocks(self.vectors, self.rows), queries, k, start=self.rows, allowed=allowed)
            found = merged(found, rest, k)
        return found

    def _indexed(self, queries: Singles, k: int, allowed: NDArray[np.bool_] | None, probes: int) -> Found:
        """The k nearest that the index itself holds; k is no more than it may return."""
        selector = None
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")
            selector = faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg,arg-type]
        if not self.kind.lists:
            return self._searching(queries, k, selector=selector)
        if allowed is not None:
            probes = self._probes_among(queries, allowed, probes)
        wanted = k if not self.kind.candidates else min(self.rows, int(np.ceil(k * self.kind.candidates)))
        return self._probed(queries, k, wanted, selector, probes)

    def _probed(self, queries: Singles, k: int, wanted: int, selector: faiss.IDSelector | None, probes: int) -> Found:
        """Look at `probes` lists; at twice as many for queries that found fewer than k there."""
        similarities, rows = self._searching(queries, wanted, probes=min(probes, self.kind.lists), selector=selector)
        if self.kind.candidates:
            similarities, rows = self._ranked_again(queries, rows)
        similarities, rows = similarities[:, :k], rows[:, :k]
        short = np.flatnonzero(rows[:, -1] < 0)
        if len(short) and probes < self.kind.lists:
            similarities[short], rows[short] = self._probed(queries[short], k, wanted, selector, 2 * probes)
        return similarities, rows

    def _ranked_again(self, queries: Singles, candidates: Rows) -> Found:
        """`candidates`, (q, n), in the order of their true cosines; places without one, -1, last."""
        similarities = np.full(candidates.shape, -np.inf, np.float32)
        at_once = max(1, _RANKED_AT_ONCE // candidates.shape[1])
        for first in range(0, len(queries), at_once):
            some = slice(first, first + at_once)
            rows = candidates[some]
            vectors = self.vectors[rows.clip(min=0).ravel()].astype(np.float32).reshape(*rows.shape, -1)
            similarities[some] = np.where(rows < 0, -np.inf, (vectors @ queries[some, :, None])[..., 0])
        order = np.argsort(-similarities, axis=1, kind="stable")
        return np.take_along_axis(similarities, order, axis=1), np.take_along_axis(candidates, order, axis=1)

    def _probes_among(self, queries: Singles, allowed: NDArray[np.bool_], probes: int) -> int:
        """How many lists must be looked at to see as many allowed rows as `probes` lists hold of all rows.

        A condition may leave few rows, and none of them in the lists nearest to a query; the recall that was measured
        without a condition holds with it only if as many rows are compared.
        """
        lists = self._lists_of_rows()
        sizes = np.bincount(lists[allowed], minlength=self.kind.lists)
        enough = min(int(allowed.sum()), round(self.rows / self.kind.lists * probes))
        centres = faiss.downcast_index(self._index.quantizer).reconstruct_n(0, self.kind.lists)
        nearest = np.argsort(-(queries @ centres.T), axis=1)
        seen = np.cumsum(sizes[nearest], axis=1)
        return int((seen < enough).sum(axis=1).max()) + 1

    def _lists_of_rows(self) -> NDArray[np.int32]:
        """(rows,) the list that each row is in."""
        if self._lists is None:
            lists = self._index.invlists
            self._lists = np.empty(self.rows, np.int32)
            for number in range(self.kind.lists):
                if size := lists.list_size(number):
                    self._lists[faiss.rev_swig_ptr(lists.get_ids(number), size)] = number
        return self._lists


def exact(vectors: Embeddings, dim: int, device: Device = "cpu") -> VectorIndex:
    """An exact index of `vectors`, (n, dim), that holds none of them itself yet."""
    return VectorIndex(Kind("exact", 0, 4 * dim), faiss.IndexFlatIP(dim), vectors, device)


def read(path: Path, vectors: Vectors, device: Device = "cpu", *, mapped: bool = False) -> VectorIndex | None:
    """The index at `path`; None where the file is missing, damaged, or not of these vectors.

    `mapped` leaves inverted lists on disk: it opens at once, and cannot be added to.
    """
    try:
        index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if mapped else 0)
    except RuntimeError:
        return None
    kind = _kind(index)
    rows, dim = vectors.shape
    if kind is None or index.d != dim or index.ntotal > rows:
        return None
    return VectorIndex(kind, index, vectors, device)


def _kind(index: faiss.Index) -> Kind | None:
    """The kind of an index that was read; None where it is none of ours."""
    dim = index.d
    if isinstance(index, faiss.IndexFlat):
        return Kind("exact", 0, 4 * dim)
    if isinstance(index, faiss.IndexIVFPQ):
        return Kind("ivf-pq", index.nlist, index.code_size)
    if isinstance(index, faiss.IndexIVFScalarQuantizer):
        name: Name = "ivf-fp16" if index.sq.qtype == faiss.ScalarQuantizer.QT_fp16 else "ivf-sq8"
        return Kind(name, index.nlist, index.code_size)
    return None
