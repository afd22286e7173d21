"""What is written through a connection: settings, views, comments and rows by column name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa

import fsearch
from fsearch.indexer.storage.schema import TABLES, VERSION, columns_of
from fsearch.indexer.storage.schema.views import VIEWS, OwnColumns
from fsearch.indexer.storage.sql import quoted

if TYPE_CHECKING:
    import duckdb


def version_settings() -> dict[str, str]:
    """The settings that say which schema the catalog has and which version of fsearch wrote it."""
    return {"schema_version": str(VERSION), "fsearch_version": fsearch.__version__}


def write_settings(con: duckdb.DuckDBPyConnection, values: Mapping[str, str]) -> None:
    """Insert or replace settings."""
    query = "INSERT OR REPLACE INTO settings (name, value) SELECT unnest(?), unnest(?)"  # executemany: 4 ms a row
    con.execute(query, [list(values), list(values.values())])


def make_views(con: duckdb.DuckDBPyConnection, only: Sequence[str] = ()) -> None:
    """Create or replace the views, so that they show the metadata columns there are now, with their comments.

    `only` are made for this connection alone, in place of those that the catalog has.
    """
    own = user_columns(con)
    for view in VIEWS:
        if only:
            if view.name in only:
                con.execute(view.ddl(own, temporary=True))
            continue
        con.execute(view.ddl(own))
        columns = [str(name) for name, *_ in con.execute(f"DESCRIBE {view.name}").fetchall()]
        for statement in view.comments(columns):
            con.execute(statement)


def user_columns(con: duckdb.DuckDBPyConnection) -> OwnColumns:
    """The user's own columns, as they are now."""

    def of(table: str, *ours: str) -> dict[str, str]:
        found = con.execute(f"DESCRIBE {table}").fetchall()
        return {str(name): str(kind) for name, kind, *_ in found if name not in ours}

    return OwnColumns(of("metadata", "image_id"), of("model_metadata", "model", "image_id"))


def comment_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Store what each table and column means in the catalog itself: duckdb_tables() and duckdb_columns() show it."""
    for table in TABLES:
        for statement in table.comments():
            con.execute(statement)


def insert(con: duckdb.DuckDBPyConnection, table: str, rows: pa.Table, *, replace: bool = False) -> None:
    """Insert `rows` into one of the schema's own tables, by column name; columns that `rows` lacks become null.

    `replace` replaces rows of the same key whole: DuckDB would keep the old value of a column that is not named.
    """
    verb = "INSERT OR REPLACE INTO" if replace else "INSERT INTO"
    values = {quoted(name): quoted(name) for name in rows.column_names}
    if replace:
        values |= {quoted(name): "NULL" for name in columns_of(table) if name not in rows.column_names}
    con.register("incoming", rows)
    con.execute(f"{verb} {quoted(table)} ({', '.join(values)}) SELECT {', '.join(values.values())} FROM incoming")
    con.unregister("incoming")


def scalar(con: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[object] = ()) -> int:
    """The one whole number that `query` returns."""
    ((value,),) = con.execute(query, list(parameters)).fetchall()  # to the end: a connection waits for what is left
    return int(value)


def utc_now() -> datetime:
    """Now, as the catalog's TIMESTAMP columns hold it: UTC without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)
