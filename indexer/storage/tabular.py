"""Read CSV, TSV, JSONL and Parquet batch by batch, whatever their size."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from fsearch.indexer.errors import BadInputError

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl")
_ROWS = 64  # of Parquet, whose rows may hold whole images
_LINES = 65_536
_BLOCK = 64 * 2**20  # bytes of text from which column types are told


def read_table(path: Path, what: str) -> pa.Table:
    """Read a whole file. `what` names it in messages. Raises BadInputError where it cannot be read."""
    read = list(batches(path, what=what))
    return pa.Table.from_batches(read) if read else schema_of(path, what).empty_table()


def read_json(path: Path, what: str) -> Any:
    """What a JSON file says. Raises BadInputError where it cannot be read."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise BadInputError(f"{what} {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{path} is no JSON: {str(error).splitlines()[0]}") from error


def schema_of(path: Path, what: str = "file") -> pa.Schema:
    """Names and types of the columns. Raises BadInputError where the file cannot be read or is of another kind."""
    with _one_line(path, what):
        kind = path.suffix.lower()
        if kind == ".jsonl":
            first = next(_json_lines(path), None)
            return pa.schema([]) if first is None else first.schema
        return _distinct(pa.parquet.read_schema(path) if kind == ".parquet" else _csv(path).schema, path)


def batches(path: Path, columns: Sequence[str] | None = None, what: str = "file") -> Iterator[pa.RecordBatch]:
    """Batches of rows, of some `columns` only if they are named. Raises BadInputError where the file cannot be read."""
    with _one_line(path, what):
        if path.suffix.lower() == ".parquet":
            with pa.parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(_ROWS, columns=columns):
                    yield _sound(batch, path)
            return
        for batch in _json_lines(path) if path.suffix.lower() == ".jsonl" else _csv(path):
            yield _sound(batch, path) if columns is None else _sound(batch, path).select(list(columns))


def _json_lines(path: Path) -> Iterator[pa.RecordBatch]:
    """Rows of JSONL, by Python's own parser: pyarrow's ends the process on some malformed files.

    Columns and their types are told from the first _LINES rows.
    """
    schema: pa.Schema | None = None
    with path.open("rb") as file:
        numbered = ((row, line) for row, line in enumerate(file, start=1) if line.strip())
        while chunk := list(itertools.islice(numbered, _LINES)):
            rows = [_row(line, f"{path} row {row}") for row, line in chunk]
            names = list(dict.fromkeys(name for row in rows for name in row))
            if schema is not None and not set(names) <= set(schema.names):
                new = next(n for n in names if n not in schema.names)
                raise BadInputError(f"{path}: the column {new!r} is not in the first {_LINES:,} rows")
            kinds = {name: None for name in names} if schema is None else {f.name: f.type for f in schema}
            columns = {name: pa.array([row.get(name) for row in rows], kind) for name, kind in kinds.items()}
            batch = pa.RecordBatch.from_pydict(columns)
            schema = schema or batch.schema
            yield batch


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{where} is no JSON: {str(error).splitlines()[0]}") from error
    if not isinstance(row, dict):
        raise BadInputError(f"{where}: a row must be an object, {{…}}")
    return row


def _sound(batch: pa.RecordBatch, path: Path) -> pa.RecordBatch:
    """The batch, if its texts are UTF-8 and it is what it says; pyarrow's readers do not all look."""
    batch.validate(full=True)
    _distinct(batch.schema, path)
    return batch


def _distinct(schema: pa.Schema, path: Path) -> pa.Schema:
    """The schema, if no two columns have one name."""
    twice = [name for name, count in Counter(schema.names).items() if count > 1]
    if twice:
        raise BadInputError(f"{path}: the column {twice[0]!r} is there twice; rename one")
    return schema


def count_rows(path: Path) -> int:
    """How many rows a Parquet file has, by its own word."""
    with _one_line(path, "file"):
        return int(pa.parquet.read_metadata(path).num_rows)


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Names of the classes of integer columns, from what Hugging Face `datasets` writes into a Parquet schema."""
    try:
        said = json.loads((schema.metadata or {})[b"huggingface"])
        features: dict[str, Any] = said["info"]["features"]
        return {c: f["names"] for c, f in features.items() if isinstance(f, dict) and f.get("_type") == "ClassLabel"}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def name_classes(row: dict[str, Any], classes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The row with class numbers as names; a number outside the classes is none."""
    for column, names in classes.items():
        value = row.get(column)
        if value is not None:
            row[column] = names[value] if 0 <= value < len(names) else None
    return row


def _csv(path: Path) -> Any:
    """An open reader of CSV; it knows its schema from the first block."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    return pa.csv.open_csv(
        path,
        read_options=pa.csv.ReadOptions(block_size=_BLOCK),
        parse_options=pa.csv.ParseOptions(delimiter=delimiter),
    )


@contextmanager
def _one_line(path: Path, what: str) -> Iterator[None]:
    """Turn what pyarrow raises on a bad file into one line."""
    if path.suffix.lower() not in SUFFIXES:
        raise BadInputError(f"{what} {path}: use {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise BadInputError(f"no such {what}: {path}")
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise BadInputError(f"{what} {path} cannot be read: {str(error).splitlines()[0]}") from error
