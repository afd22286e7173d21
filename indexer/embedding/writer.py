"""The write side of an index run: buffers results and commits them in one transaction, shard file first, rows after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsearch.indexer.embedding.batch_sizes import MERGE_EVERY
from fsearch.indexer.embedding.hash_map import HashMap, halves, hash_prefix
from fsearch.indexer.embedding.source_snapshot import SourceSnapshot, VisitedItem
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.base import Item, Source
from fsearch.indexer.storage.catalog import Connection
from fsearch.indexer.storage.metadata import own_columns, write_metadata
from fsearch.indexer.storage.rows import insert, scalar, utc_now
from fsearch.indexer.storage.schema import DELETED_WITH_PIXELS
from fsearch.indexer.storage.shards import write_shard
from fsearch.indexer.workspace.store import Store

_COLUMNS = 10_000  # of the user's own
_MARK_REJECTED = "UPDATE images SET status = 'missing' WHERE source = ? AND key IN (SELECT unnest(?::VARCHAR[]))"
_MARK_MISSING = "UPDATE images SET status = 'missing' WHERE image_id IN (SELECT unnest(?::BIGINT[]))"
_FORGET_REJECTED = "DELETE FROM rejected WHERE source = ? AND key IN (SELECT unnest(?::VARCHAR[]))"
_INSERT_SHARD = "INSERT INTO shards (shard, first_row, rows, sha256) VALUES (?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class RejectedItem:
    """An image that cannot be used, with the reason."""

    item: Item
    reason: str


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """A decoded image without its pixels.

    Attributes
    ----------
    sha256 : of the encoded content, in hexadecimal.
    size : (width, height) in pixels.
    bytes : length of the encoded content.
    """

    item: Item
    sha256: str
    size: tuple[int, int]
    bytes: int


class BatchWriter:
    """Buffered results of one source; `flush` makes them durable and visible at once.

    Attributes
    ----------
    snapshot : the images of the source as the workspace has them.
    changed, renamed : how many images were, so far.
    """

    def __init__(
        self,
        store: Store,
        source: Source,
        merge_every: int = MERGE_EVERY,
        also: Callable[[Connection], None] | None = None,
    ) -> None:
        """Read what the workspace has of `source`; `also` stores what belongs with the run, in its first commit."""
        self._store, self._source, self._schema, self._also = store, source.name, source.schema, also
        self.snapshot = SourceSnapshot(store.catalog, self._source, merge_every)
        with store.catalog.read() as con:
            rows = f"SELECT DISTINCT {halves('sha256')}, row AS value FROM images WHERE row IS NOT NULL"
            self._rows_by_hash = HashMap.read(con, rows, merge_every)
            self._next_id = scalar(con, "SELECT coalesce(max(image_id), -1) + 1 FROM images")
            self._next_row = scalar(con, "SELECT coalesce(sum(rows), 0) FROM shards")
            self._next_shard = scalar(con, "SELECT coalesce(max(shard), -1) + 1 FROM shards")
        self._rows: list[dict[str, Any]] = []
        self._rejects: list[dict[str, Any]] = []
        self._vectors: list[NDArray[np.float32]] = []
        self._metadata: list[dict[str, Any]] = []
        self._changed_ids: list[int] = []
        self._missing_ids: list[int] = []
        self._lost_rejects: list[str] = []
        self.columns: dict[str, None] = {}  # names of the user's own, as the source has them
        self.changed = 0
        self.renamed = 0

    @property
    def pending(self) -> int:
        """How many images that were met a flush would commit."""
        return max(len(self._rows) + len(self._rejects), len(self._metadata))

    def row_of(self, sha256: str) -> int | None:
        """The embedding row of content with this hash; None where it has none. Safe to call from any thread."""
        return self._rows_by_hash.get(hash_prefix(sha256))

    def add_metadata(self, item: Item, slot: int) -> None:
        """Add the metadata of an image that has an identity."""
        if item.metadata:
            self.columns |= dict.fromkeys(c for c, v in item.metadata.items() if not isinstance(v, bytes))
            if len(self.columns) > _COLUMNS:
                raise BadInputError(f"{self._source}: its images have more than {_COLUMNS:,} different columns")
            self._metadata.append({**own_columns(item.metadata), "image_id": self.snapshot.image_id(slot)})

    def add_embedding(self, image: ImageRecord, vector: NDArray[np.float32]) -> int:
        """Add an image with its new unit embedding, (dim,) float32; returns the embedding's row."""
        row = self._next_row + len(self._vectors)
        self._rows_by_hash[hash_prefix(image.sha256)] = row
        self._vectors.append(vector)
        self.add_image(image, row)
        return row

    def add_image(self, image: ImageRecord, row: int) -> None:
        """Add an image whose content has the embedding `row` already, committed or buffered."""
        item = image.item
        assert isinstance(item, VisitedItem)
        image_id, changed, renamed = self.snapshot.update(item, image.sha256, image.bytes, self._next_id)
        self._next_id = max(self._next_id, image_id + 1)
        self.renamed += renamed
        if changed:
            self.changed += 1
            self._changed_ids.append(image_id)
        self._rows.append(
            {
                "image_id": image_id,
                "source": self._source,
                "key": item.key,
                "sha256": image.sha256,
                "width": image.size[0],
                "height": image.size[1],
                "bytes": image.bytes,
                "mtime_ns": item.mtime_ns,
                "row": row,
                "status": "present",
                "indexed_at": utc_now(),
            }
        )
        self.add_metadata(item, item.slot)

    def identity(self, image: ImageRecord) -> int:
        """The identity of an image that was added."""
        assert isinstance(image.item, VisitedItem)
        return self.snapshot.image_id(image.item.slot)

    def reject(self, rejected: RejectedItem) -> None:
        """Add an image that cannot be used."""
        self._rejects.append(
            {
                "source": self._source,
                "key": rejected.item.key,
                "reason": rejected.reason,
                "bytes": rejected.item.size,
                "mtime_ns": rejected.item.mtime_ns,
                "rejected_at": utc_now(),
            }
        )

    def flush(self) -> None:
        """Commit the buffer. A crash before the end leaves the state before it."""
        if not (self.pending or self._missing_ids or self._lost_rejects or self._also):
            return
        shard = None
        if self._vectors:
            shard = write_shard(self._store.layout, self._next_shard, np.stack(self._vectors))
        with self._store.catalog.write() as con:
            if self._also:
                self._also(con)
            if shard:
                con.execute(_INSERT_SHARD, [shard.number, self._next_row, shard.rows, shard.sha256])
            for table in DELETED_WITH_PIXELS if self._changed_ids else ():  # a loss was that of other pixels
                con.execute(f"DELETE FROM {table} WHERE image_id IN (SELECT unnest(?::BIGINT[]))", [self._changed_ids])
            if self._rows:
                insert(con, "images", pa.Table.from_pylist(self._rows), replace=True)
                con.execute(_FORGET_REJECTED, [self._source, [row["key"] for row in self._rows]])
            if self._rejects:
                insert(con, "rejected", pa.Table.from_pylist(self._rejects), replace=True)
                con.execute(_MARK_REJECTED, [self._source, [row["key"] for row in self._rejects]])
            con.execute(_MARK_MISSING, [self._missing_ids])
            con.execute(_FORGET_REJECTED, [self._source, self._lost_rejects])
            write_metadata(con, self._metadata, self._schema)
        if shard:
            self._next_shard += 1
            self._next_row += shard.rows
        self._rows, self._rejects, self._vectors, self._changed_ids, self._metadata = [], [], [], [], []
        self._missing_ids, self._lost_rejects, self._also = [], [], None

    def mark_missing(self) -> int:
        """Mark images of this source that the run did not meet, with the next flush; how many were present before."""
        self._missing_ids = self.snapshot.missing_ids()
        with self._store.catalog.read() as con:
            rejected = con.execute("SELECT key FROM rejected WHERE source = ?", [self._source])
            keys = iter(rejected.fetchone, None)
            self._lost_rejects = [key for (key,) in keys if not self.snapshot.was_seen(key)]
        return len(self._missing_ids)
