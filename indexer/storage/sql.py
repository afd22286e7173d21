"""SQL that users write: one read-only statement, or a predicate; and identifiers quoted for SQL of our own."""

from __future__ import annotations

import itertools
from typing import Any

import duckdb
import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.statement import fetch, limited

SAFE = {"enable_external_access": "false", "python_enable_replacements": "false", "lock_configuration": "true"}
_READS = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}


def check_select(query: str) -> None:
    """Raise BadInputError unless `query` is one SELECT or EXPLAIN statement."""
    try:
        statements = duckdb.extract_statements(query)
        kinds = [statement.type for statement in statements]
    except duckdb.Error as error:
        raise BadInputError(f"SQL: {error_line(error)}") from error
    except TypeError as error:
        raise BadInputError("SQL: the statement is no UTF-8") from error
    except ValueError as error:  # a kind of statement that duckdb's Python side has no name for
        raise BadInputError("SQL: this is refused; the catalog is read-only here, use SELECT") from error
    if len(statements) != 1:
        raise BadInputError(f"SQL: give one statement, not {len(statements)}")
    if kinds[0] not in _READS:
        raise BadInputError(f"SQL: {kinds[0].name} is refused; the catalog is read-only here, use SELECT")


def check_predicate(condition: str) -> None:
    """Raise BadInputError unless `condition` is one expression: what closes one form does not close the other."""
    try:
        forms = [f"SELECT 1 WHERE ({condition}\n)", f"SELECT CASE WHEN ({condition}\n) THEN 1 END"]
        counts = [len(duckdb.extract_statements(form)) for form in forms]
    except (duckdb.Error, ValueError, TypeError) as error:
        raise BadInputError(f"--where: give one predicate: {error_line(error)}") from error
    if counts != [1, 1]:
        raise BadInputError("--where: give one predicate")


def positions_where(rows: pa.Table, condition: str) -> list[int]:
    """The rising positions of the rows that fulfil an SQL predicate on their columns.

    Raises BadInputError for none such.
    """
    positions = pa.array(range(rows.num_rows), pa.int64())
    check_predicate(condition)
    with duckdb.connect(config={**SAFE, **limited()}) as con:
        con.register("rows", rows.append_column("_position", positions))
        try:
            found = fetch(con, f"SELECT _position FROM rows WHERE ({condition}\n)", [])
            return sorted(found["_position"].to_pylist())
        except duckdb.Error as error:
            raise BadInputError(f"--where: {error_line(error)} (columns: {', '.join(rows.column_names)})") from error


def quoted(identifier: str) -> str:
    """An SQL identifier that means exactly `identifier`, whatever is in it."""
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """An SQL string that means exactly `text`, for statements that take no parameters."""
    return "'" + text.replace("'", "''") + "'"


def error_line(error: Any) -> str:
    """An engine's message in one line: what is wrong and what it suggests, without the quoted statement."""
    lines = itertools.takewhile(lambda line: line and not line.startswith("LINE "), str(error).strip().splitlines())
    return " ".join(line.strip() for line in lines)
