"""Votes: whether an image shows a phrase, as people who looked say. The table `votes`; a file that `--labels` reads.

A vote is one short turn of the one writer.
"""

from __future__ import annotations

from pathlib import Path

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.files import write_atomic
from fsearch.indexer.storage.rows import utc_now
from fsearch.indexer.workspace.store import Store
from fsearch.search.export import table_bytes
from fsearch.search.short_turn import PATIENCE, in_turn

MAX_PHRASE = 1_000  # characters
_FILE = (
    "SELECT i.key AS image, v.text AS label, CASE WHEN v.shows THEN 'yes' ELSE 'no' END AS shows, v.voted_at, i.source "
    "FROM votes v JOIN images i USING (image_id) ORDER BY v.text, v.image_id"
)


def vote(store: Store, text: str, image_id: int, shows: bool | None, patience: float = PATIENCE) -> None:
    """Store whether an image shows a phrase, in place of what was said of it before; None takes that back.

    Raises BadInputError for no phrase or no image, WorkspaceError where another writer does not end in time.
    """
    phrase = text.strip()
    if not 1 <= len(phrase) <= MAX_PHRASE:
        raise BadInputError(f"a vote is about a phrase of at most {MAX_PHRASE:,} characters")
    in_turn(lambda: _store(store, phrase, image_id, shows), patience)


def _store(store: Store, phrase: str, image_id: int, shows: bool | None) -> None:
    with store.writer(tidy=False), store.catalog.write() as con:
        if not con.execute("SELECT image_id FROM images WHERE image_id = ?", [image_id]).fetchall():
            raise BadInputError(f"no image {image_id}")
        if shows is None:
            con.execute("DELETE FROM votes WHERE text = ? AND image_id = ?", [phrase, image_id])
            return
        row = [phrase, image_id, shows, utc_now()]
        con.execute("INSERT OR REPLACE INTO votes (text, image_id, shows, voted_at) VALUES (?, ?, ?, ?)", row)


def votes_on(store: Store, text: str) -> dict[int, bool]:
    """What was said of a phrase: image_id, and whether it shows it."""
    rows = store.catalog.sql("SELECT image_id, shows FROM votes WHERE text = ?", [text.strip()]).to_pylist()
    return {row["image_id"]: row["shows"] for row in rows}


def write_votes(store: Store, out: Path) -> int:
    """Write every vote to a .csv or .parquet file with the columns image, label and shows; how many.

    Raises BadInputError where there is none, or for another file.
    """
    kind = out.suffix.lower().lstrip(".")
    if kind not in ("csv", "parquet") or not out.parent.is_dir():
        raise BadInputError(f"{out}: give a .csv or .parquet file in a folder that exists")
    rows = store.catalog.sql(_FILE)
    if not rows.num_rows:
        raise BadInputError("there are no votes yet: fsearch serve has the buttons for them, beside each image")
    write_atomic(out, table_bytes(rows, kind))
    return int(rows.num_rows)
