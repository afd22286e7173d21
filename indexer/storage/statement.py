"""One statement of the user's, within limits: of time, of memory, and of the size of its answer.

It runs in a thread of its own, because DuckDB holds Python's signals back while it computes: so Ctrl-C, and the end of
the time, interrupt it at once.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.memory import memory_bytes
from fsearch.indexer.storage.times import times_are_known

SECONDS = 60.0
_GRACE = 5.0  # seconds until an interrupted statement is given up
_TICK = 0.02
_ROWS = 100_000  # in one batch of the answer

abandoned: list[Any] = []  # connections whose statement did not stop: closing one would wait for it


def fetch(con: Any, query: str, parameters: list[object], seconds: float = SECONDS) -> pa.Table:
    """The rows of one statement that reads. Raises duckdb.Error; BadInputError past `seconds`, or a size of memory."""
    found: list[pa.Table] = []
    failed: list[BaseException] = []
    done, limit = threading.Event(), memory_bytes()

    def work() -> None:
        try:
            found.append(_rows(con, query, parameters, limit))
        except BaseException as error:
            failed.append(error)
        finally:
            done.set()

    threading.Thread(target=work, daemon=True, name="statement").start()
    end = time.monotonic() + seconds
    try:
        while not done.wait(_TICK):
            if time.monotonic() > end:
                raise BadInputError(f"SQL: it took longer than {seconds:g} s; ask for less, or allow more: --timeout")
    except BaseException:
        con.interrupt()
        if not done.wait(_GRACE):
            abandoned.append(con)
        raise
    if failed:
        if isinstance(failed[0], MemoryError):
            raise BadInputError("SQL: out of memory; ask for less") from failed[0]
        raise failed[0]
    return found[0]


def _rows(con: Any, query: str, parameters: list[object], limit: int) -> pa.Table:
    relation = con.sql(query, params=parameters)
    newer = hasattr(relation, "to_arrow_reader")
    reader = relation.to_arrow_reader(_ROWS) if newer else relation.fetch_record_batch(_ROWS)
    batches, size = [], 0
    with reader:
        for batch in reader:
            size += batch.nbytes
            if size > limit:
                raise BadInputError(
                    f"SQL: the answer is larger than {limit / 2**30:.1f} GiB; ask for less, or use LIMIT"
                )
            batches.append(batch)
    return _with_times(pa.Table.from_batches(batches, reader.schema))


def _with_times(rows: pa.Table) -> pa.Table:
    """The rows; a column of dates or times that Python has no name for, as of the year 290000, as text.

    Raises BadInputError where they lie in a list or struct.
    """
    for i, field in enumerate(rows.schema):
        if all(times_are_known(chunk) for chunk in rows.column(i).chunks):
            continue
        if pa.types.is_nested(field.type):
            raise BadInputError(f"SQL: {field.name!r} holds a date outside the years 1 to 9999: CAST it AS VARCHAR")
        rows = rows.set_column(i, field.name, rows.column(i).cast(pa.string()))
    return rows


def is_abandoned(con: Any) -> bool:
    """Whether a statement still runs on `con`."""
    return any(other is con for other in abandoned)


def limited() -> dict[str, str]:
    """DuckDB's settings for a connection that answers a user: bounded memory, and nothing spilt to disk."""
    return {"memory_limit": f"{memory_bytes() // 2**20}MB", "temp_directory": ""}
