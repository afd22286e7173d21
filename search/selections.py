"""Selections: parts of the images that somebody kept under a name, as on the map. The table `selections`.

SQL and `--where` find their images: `image_id IN (SELECT image_id FROM selections WHERE name = 'odd ones')`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.rows import insert, scalar, utc_now
from fsearch.indexer.storage.sql import literal
from fsearch.indexer.workspace.store import Store
from fsearch.search.short_turn import PATIENCE, in_turn

MAX_NAME = 100  # characters
MAX_SELECTIONS = 200  # of one workspace
_AT_ROWS = (
    "SELECT image_id FROM images JOIN (SELECT unnest(?::BIGINT[]) AS row) USING (row) WHERE status = 'present' "
    "ORDER BY image_id"
)
_LISTED = (
    "SELECT name, count(*) AS images, min(created_at) AS created_at FROM selections GROUP BY name "
    "ORDER BY created_at DESC, name"
)


def keep(store: Store, name: str, rows: NDArray[np.int64], patience: float = PATIENCE) -> str:
    """Store the images at some global `rows`, (n,), under a name, which is returned as it is stored.

    Raises BadInputError for no images, no name, or one that is taken, WorkspaceError where another writer does not end.
    """
    called = " ".join(name.split())
    if not 1 <= len(called) <= MAX_NAME or not called.isprintable():
        raise BadInputError(f"a selection has a name of at most {MAX_NAME} characters")
    if not len(rows):
        raise BadInputError("a selection holds images: draw a line round some")
    in_turn(lambda: _store(store, called, rows), patience)
    return called


def _store(store: Store, name: str, rows: NDArray[np.int64]) -> None:
    with store.writer(tidy=False), store.catalog.write() as con:
        if scalar(con, "SELECT count(*) FROM selections WHERE name = ?", [name]):
            raise BadInputError(f"there is a selection {name!r} already: give another name, or forget that one")
        if scalar(con, "SELECT count(DISTINCT name) FROM selections") >= MAX_SELECTIONS:
            raise BadInputError(f"there are {MAX_SELECTIONS} selections already: forget one")
        ids = [image_id for (image_id,) in con.execute(_AT_ROWS, [rows.tolist()]).fetchall()]
        kept = pa.table({"name": [name] * len(ids), "image_id": ids, "created_at": [utc_now()] * len(ids)})
        insert(con, "selections", kept)


def forget(store: Store, name: str, patience: float = PATIENCE) -> None:
    """Delete a selection; its images stay. Nothing happens where there is none."""

    def delete() -> None:
        with store.writer(tidy=False), store.catalog.write() as con:
            con.execute("DELETE FROM selections WHERE name = ?", [name])

    in_turn(delete, patience)


def listed(store: Store) -> list[dict[str, Any]]:
    """Every selection with the number of its images, the last one first."""
    found: list[dict[str, Any]] = store.catalog.sql(_LISTED).to_pylist()
    return [row | {"where": condition(row["name"])} for row in found]


def members(store: Store, name: str) -> NDArray[np.int64]:
    """(n,) rising image_ids of a selection. Raises BadInputError where there is none of that name."""
    query = "SELECT image_id FROM selections WHERE name = ? ORDER BY image_id"
    found = store.catalog.sql(query, [name])["image_id"].to_numpy()
    if not len(found):
        raise BadInputError(f"there is no selection {name!r}")
    return np.asarray(found, np.int64)


def found_name(store: Store, name: str) -> str:
    """The name of a selection as it is stored. Raises BadInputError where there is none, and says which there are."""
    called, names = " ".join(name.split()), [row["name"] for row in store.catalog.sql(_LISTED).to_pylist()]
    if called not in names:
        known = ", ".join(map(repr, names[:8])) or "none; keep one on the map of fsearch serve"
        raise BadInputError(f"there is no selection {name!r}; there are: {known}")
    return called


def condition(name: str) -> str:
    """The predicate of `--where` that the images of a selection fulfil."""
    return f"image_id IN (SELECT image_id FROM selections WHERE name = {literal(name)})"
