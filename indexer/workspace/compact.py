"""Reclaim space from orphaned embeddings, and drop the rows of missing images.

New shards are written beside the old ones, one transaction turns to them, then the old ones are deleted; a crash before
the transaction leaves the old state, after it the new.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsearch.indexer.storage.inside import remove
from fsearch.indexer.storage.rows import insert, scalar
from fsearch.indexer.storage.schema import DELETED_WITH_IMAGE
from fsearch.indexer.storage.shards import Shard, drop_orphans, read_shard, write_shard
from fsearch.indexer.vector_index.index_stats import Texts
from fsearch.indexer.workspace.store import Store

_COMPACTED_SHARD_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What was dropped, and the bytes of the workspace before and after. `fits` are the models to fit anew."""

    embeddings: int
    images: int
    bytes_before: int
    bytes_after: int
    fits: tuple[str, ...]


def compact(store: Store, texts: Texts | None = None) -> CompactReport:
    """Drop missing images with all that is theirs, and embeddings that no image uses. Call inside `store.writer()`.

    `texts` gives phrases to measure the new index with.
    """
    before = _size(store)
    shards = store.shards()
    total = sum(s.rows for s in shards)
    with store.catalog.read() as con:
        query = "SELECT DISTINCT row FROM images WHERE status <> 'missing' AND row IS NOT NULL ORDER BY row"
        kept = con.execute(query).fetchnumpy()["row"].astype(np.int64)
        gone = scalar(con, "SELECT count(*) FROM images WHERE status = 'missing'")
        fits = tuple(name for (name,) in con.execute("SELECT model FROM models ORDER BY model").fetchall())
    if len(kept) == total and not gone:
        return CompactReport(0, 0, before, before, ())
    try:
        written = _rewrite(store, shards, kept)
    except BaseException:  # a full disk gets back what was written
        drop_orphans(store.layout, shards)
        raise
    remove(store.layout.index)  # its rows are about to mean something else
    for name in fits:  # so are theirs
        for folder in store.layout.fit_folders(name):
            remove(folder)
    with store.catalog.write() as con:
        for table in DELETED_WITH_IMAGE:
            con.execute(f"DELETE FROM {table} WHERE image_id IN (SELECT image_id FROM images WHERE status = 'missing')")
        con.execute("DELETE FROM images WHERE status = 'missing'")
        con.execute("DELETE FROM models")
        con.execute("DELETE FROM predictions")
        con.register("moved", pa.table({"old": kept, "new": np.arange(len(kept))}))
        con.execute("UPDATE images SET row = moved.new FROM moved WHERE images.row = moved.old")
        con.unregister("moved")
        con.execute("DELETE FROM shards")
        starts = np.cumsum([0, *(s.rows for s in written)])[: len(written)].tolist()
        rows = [
            {"shard": s.number, "first_row": first, "rows": s.rows, "sha256": s.sha256}
            for s, first in zip(written, starts, strict=True)
        ]
        if rows:
            insert(con, "shards", pa.Table.from_pylist(rows))
    drop_orphans(store.layout, written)
    store.sync_index(texts)
    return CompactReport(total - len(kept), gone, before, _size(store), fits)


def _rewrite(store: Store, shards: list[Shard], kept: NDArray[np.int64]) -> list[Shard]:
    """Write the global rows `kept` into new shards, beside the old ones."""
    dim, total = store.encoder.dim, sum(s.rows for s in shards)
    number, start = max((s.number for s in shards), default=-1) + 1, 0
    written: list[Shard] = []
    pending: list[NDArray[np.float16]] = []
    for shard in shards:
        here = kept[(kept >= start) & (kept < start + shard.rows)] - start
        pending.append(np.asarray(read_shard(store.layout, shard, dim)[here]))
        start += shard.rows
        if sum(map(len, pending)) >= _COMPACTED_SHARD_ROWS or start == total:
            joined = np.concatenate(pending)
            if len(joined):
                written.append(write_shard(store.layout, number + len(written), joined))
            pending = []
    return written


def _size(store: Store) -> int:
    return sum(s.st_size for p in store.layout.root.rglob("*") if stat.S_ISREG((s := p.lstat()).st_mode))
