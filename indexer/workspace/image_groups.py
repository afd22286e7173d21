"""Which images of a workspace are repeats of one another: by a column that the user names, else by their embeddings.

The table `images` holds each image's group. It is brought up to date by every index run and fit; a column is read anew
each time, near-duplicates are searched only where an image has no group yet.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.catalog import Connection
from fsearch.indexer.storage.metadata import column_names, values_of
from fsearch.indexer.storage.rows import scalar, write_settings
from fsearch.indexer.storage.schema import columns_of
from fsearch.indexer.storage.sql import quoted
from fsearch.indexer.vector_index.exact_search import NearestImages
from fsearch.indexer.vector_index.near_duplicates import find_in
from fsearch.indexer.workspace.store import Store

NEAR_DUPLICATES = "near-duplicates"  # in place of a column: find them
_SETTING = "group_by"
_WRITE = (
    "UPDATE images SET group_id = g.id FROM ({}) g "
    "WHERE images.image_id = g.image_id AND images.group_id IS DISTINCT FROM g.id"
)


def grouped_by(store: Store) -> str | None:
    """The column that says which images are repeats; None where near-duplicates are found."""
    return store.catalog.settings().get(_SETTING) or None


def bring_up_to_date(store: Store, index: Callable[[], NearestImages], column: str | None = None) -> None:
    """Give every present image its group; see `prepared`. Call inside `store.writer()`."""
    write = prepared(store, index, column)
    if write is not None:
        with store.catalog.write() as con:
            write(con)


def prepared(
    store: Store, index: Callable[[], NearestImages], column: str | None = None
) -> Callable[[Connection], None] | None:
    """What gives every present image its group in a transaction; None where all have theirs.

    Parameters
    ----------
    index : opens the index; called only if near-duplicates must be searched.
    column : of the images or their metadata; NEAR_DUPLICATES for none; by default what was chosen before. Remembered.

    The function raises BadInputError where there is no such column, or it is empty.
    """
    with store.catalog.shared():
        before = grouped_by(store)
        chosen = before if column is None else None if column == NEAR_DUPLICATES else column
        with store.catalog.read() as con:
            missing = scalar(con, "SELECT count(*) FROM images WHERE status = 'present' AND group_id IS NULL")
    if chosen is None and not missing and before is None:
        return None
    labels = find_in(index(), live=_present_rows(store)) if chosen is None else None

    def write(con: Connection) -> None:
        if labels is None:
            _by_column(con, str(chosen))
        else:
            _by_vectors(con, labels)
        if chosen != before:
            write_settings(con, {_SETTING: chosen or ""})

    return write


def groups_of(store: Store, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) group_id of the images of some global `rows`, (n,) rising; an image without one is its own group."""
    query = (
        "SELECT row, min(coalesce(group_id, image_id)) AS id FROM images WHERE status = 'present' "
        "GROUP BY row ORDER BY row"
    )
    with store.catalog.read() as con:
        found = con.execute(query).fetchnumpy()  # pyarrow's own to_numpy imports pandas
    return np.asarray(found["id"][np.searchsorted(found["row"], rows)], np.int64)


def _present_rows(store: Store) -> NDArray[np.int64]:
    """(n,) rows that present images have, rising."""
    with store.catalog.read() as con:
        found = con.execute("SELECT DISTINCT row FROM images WHERE status = 'present' ORDER BY row").fetchnumpy()
    return np.asarray(found["row"], np.int64)


def _by_column(con: Connection, column: str) -> None:
    """Images of one value are one group; an image without a value is its own."""
    names = {name.lower(): name for name in [*columns_of("images"), *column_names(con)]}
    name = names.get(column.lower())
    if name is None:
        raise BadInputError(f"--group-by {column}: no such column of the images; there are: {', '.join(names)}")
    ours = name in columns_of("images")
    values = f"SELECT image_id, {quoted(name)} AS value FROM images" if ours else values_of(con, name)
    present = f"FROM images i LEFT JOIN ({values}) m USING (image_id) WHERE i.status = 'present'"
    if scalar(con, f"SELECT count(m.value) {present}") == 0:
        raise BadInputError(f"--group-by {column}: no image has a value in it")
    group = "CASE WHEN m.value IS NULL THEN i.image_id ELSE min(i.image_id) OVER (PARTITION BY m.value) END"
    con.execute(_WRITE.format(f"SELECT i.image_id, {group} AS id {present}"))


def _by_vectors(con: Connection, labels: NDArray[np.int64]) -> None:
    """Images of one of the `labels`, (rows,), are one group."""
    con.register("labels", pa.table({"row": np.arange(len(labels)), "label": labels}))
    group = "min(i.image_id) OVER (PARTITION BY l.label)"
    con.execute(
        _WRITE.format(
            f"SELECT i.image_id, {group} AS id FROM images i JOIN labels l USING (row) WHERE i.status = 'present'"
        )
    )
    con.unregister("labels")
