"""Rebuild derived data that `check` found damaged; quarantine what cannot be rebuilt.

Call inside `store.writer()`. Every step leaves the workspace no worse than it was if the next one is never reached.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.errors import WorkspaceError
from fsearch.indexer.storage.files import write_atomic
from fsearch.indexer.storage.inside import remove
from fsearch.indexer.storage.rows import scalar
from fsearch.indexer.storage.schema import DELETED_WITH_IMAGE
from fsearch.indexer.storage.shards import DTYPE, Shard, drop_orphans, encode, write_shard
from fsearch.indexer.vector_index.index import read_index
from fsearch.indexer.vector_index.index_stats import Texts
from fsearch.indexer.workspace.check import UNUSABLE_LOSS, Problem
from fsearch.indexer.workspace.store import Store


def repair(store: Store, problems: Sequence[Problem], texts: Texts | None = None) -> list[str]:
    """Repair `problems`; returns a line for each thing done. Raises WorkspaceError where the catalog is damaged.

    `texts` gives phrases to measure a new index with.
    """
    for problem in problems:
        if problem.part == "catalog":
            raise WorkspaceError(f"{problem}; it cannot be made again: index the images into a new workspace")
    done: list[str] = []
    quarantined = 0
    damaged = {p.number for p in problems if p.part == "shard"}
    start = 0
    for shard in store.shards():
        if shard.number in damaged:
            line = _restore(store, shard, start)
            quarantined += line is None
            done.append(line or _quarantine(store, shard, start))
        start += shard.rows
    if any(p.part == "row" for p in problems):
        done += _rows(store, start)
    if any(p.part == "leftover" for p in problems):
        done.append(f"{drop_orphans(store.layout, store.shards())} leftover files removed")
    if any(p.part == "index" for p in problems) or quarantined:
        remove(store.layout.index)
        store.sync_index(texts)
        done.append("the index was built anew from the shards")
    return done


def _restore(store: Store, shard: Shard, start: int) -> str | None:
    """Restore a shard from the index, if that has it to the bit; None where it has not."""
    path, data = store.layout.shard(shard.number), _from_index(store, shard, start)
    if data is None:
        return None
    if path.is_dir():
        remove(path)
    write_atomic(path, data)
    return f"{path} was restored from the index"


def _quarantine(store: Store, shard: Shard, start: int) -> str:
    """Move a shard's file aside, and mark its images as damaged: they must be embedded anew."""
    path = store.layout.shard(shard.number)
    aside = store.layout.aside(path.name)
    if path.exists() and not aside.exists():  # a repair that was stopped has put it there already
        aside.parent.mkdir(exist_ok=True)
        path.replace(aside)
    empty = write_shard(store.layout, shard.number, np.zeros((shard.rows, store.encoder.dim), DTYPE))
    with store.catalog.write() as con:
        lost = scalar(con, "SELECT count(*) FROM images WHERE row >= ? AND row < ?", [start, start + shard.rows])
        con.execute(
            "UPDATE images SET row = NULL, status = CASE WHEN status = 'present' THEN 'damaged' ELSE status END "
            "WHERE row >= ? AND row < ?",
            [start, start + shard.rows],
        )
        con.execute("UPDATE shards SET sha256 = ? WHERE shard = ?", [empty.sha256, shard.number])
    return f"{path} was set aside; {lost:,} images must be embedded anew: run fsearch index on their source again"


def _from_index(store: Store, shard: Shard, start: int) -> bytes | None:
    """The shard's content as the index has it; None unless it is what was committed, to the bit."""
    index = read_index(store.layout.index, store.vectors())
    if index is None or not index.kind.lossless or index.rows < start + shard.rows:
        return None
    try:
        vectors: NDArray[np.float32] = index.reconstruct(start, shard.rows)
    except WorkspaceError:
        return None
    data = encode(vectors)
    return data if hashlib.sha256(data).hexdigest() == shard.sha256 else None


def _rows(store: Store, total: int) -> list[str]:
    """Mark images without an embedding as damaged; delete rows that refer to no image."""
    done = []
    with store.catalog.write() as con:
        where = "status = 'present' AND (row IS NULL OR row < 0 OR row >= ?)"
        lost = scalar(con, f"SELECT count(*) FROM images WHERE {where}", [total])
        if lost:
            con.execute(f"UPDATE images SET row = NULL, status = 'damaged' WHERE {where}", [total])
            done.append(f"{lost:,} images must be embedded anew: run fsearch index on their source again")
        count = scalar(con, f"SELECT count(*) FROM losses WHERE {UNUSABLE_LOSS}")
        if count:
            con.execute(f"DELETE FROM losses WHERE {UNUSABLE_LOSS}")
            done.append(f"{count:,} losses that were no numbers removed; add them again: fsearch losses add")
        for table in DELETED_WITH_IMAGE:
            dangling = f"FROM {table} WHERE image_id NOT IN (SELECT image_id FROM images)"
            count = scalar(con, f"SELECT count(*) {dangling}")
            if count:
                con.execute(f"DELETE {dangling}")
                done.append(f"{count:,} rows of {table} that were of no image removed")
    return done
