"""Export of rankings and tables to files for other tools, whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.files import write_atomic
from fsearch.search.answer import Ranking

_KINDS = (".parquet", ".csv", ".json")


def check_target(path: Path) -> None:
    """Raise BadInputError where a ranking cannot be written to `path`, before the work is done."""
    if path.suffix.lower() not in _KINDS:
        raise BadInputError(f"--out {path}: use {', '.join(_KINDS)}")
    if not path.parent.is_dir():
        raise BadInputError(f"--out {path}: no such folder: {path.parent}")


def write_ranking(ranking: Ranking, path: Path) -> None:
    """Write `ranking` to `path` as its suffix says; .json also holds run, model and notes."""
    check_target(path)
    kind = path.suffix.lower().lstrip(".")
    if kind == "json":
        write_atomic(path, (json.dumps(ranking.as_dict(), indent=1) + "\n").encode())
    else:
        write_atomic(path, table_bytes(pa.Table.from_pylist(ranking.as_rows()), kind))


def table_bytes(rows: pa.Table, kind: str) -> bytes:
    """Rows as csv, json (a list of objects) or parquet. Raises BadInputError for another kind."""
    if kind == "parquet":
        sink = io.BytesIO()
        pa.parquet.write_table(rows, sink)
        return sink.getvalue()
    if kind == "json":
        return (json.dumps(rows.to_pylist(), default=str, indent=1) + "\n").encode()
    if kind == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(rows.column_names)
        writer.writerows(row_tuples(rows))
        return text.getvalue().encode()
    raise BadInputError(f"unknown format {kind!r}; use csv, json or parquet")


def row_tuples(rows: pa.Table) -> Iterator[tuple[Any, ...]]:
    """Row by row, by position: two columns of one name stay two."""
    return zip(*(column.to_pylist() for column in rows.columns), strict=True)
