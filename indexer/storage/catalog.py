"""The DuckDB catalog: short connections, one transaction a write, and read-only SQL. The one file that imports duckdb.

A connection is opened for each piece of work and closed after it (some 15 ms with DuckDB 2.0), because DuckDB lets
readers in only while no writer holds the file. So a query never waits longer than one commit. `shared` is for several
reads in a row, and for the one writer, whom no reader keeps out.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import duckdb
import pyarrow as pa

from fsearch.indexer.errors import BadInputError, WorkspaceError
from fsearch.indexer.storage import locks
from fsearch.indexer.storage.inside import remove, require_plain_entries
from fsearch.indexer.storage.layout import Layout
from fsearch.indexer.storage.received import SEARCH_PATH, find_intruder, schema_version
from fsearch.indexer.storage.rows import comment_tables, make_views, version_settings, write_settings
from fsearch.indexer.storage.schema import TABLES, VERSION
from fsearch.indexer.storage.schema.views import VIEWS
from fsearch.indexer.storage.shared_connection import SharedConnection
from fsearch.indexer.storage.sql import SAFE, check_select, error_line
from fsearch.indexer.storage.statement import SECONDS, fetch, is_abandoned, limited

STORAGE_VERSION = "v1.4.0"  # the oldest duckdb that pyproject.toml allows must be able to read the file
_CONFIG = {**SAFE, "storage_compatibility_version": STORAGE_VERSION}
OUR_SECONDS = 900.0  # the longest that a connection of ours reads: one that reads longer is made to
_ADMITTED: set[tuple[str, int, int, bool]] = set()  # catalogs that were looked at: path, device, inode
_TIMEOUT = 30.0  # seconds to wait for another process's commit
_LOCKED = re.compile(  # POSIX, Windows, and a connection of the other kind in this process
    "could not set lock|used by another process|different configuration than existing", re.IGNORECASE
)
_NEWER = re.compile(
    r"version(?: number)? (\d+)\b.*?only read (?:storage )?versions? (?:between \d+ and )?(\d+)", re.DOTALL
)

Connection = duckdb.DuckDBPyConnection


_SHARED: ContextVar[SharedConnection | None] = ContextVar("shared", default=None)  # a new thread has none


@dataclass(frozen=True, slots=True)
class Catalog:
    """The catalog of the workspace at `layout`."""

    layout: Layout

    def create(self, settings: dict[str, str]) -> None:
        """Make the file with every table and view. It appears complete or not at all."""
        part = self.layout.catalog.with_name("catalog.part")
        remove(part)
        require_plain_entries(self.layout.root, "catalog.")
        try:
            with duckdb.connect(str(part), config=dict(_CONFIG)) as con:
                con.begin()
                for table in TABLES:
                    con.execute(table.ddl())
                comment_tables(con)
                make_views(con)
                write_settings(con, {**version_settings(), **settings})
                con.commit()
                con.execute("CHECKPOINT")  # closing would do it too, but would not say where it fails
        except duckdb.Error as error:
            raise WorkspaceError(f"{self.layout.root} cannot hold a workspace: {error_line(error)}") from error
        part.replace(self.layout.catalog)

    @contextmanager
    def shared(self, *, yielding: bool = False) -> Iterator[None]:
        """Reads of this thread within go through one connection, which a write closes.

        It keeps writers of other processes out, so that all reads see one state: do nothing but read within. Where it
        is `yielding`, it does so only while there are reads: for whoever holds the workspace for writing, and others
        may store meanwhile what changes none of what is read (rankings, embeddings of phrases).
        """
        if self._shared() is not None:
            yield
            return
        shared = SharedConnection(self.layout.catalog, yielding)
        token = _SHARED.set(shared)
        try:
            yield
        finally:
            _SHARED.reset(token)
            shared.close()

    @contextmanager
    def read(self, *views: str, patience: float = _TIMEOUT, turn: float | None = None) -> Iterator[Connection]:
        """A read-only connection to the last committed state, without access to files or network.

        `views` are those that will be asked: they are made anew, whatever the catalog has under their names. It reads
        for OUR_SECONDS at most. Raises WorkspaceError where one fails; see `write` for both waits, and what they raise.
        """
        shared = self._shared()
        if shared is None:
            con = self._connect(read_only=True, patience=patience, turn=turn)
        else:
            con = shared.begin(partial(self._connect, read_only=True))
            self._bypass_macros(con)
        watch = threading.Timer(OUR_SECONDS, con.interrupt)
        watch.daemon = True
        watch.start()
        try:
            if views:
                make_views(con, views)
            yield con
        except duckdb.Error as error:
            raise WorkspaceError(f"{self.layout.catalog} could not be read: {error_line(error)}") from error
        finally:
            watch.cancel()
            if not is_abandoned(con):
                con.close()
            if shared is not None:
                shared.end()

    @contextmanager
    def write(self, patience: float = _TIMEOUT, turn: float | None = None) -> Iterator[Connection]:
        """A connection inside one transaction: committed on leaving, rolled back on any error.

        Raises TimeoutError where its turn among those who open the catalog does not come within `turn` seconds, which
        have no limit by default, and WorkspaceError where another process has the file for more than `patience` seconds
        from then on.
        """
        shared = self._shared()
        if shared is not None:
            shared.close()
        con = self._connect(read_only=False, patience=patience, turn=turn)
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
        version = schema_version(rows, self.layout.catalog)
        if version > VERSION:
            raise WorkspaceError(
                f"{self.layout.root} was made by a newer fsearch (schema {version}; this one knows {VERSION}): upgrade"
            )
        return rows

    def sql(self, query: str, parameters: Sequence[object] = (), *, seconds: float = SECONDS) -> pa.Table:
        """Run one SELECT or EXPLAIN and return its rows, within `seconds` and half of this machine's memory.

        Raises BadInputError for anything else, for wrong SQL, and past a limit.
        """
        check_select(query)
        views = [v.name for v in VIEWS if v.name in query.lower()]
        with self.read(*views) as con:
            try:
                return fetch(con, query, list(parameters), seconds)
            except duckdb.Error as error:
                raise BadInputError(f"SQL: {error_line(error)}") from error

    def _shared(self) -> SharedConnection | None:
        shared = _SHARED.get()
        return shared if shared is not None and shared.path == self.layout.catalog else None

    def _connect(self, *, read_only: bool, patience: float = _TIMEOUT, turn: float | None = None) -> Connection:
        with locks.queue(self.layout.catalog_queue, turn):
            return self._open(read_only=read_only, patience=patience)

    def _open(self, *, read_only: bool, patience: float) -> Connection:
        path = self.layout.catalog
        require_plain_entries(self.layout.root, path.name)  # DuckDB has files of its own beside it
        deadline = time.monotonic() + patience
        while True:
            try:
                return self._admitted(
                    duckdb.connect(str(path), read_only=read_only, config=_config(read_only)), read_only
                )
            except duckdb.Error as error:
                if not _LOCKED.search(str(error)):
                    raise _unreadable(path, error) from error
                if time.monotonic() > deadline:
                    raise WorkspaceError(f"{path} is held by another process: {error_line(error)}") from error
                time.sleep(0.01)

    def _bypass_macros(self, con: Connection) -> None:
        """Functions are DuckDB's own. A cursor, and a second connection to an open database, do not inherit this."""
        con.execute(SEARCH_PATH.format(database=self.layout.catalog.stem))

    def _admitted(self, con: Connection, read_only: bool) -> Connection:
        """A connection to a catalog that holds what fsearch makes. Raises WorkspaceError for another one."""
        try:
            status = os.stat(self.layout.catalog)
            known = (os.path.abspath(self.layout.catalog), status.st_dev, status.st_ino, read_only)
            if read_only:
                self._bypass_macros(con)
            locked = con.execute("SELECT current_setting('lock_configuration')").fetchall()[0][0]
            if not locked:  # of a database that a connection of this process has open, it is locked already
                con.execute("SET lock_configuration = true")
            if known not in _ADMITTED:
                intruder = find_intruder(con, writing=not read_only)
                if intruder is not None:
                    raise WorkspaceError(f"{self.layout.catalog} is not as fsearch makes one: it holds {intruder}")
                _ADMITTED.add(known)
        except BaseException:
            con.close()
            raise
        return con


def _config(read_only: bool) -> dict[str, str | bool | int | float | list[str]]:
    config = {name: value for name, value in _CONFIG.items() if name != "lock_configuration"}
    return {**config, **(limited() if read_only else {})}


def _unreadable(path: Path, error: duckdb.Error) -> WorkspaceError:
    """The error for a file that DuckDB refuses: written by a newer DuckDB, which it says, or damaged."""
    found = _NEWER.search(str(error))
    if found and int(found[1]) > int(found[2]):
        return WorkspaceError(
            f"{path} was written by a newer DuckDB (storage version {found[1]}; duckdb {duckdb.__version__} reads up "
            f"to {found[2]}): upgrade duckdb"
        )
    return WorkspaceError(f"{path} is damaged: {error_line(error)}")


def fault(con: Connection, query: str) -> str | None:
    """What the engine says against reading by `query`; None where it reads."""
    try:
        con.execute(query).fetchall()
    except duckdb.Error as error:
        return error_line(error)
    return None
