"""Integrity check of a workspace: every file and row is read once, and nothing is changed; `repair` does that."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fsearch.indexer.errors import WorkspaceError
from fsearch.indexer.storage.catalog import fault
from fsearch.indexer.storage.files import file_sha256
from fsearch.indexer.storage.schema import DELETED_WITH_IMAGE, TABLES
from fsearch.indexer.storage.shards import Shard, intact, orphans, read_shard
from fsearch.indexer.vector_index.index import read_index
from fsearch.indexer.vector_index.index_stats import read_stats
from fsearch.indexer.workspace.store import Store

Part = Literal["catalog", "shard", "row", "index", "leftover", "fit"]
UNUSABLE_LOSS = "loss IS NULL OR NOT isfinite(loss) OR abs(loss) > 1e150"  # the square of which is no number
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes
    ----------
    part : what kind of thing.
    where : the file or table.
    what : what is wrong with it, in a few words.
    number : of the shard, where it is one.
    """

    part: Part
    where: str
    what: str
    number: int | None = None

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def find_problems(store: Store, progress: Progress | None = None) -> list[Problem]:
    """Every problem of the workspace, its ensembles apart; empty where there is none."""
    found = list(_catalog(store))
    if found:
        return found  # rows that cannot be read say nothing of files
    shards = store.shards()
    sound = []
    for i, shard in enumerate(shards):
        if intact(store.layout, shard, store.encoder.dim):
            sound.append(shard)
        else:
            there = store.layout.shard(shard.number).exists()
            what = "its bytes are not those that were committed" if there else "the file is gone"
            found.append(Problem("shard", str(store.layout.shard(shard.number)), what, shard.number))
        if progress:
            progress(i + 1, len(shards))
    found += _rows(store, shards)
    found += [Problem("leftover", str(p), "no transaction names it") for p in orphans(store.layout, shards)]
    return found + list(_index(store, shards, sound))


def _catalog(store: Store) -> Iterator[Problem]:
    """Each table must be readable to its last row: DuckDB checks its blocks' sums as it reads them."""
    where = str(store.layout.catalog)
    try:
        with store.catalog.read() as con:
            for table in TABLES:
                reason = fault(con, f"SELECT max(hash(t)) FROM {table.name} t")
                if reason is not None:
                    yield Problem("catalog", where, f"table {table.name} cannot be read: {reason}")
    except WorkspaceError as error:
        yield Problem("catalog", where, str(error))


def _rows(store: Store, shards: list[Shard]) -> Iterator[Problem]:
    """Rows must refer to what is there."""
    total, where = sum(s.rows for s in shards), str(store.layout.catalog)
    with store.catalog.read() as con:

        def count(query: str, *parameters: object) -> int:
            return int(con.execute(query, list(parameters)).fetchall()[0][0])

        starts = [n for (n,) in con.execute("SELECT first_row FROM shards ORDER BY shard").fetchall()]
        if starts != [sum(s.rows for s in shards[:i]) for i in range(len(shards))]:
            yield Problem("row", where, "shards do not follow one another without a gap")
        lost = count(
            "SELECT count(*) FROM images WHERE status = 'present' AND (row IS NULL OR row < 0 OR row >= ?)", total
        )
        if lost:
            yield Problem("row", where, f"{lost:,} images have no embedding")
        twice = count("SELECT count(*) FROM (SELECT 1 FROM images GROUP BY source, key HAVING count(*) > 1)")
        if twice:
            yield Problem("row", where, f"{twice:,} images are there twice")
        unusable = count(f"SELECT count(*) FROM losses WHERE {UNUSABLE_LOSS}")
        if unusable:
            yield Problem("row", where, f"{unusable:,} losses are no numbers, or too large to compute with")
        for table in DELETED_WITH_IMAGE:
            dangling = count(f"SELECT count(*) FROM {table} WHERE image_id NOT IN (SELECT image_id FROM images)")
            if dangling:
                yield Problem("row", where, f"{dangling:,} rows of {table} are of no image")


def _index(store: Store, shards: list[Shard], sound: list[Shard]) -> Iterator[Problem]:
    """The index must hold the vectors of the shards, to the bit; one of coarser codes must be what was saved.

    A missing or lagging one is no problem: it is made.
    """
    path, dim = store.layout.index, store.encoder.dim
    if not path.exists():
        return
    index = read_index(path, store.vectors())
    if index is None:
        yield Problem("index", str(path), "it cannot be read, or is not of these shards")
        return
    try:
        index.require_each_row()
    except WorkspaceError:
        yield Problem("index", str(path), "it does not hold each row once")
        return
    if not index.kind.lossless:
        known = read_stats(store.catalog)
        if known is not None and file_sha256(path) != known.sha256:
            yield Problem("index", str(path), "its bytes are not those that were saved")
        return
    start = 0
    for shard in shards:
        rows = min(shard.rows, index.rows - start)
        if rows > 0 and shard in sound:
            expected = read_shard(store.layout, shard, dim)[:rows].astype(np.float32)
            if not np.array_equal(index.reconstruct(start, rows), expected):
                yield Problem("index", str(path), f"its vectors are not those of shard {shard.number}")
                return
        start += shard.rows
