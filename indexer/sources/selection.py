"""Part of a source: rows that satisfy a predicate, a random sample, the first rows."""

from __future__ import annotations

import hashlib
import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa
from PIL import Image

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.base import Item, Source
from fsearch.indexer.storage.sql import positions_where

_CHUNK = 256


@dataclass(frozen=True)
class Selection:
    """The selected items of `source`, in its order.

    Attributes
    ----------
    where : an SQL predicate on the source's own columns and `key`.
    sample : how many to draw at random, without replacement. An item is drawn by a hash of the seed and its key, so
        that a sample does not depend on order, and changes little as the source grows.
    limit : how many at most, from the beginning.
    """

    source: Source
    where: str | None = None
    sample: int | None = None
    seed: int = 0
    limit: int | None = None

    @property
    def name(self) -> str:
        """The source's."""
        return self.source.name

    @property
    def schema(self) -> pa.Schema | None:
        """The source's."""
        return self.source.schema

    @property
    def notes(self) -> tuple[str, ...]:
        """The source's."""
        return self.source.notes

    def keys(self) -> list[str] | None:
        """The selected keys; None where the source is a stream."""
        keys = self.source.keys()
        if keys is None or self.where is not None:
            return None if keys is None else self._selected_keys
        if self.sample is not None:
            keys = [k for k in keys if self._weight(k) <= self._threshold]
        return keys[: self.limit]

    def items(self) -> Iterator[Item]:
        """The selected items. Raises BadInputError where there is none."""
        found = self._matching()
        if self.sample is not None:
            found = (item for item in found if self._weight(item.key) <= self._threshold)
        count = 0
        for item in itertools.islice(found, self.limit):
            count += 1
            yield item
        if count == 0:
            raise BadInputError(
                f"no image of {self.name} fulfils --where {self.where!r}" if self.where else "no image asked for"
            )

    def read(self, key: str) -> bytes | Image.Image:
        """As the source: an image outside the selection can be read, too."""
        return self.source.read(key)

    @cached_property
    def _selected_keys(self) -> list[str]:
        return [item.key for item in self.items()]

    @cached_property
    def _threshold(self) -> bytes:
        """The greatest hash in the sample; memory is proportional to the sample, not to the source."""
        keys = self.source.keys() if self.where is None else None
        weights = (self._weight(k) for k in (keys if keys is not None else (i.key for i in self._matching())))
        return max(heapq.nsmallest(self.sample or 0, weights), default=b"")

    def _weight(self, key: str) -> bytes:
        return hashlib.blake2b(f"{self.seed}/{key}".encode("utf-8", "surrogateescape"), digest_size=16).digest()

    def _matching(self) -> Iterator[Item]:
        items = self.source.items()
        if self.where is None:
            yield from items
            return
        while chunk := list(itertools.islice(items, _CHUNK)):
            yield from (chunk[i] for i in positions_where(_table(chunk, self.schema), self.where))


def _table(items: list[Item], schema: pa.Schema | None) -> pa.Table:
    """The columns that a predicate may name: `key` and the metadata."""
    rows = [{"key": item.key, **item.metadata} for item in items]
    if schema is not None:
        return pa.Table.from_pylist(
            rows, schema=pa.schema([("key", pa.string()), *(f for f in schema if f.name != "key")])
        )
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: [row.get(name) for row in rows] for name in names})
