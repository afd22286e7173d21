"""Is a catalog made of what fsearch makes? Looked at before anything of it is read: it may come from somebody else.

DuckDB resolves a name to whatever a catalog has under it: a view in place of a table runs forever, a macro in place of
`count` says what it likes, a generated column or a check computes. So names of tables must be tables, of our columns
and types; functions are DuckDB's own (`SEARCH_PATH`); and views are made by us for each connection that asks one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsearch.indexer.errors import WorkspaceError
from fsearch.indexer.storage.schema import TABLES

SEARCH_PATH = "SET search_path = 'temp.main,system.main,{database}.main'"  # DuckDB's own functions before any macro
MAX_ROWS = 2_000_000_000  # in one table; a column of one value costs nothing on disk, and memory when it is read


def schema_version(settings: Mapping[str, object], where: Path) -> int:
    """The version of the schema. Raises WorkspaceError where it is no number."""
    text = settings.get("schema_version")
    if not isinstance(text, str) or not re.fullmatch("[0-9]{1,6}", text):
        raise WorkspaceError(f"{where} is no catalog of fsearch's: its schema_version is {str(text)[:40]!r}")
    return int(text)


def find_intruder(con: Any, *, writing: bool) -> str | None:
    """What a catalog holds in place of what fsearch makes, in a few words; None where there is nothing such.

    For `writing`, functions of its own are looked for too: statements that change the schema need its names first.
    """
    names = {t.name for t in TABLES}
    for (view,) in con.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall():
        if view in names:
            return f"a view called {view}, where a table should be"
    rows = con.execute("SELECT table_name, estimated_size FROM duckdb_tables() WHERE schema_name = 'main'").fetchall()
    for table, size in rows:
        if table in names and size > MAX_ROWS:
            return f"{size:,} rows in {table}"
    return _odd_column(con) or _odd_time(con) or (_own_function(con) if writing else None)


def _odd_column(con: Any) -> str | None:
    types = {(t.name, name): kind for t in TABLES for name, kind, _ in t.columns}
    names = {t.name for t in TABLES}
    query = "SELECT table_name, column_name, data_type, column_default FROM duckdb_columns() WHERE NOT internal"
    for table, column, kind, default in con.execute(query).fetchall():
        if table not in names:
            continue
        if default is not None:
            return f"a computed column {table}.{column}"
        if types.get((table, column), kind) != kind:
            return f"{table}.{column} as {kind[:40]}"
    checks = con.execute("SELECT table_name FROM duckdb_constraints() WHERE constraint_type = 'CHECK'").fetchall()
    return next((f"a check of its own on {table}" for (table,) in checks if table in names), None)


def _odd_time(con: Any) -> str | None:
    """A time of ours that Python has no name for; DuckDB looks at the least and greatest of each block."""
    found = con.execute("SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal").fetchall()
    there = set(found)
    times = [(t.name, name) for t in TABLES for name, kind, _ in t.columns if kind == "TIMESTAMP"]
    for table, column in times:
        if (table, column) not in there:  # of an older schema
            continue
        query = f"SELECT 1 FROM {table} WHERE \"{column}\" NOT BETWEEN '0001-01-02' AND '9999-12-30' LIMIT 1"
        if con.execute(query).fetchall():
            return f"a time that cannot be in {table}.{column}"
    return None


def _own_function(con: Any) -> str | None:
    query = "SELECT function_name FROM duckdb_functions() WHERE NOT internal LIMIT 1"
    return next((f"a function of its own, {name}" for (name,) in con.execute(query).fetchall()), None)
