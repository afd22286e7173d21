"""SQL that users write: one read-only statement, or a predicate; and identifiers quoted for SQL of our own."""

from __future__ import annotations

import itertools
from typing import Any

import duckdb
import pyarrow as pa

from fsearch.indexer.errors import BadInputError

SAFE = {"enable_external_access": "false", "python_enable_replacements": "false", "lock_configuration": "true"}
_READS = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}


def check_select(query: str) -> None:
    """Raise BadInputError unless `query` is one SELECT or EXPLAIN statement."""
    try:
        statements = duckdb.extract_statements(query)
    except duckdb.Error as error:
        raise BadInputError(f"SQL: {error_line(error)}") from error
    if len(statements) != 1:
        raise BadInputError(f"SQL: give one statement, not {len(statements)}")
    if statements[0].type not in _READS:
        raise BadInputError(f"SQL: {statements[0].type.name} is refused; the catalog is read-only here, use SELECT")


def positions_where(rows: pa.Table, condition: str) -> list[int]:
    """The rising positions of the rows that fulfil an SQL predicate on their columns.

    Raises BadInputError for none such.
    """
    positions = pa.array(range(rows.num_rows), pa.int64())
    with duckdb.connect(config=dict(SAFE)) as con:
        con.register("rows", rows.append_column("_position", positions))
        try:
            statements = duckdb.extract_statements(query := f"SELECT _position FROM rows WHERE ({condition}\n)")
            if len(statements) != 1:
                raise BadInputError("--where: give one predicate")
            return sorted(position for (position,) in con.execute(query).fetchall())
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
