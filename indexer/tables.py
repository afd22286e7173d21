"""Read CSV, TSV, JSONL and Parquet batch by batch, whatever their size."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from fsearch.indexer.errors import BadInput

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl")
_ROWS = 64  # of Parquet, whose rows may hold whole images
_BLOCK = 64 * 2**20  # bytes of text from which column types are told


def read_table(path: Path, what: str) -> pa.Table:
    """Read a whole file. `what` names it in messages. Raises BadInput where it cannot be read."""
    read = list(batches(path, what=what))
    return pa.Table.from_batches(read) if read else schema_of(path, what).empty_table()


def schema_of(path: Path, what: str = "file") -> pa.Schema:
    """Names and types of the columns. Raises BadInput where the file cannot be read or is of another kind."""
    with _one_line(path, what):
        if path.suffix.lower() == ".parquet":
            return pa.parquet.read_schema(path)
        return _text(path).schema


def batches(path: Path, columns: Sequence[str] | None = None, what: str = "file") -> Iterator[pa.RecordBatch]:
    """Batches of rows, of some `columns` only if they are named. Raises BadInput where the file cannot be read."""
    with _one_line(path, what):
        if path.suffix.lower() == ".parquet":
            with pa.parquet.ParquetFile(path) as file:
                yield from file.iter_batches(_ROWS, columns=columns)
            return
        for batch in _text(path):
            yield batch if columns is None else batch.select(list(columns))


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


def _text(path: Path) -> Any:
    """An open reader of text; it knows its schema from the first block."""
    if path.suffix.lower() == ".jsonl":
        return pa.json.open_json(path, read_options=pa.json.ReadOptions(block_size=_BLOCK))
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
        raise BadInput(f"{what} {path}: use {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise BadInput(f"no such {what}: {path}")
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadInput(f"{what} {path} cannot be read: {str(error).splitlines()[0]}") from error
