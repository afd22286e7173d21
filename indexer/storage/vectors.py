"""Every embedding of a workspace, read from its shards only as far as asked: an array that need not fit in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.storage.layout import Layout
from fsearch.indexer.storage.shards import DTYPE, Shard, read_shard

BLOCK = 65_536
_OPEN = 20_000  # shards kept mapped at once; the system's own limit is 65,530 mappings

Halves = NDArray[np.float16]


class Embeddings(Protocol):
    """An array (rows, dim), or what reads like one."""

    def __len__(self) -> int: ...

    def __getitem__(self, wanted: Any, /) -> Any: ...


def placed_blocks(embeddings: Embeddings, start: int = 0) -> Iterator[tuple[int, Any]]:
    """The rows of `embeddings` from `start` on, in order, BLOCK at a time, each with the position of its first."""
    for first in range(start, len(embeddings), BLOCK):
        yield first, embeddings[first : first + BLOCK]


def blocks(embeddings: Embeddings, start: int = 0) -> Iterator[Any]:
    """The same without positions."""
    return (block for _, block in placed_blocks(embeddings, start))


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows scaled to length one; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return np.asarray(scaled, np.float32)


class Vectors:
    """(rows, dim) float16: shards one under the other, or some of their rows.

    Slices, positions and masks give arrays that are copied into memory; everything else is left on disk.
    """

    def __init__(
        self, layout: Layout, shards: Sequence[Shard], dim: int, rows: NDArray[np.int64] | None = None
    ) -> None:
        self._layout, self._shards, self._dim, self._rows = layout, tuple(shards), dim, rows
        self._starts = np.cumsum([0, *(s.rows for s in shards)])
        self._mapped: dict[int, Halves] = {}

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and dimensions."""
        return (int(self._starts[-1]) if self._rows is None else len(self._rows), self._dim)

    def __len__(self) -> int:
        return self.shape[0]

    def at(self, rows: NDArray[np.int64]) -> Vectors:
        """Those rows alone, still on disk."""
        return Vectors(self._layout, self._shards, self._dim, rows if self._rows is None else self._rows[rows])

    def __getitem__(self, wanted: slice | NDArray[np.int64] | NDArray[np.bool_]) -> Halves:
        """Raises WorkspaceError where a shard is not what the catalog says."""
        if isinstance(wanted, slice) and self._rows is None:
            start, stop, step = wanted.indices(len(self))
            if step == 1:
                return np.concatenate([np.empty((0, self._dim), DTYPE), *self._span(start, stop)])
        rows: NDArray[Any] = np.arange(len(self))[wanted] if isinstance(wanted, slice) else np.asarray(wanted)
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return self._gather(rows if self._rows is None else self._rows[rows])

    def _span(self, start: int, stop: int) -> Iterator[Halves]:
        """Rows start to stop, shard by shard; none is left mapped."""
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        for i in range(first, len(self._shards)):
            here = int(self._starts[i])
            if here >= stop:
                return
            yield np.array(self._map(i)[max(0, start - here) : stop - here])

    def _gather(self, rows: NDArray[np.int64]) -> Halves:
        """(len(rows), dim), in the order asked; read in the order they lie in.

        One by one: a few rows of as many shards are wanted more often than many of one.
        """
        found = np.empty((len(rows), self._dim), DTYPE)
        order = np.argsort(rows, kind="stable")
        shards = np.searchsorted(self._starts, rows[order], side="right") - 1
        inside = rows[order] - self._starts[shards]
        for place, shard, row in zip(order.tolist(), shards.tolist(), inside.tolist(), strict=True):
            found[place] = self._kept(shard)[row]
        return found

    def _kept(self, number: int) -> Halves:
        """One shard, left mapped for the next question."""
        if number not in self._mapped:
            if len(self._mapped) >= _OPEN:
                self._mapped.clear()
            self._mapped[number] = self._map(number).view(np.ndarray)  # a memmap's own indexing takes long
        return self._mapped[number]

    def _map(self, number: int) -> Halves:
        return read_shard(self._layout, self._shards[number], self._dim)
