"""The transaction side of an index run: collects results and commits them, shard file first, rows after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsearch.indexer.embedding.hash_map import HashMap, halves, hash_prefix
from fsearch.indexer.embedding.source_snapshot import SourceSnapshot
from fsearch.indexer.sources.base import Item, Source
from fsearch.indexer.storage.catalog import insert, scalar, utc_now
from fsearch.indexer.storage.metadata import own_columns, write_metadata
from fsearch.indexer.storage.shards import write_shard
from fsearch.indexer.workspace.store import Store

_MARK_MISSING = "UPDATE images SET status = 'missing' WHERE source = ? AND key IN (SELECT unnest(?::VARCHAR[]))"
_MARK_GONE = "UPDATE images SET status = 'missing' WHERE image_id IN (SELECT unnest(?::BIGINT[]))"
_FORGET_REJECTED = "DELETE FROM rejected WHERE source = ? AND key IN (SELECT unnest(?::VARCHAR[]))"
_OF_PIXELS = ("losses", "predictions", "pending_losses", "prediction_errors")


@dataclass(frozen=True, slots=True)
class Refused:
    """An image that cannot be used, and why."""

    item: Item
    reason: str


@dataclass(frozen=True, slots=True)
class Seen:
    """An image whose content is embedded already; `size` is (width, height), `bytes` how long the content is."""

    item: Item
    sha256: str
    size: tuple[int, int]
    bytes: int


@dataclass(frozen=True, slots=True)
class Embedded:
    """An image and its new embedding, (dim,) float32."""

    image: Seen
    vector: NDArray[np.float32]


class BatchWriter:
    """Pending results of one source; `flush` makes them durable and visible at once.

    Attributes
    ----------
    known : the images of the source that are here already.
    changed, renamed : how many images were, so far.
    """

    def __init__(self, store: Store, described: Source) -> None:
        self._store, self._source, self._schema = store, described.name, described.schema
        self.known = SourceSnapshot(store.catalog, self._source)
        with store.catalog.read() as con:
            rows = f"SELECT DISTINCT {halves('sha256')}, row AS value FROM images WHERE row IS NOT NULL"
            self._rows_by_hash = HashMap.read(con, rows)
            self._next_id = scalar(con, "SELECT coalesce(max(image_id), -1) + 1 FROM images")
            self._next_row = scalar(con, "SELECT coalesce(sum(rows), 0) FROM shards")
            self._next_shard = scalar(con, "SELECT coalesce(max(shard), -1) + 1 FROM shards")
        self._rows: list[dict[str, Any]] = []
        self._rejects: list[dict[str, Any]] = []
        self._vectors: list[NDArray[np.float32]] = []
        self._metadata: list[dict[str, Any]] = []
        self._stale: list[int] = []
        self.changed = 0
        self.renamed = 0

    @property
    def pending(self) -> int:
        """How many images a flush would commit."""
        return max(len(self._rows) + len(self._rejects), len(self._metadata))

    def embedded(self, sha256: str) -> bool:
        """Whether there is an embedding of content with this hash. Any thread may ask."""
        return hash_prefix(sha256) in self._rows_by_hash

    def describe(self, item: Item) -> None:
        """Take the metadata of an image that is known."""
        if item.metadata:
            self._metadata.append({**own_columns(item.metadata), "image_id": self.known.image_id(item.key)})

    def add(self, embedded: Embedded) -> None:
        """Take a new embedding."""
        self._rows_by_hash[hash_prefix(embedded.image.sha256)] = self._next_row + len(self._vectors)
        self._vectors.append(embedded.vector)
        self.take(embedded.image)

    def take(self, image: Seen) -> None:
        """Take an image whose embedding there is, here or in an earlier shard."""
        item = image.item
        image_id, changed, renamed = self.known.take(item, image.sha256, image.bytes, self._next_id)
        self._next_id = max(self._next_id, image_id + 1)
        self.renamed += renamed
        if changed:
            self.changed += 1
            self._stale.append(image_id)
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
                "row": self._rows_by_hash.get(hash_prefix(image.sha256)),
                "status": "present",
                "indexed_at": utc_now(),
            }
        )
        self.describe(item)

    def refuse(self, refused: Refused) -> None:
        """Take an image that cannot be used."""
        self._rejects.append(
            {
                "source": self._source,
                "key": refused.item.key,
                "reason": refused.reason,
                "bytes": refused.item.size,
                "mtime_ns": refused.item.mtime_ns,
                "rejected_at": utc_now(),
            }
        )

    def flush(self) -> None:
        """Commit what is pending. A crash before the end of this leaves the state before it."""
        if not self.pending:
            return
        shard = None
        if self._vectors:
            shard = write_shard(self._store.layout, self._next_shard, np.stack(self._vectors))
        with self._store.catalog.write() as con:
            if shard:
                con.execute(
                    "INSERT INTO shards VALUES (?, ?, ?, ?)",
                    [shard.number, self._next_row, shard.rows, shard.sha256],
                )
            for table in _OF_PIXELS if self._stale else ():  # a loss was that of other pixels
                con.execute(f"DELETE FROM {table} WHERE image_id IN (SELECT unnest(?::BIGINT[]))", [self._stale])
            if self._rows:
                insert(con, "images", pa.Table.from_pylist(self._rows), replace=True)
                con.execute(_FORGET_REJECTED, [self._source, [row["key"] for row in self._rows]])
            if self._rejects:
                insert(con, "rejected", pa.Table.from_pylist(self._rejects), replace=True)
                con.execute(_MARK_MISSING, [self._source, [row["key"] for row in self._rejects]])
            write_metadata(con, self._metadata, self._schema)
        if shard:
            self._next_shard += 1
            self._next_row += shard.rows
        self._rows, self._rejects, self._vectors, self._stale, self._metadata = [], [], [], [], []

    def mark_missing(self) -> int:
        """Mark images of this source that were not met in this run; returns how many became so now."""
        gone = self.known.gone()
        with self._store.catalog.read() as con:
            refused = con.execute("SELECT key FROM rejected WHERE source = ?", [self._source])
            lost = [key for (key,) in iter(refused.fetchone, None) if not self.known.was_seen(key)]
        if gone or lost:
            with self._store.catalog.write() as con:
                con.execute(_MARK_GONE, [gone])
                con.execute(_FORGET_REJECTED, [self._source, lost])
        return len(gone)
