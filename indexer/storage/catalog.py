"""The DuckDB catalog: short connections, one transaction a write, and read-only SQL. The one file that imports duckdb.

A connection is opened for each piece of work and closed after it (about a millisecond), because DuckDB lets readers in
only while no writer holds the file. So a query never waits longer than one commit.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb
import pyarrow as pa

from fsearch.indexer.errors import BadInputError, WorkspaceError
from fsearch.indexer.storage.layout import Layout
from fsearch.indexer.storage.schema import TABLES, VERSION
from fsearch.indexer.storage.schema.views import VIEWS
from fsearch.indexer.storage.sql import SAFE, check_select, error_line, quoted

_PATIENCE = 30.0  # seconds to wait for another process's commit

Connection = duckdb.DuckDBPyConnection


@dataclass(frozen=True, slots=True)
class Catalog:
    """The catalog of the workspace at `layout`."""

    layout: Layout

    def create(self, settings: dict[str, str]) -> None:
        """Make the file with every table and view. It appears complete or not at all."""
        part = self.layout.catalog.with_name("catalog.part")
        part.unlink(missing_ok=True)
        try:
            with duckdb.connect(str(part), config=dict(SAFE)) as con:
                con.begin()
                for table in TABLES:
                    con.execute(table.ddl())
                make_views(con)
                rows = [("schema_version", str(VERSION)), *settings.items()]
                con.executemany("INSERT INTO settings VALUES (?, ?)", rows)
                con.commit()
                con.execute("CHECKPOINT")  # closing would do it too, but would not say where it fails
        except duckdb.Error as error:
            raise WorkspaceError(f"{self.layout.root} cannot hold a workspace: {error_line(error)}") from error
        part.replace(self.layout.catalog)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A read-only connection to the last committed state, without access to files or network."""
        con = self._connect(read_only=True)
        try:
            yield con
        finally:
            con.close()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A connection inside one transaction: committed on leaving, rolled back on any error."""
        con = self._connect(read_only=False)
        try:
            con.begin()
            yield con
            con.commit()
        except duckdb.Error as error:
            raise WorkspaceError(f"{self.layout.catalog} could not be written: {error_line(error)}") from error
        finally:
            con.close()  # rolls back what was not committed

    def settings(self) -> dict[str, str]:
        """What the workspace is. Raises WorkspaceError where a newer fsearch made it, or no fsearch did."""
        with self.read() as con:
            try:
                rows = dict(con.execute("SELECT name, value FROM settings").fetchall())
            except duckdb.Error as error:
                raise WorkspaceError(f"{self.layout.catalog} is no catalog of fsearch's") from error
        version = int(rows.get("schema_version", 0))
        if version > VERSION:
            raise WorkspaceError(
                f"{self.layout.root} was made by a newer fsearch (schema {version}; this one knows {VERSION}): upgrade"
            )
        return rows

    def sql(self, query: str, parameters: Sequence[object] = ()) -> pa.Table:
        """Run one SELECT or EXPLAIN and return its rows. Raises BadInputError for anything else and for wrong SQL."""
        check_select(query)
        with self.read() as con:
            try:
                return con.sql(query, params=list(parameters)).to_arrow_table()
            except duckdb.Error as error:
                raise BadInputError(f"SQL: {error_line(error)}") from error

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait for one's turn to open the catalog. Where its lock may not be written, no writer waits."""
        try:
            gate = os.open(self.layout.gate, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError:
            yield
            return
        try:
            fcntl.flock(gate, fcntl.LOCK_EX)
            yield
        finally:
            os.close(gate)

    def _connect(self, *, read_only: bool) -> Connection:
        with self._turn():
            return self._open(read_only=read_only)

    def _open(self, *, read_only: bool) -> Connection:
        path = self.layout.catalog
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                return duckdb.connect(str(path), read_only=read_only, config=dict(SAFE))
            except duckdb.IOException as error:
                if "lock" not in str(error).lower():
                    raise WorkspaceError(f"{path} is damaged: {error_line(error)}") from error
                if time.monotonic() > deadline:
                    raise WorkspaceError(f"{path} is held by another process: {error_line(error)}") from error
                time.sleep(0.01)
            except duckdb.Error as error:
                raise WorkspaceError(f"{path} is damaged: {error_line(error)}") from error


def make_views(con: Connection) -> None:
    """Make the views anew, so that they show the metadata columns there are now."""
    labelled = any(str(name).lower() == "label" for name, *_ in con.execute("DESCRIBE metadata").fetchall())
    for view in VIEWS:
        con.execute(view.ddl(labelled))


def insert(con: Connection, table: str, rows: pa.Table, *, replace: bool = False) -> None:
    """Insert `rows` into one of the schema's own tables, by column name."""
    verb = "INSERT OR REPLACE INTO" if replace else "INSERT INTO"
    con.register("incoming", rows)
    con.execute(f"{verb} {quoted(table)} BY NAME SELECT * FROM incoming")
    con.unregister("incoming")


def scalar(con: Connection, query: str, parameters: Sequence[object] = ()) -> int:
    """The one whole number that `query` returns."""
    row = con.execute(query, list(parameters)).fetchone()
    assert row is not None
    return int(row[0])


def fault(con: Connection, query: str) -> str | None:
    """What the engine says against reading by `query`; None where it reads."""
    try:
        con.execute(query).fetchall()
    except duckdb.Error as error:
        return error_line(error)
    return None


def utc_now() -> datetime:
    """Now, as the catalog's TIMESTAMP columns hold it: UTC without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)
