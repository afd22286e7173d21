"""The one reader of tables: CSV, TSV, JSONL and Parquet, batch by batch, and what it took them for.

Losses, predictions, manifests, hypotheses and embeddings are read by it. Columns of keys and labels are text whatever
they look like, so that `0001`, `true` and ids of twenty digits stay what they are.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.column_types import require_times, stored_type, to_stored, to_text
from fsearch.indexer.storage.delimited import ROW_NAME, Delimited
from fsearch.indexer.storage.json_lines import JsonLines
from fsearch.indexer.storage.memory import memory_bytes
from fsearch.indexer.storage.parquet_batches import bounded_batches, open_parquet
from fsearch.indexer.storage.regular_files import read_regular

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl")
COMPRESSED = (".csv.gz", ".tsv.gz", ".jsonl.gz")
KEY_COLUMNS = (
    *("image", "key", "path", "file", "filename", "file_name", "image_path", "image_id", "name", "id", ROW_NAME),
)
LABEL_COLUMNS = ("label", "target", "labels", "class", "category", "prediction", "predicted", "pred", "predictions")
_TEXT = frozenset((*KEY_COLUMNS, *LABEL_COLUMNS))
MAX_ROWS, MAX_COLUMNS = 200_000_000, 100_000
_INDEX = "__index_level_0__"  # pandas' index without a name


def find_column(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The first of the `wanted` names, in lower case, that is among `names`; their case matters only between twins."""
    lower = {n.lower(): n for n in reversed(names)}
    return next((w if w in names else lower[w] for w in wanted if w in lower), None)


def is_table(path: Path) -> bool:
    """Whether a file is a table, by its name."""
    return path.name.lower().endswith((*SUFFIXES, *COMPRESSED))


class TableFile:
    """A table in a file. `what` names it in messages; `text` are further columns that are text in any case.

    Whatever cannot be read raises BadInputError, also what has more than MAX_ROWS or MAX_COLUMNS. A number of twenty
    digits, or `007`, is text in any column.
    """

    def __init__(self, path: Path, what: str = "file", text: Collection[str] = ()) -> None:
        self.path, self._what = path, what
        self._text = _TEXT | {t.lower() for t in text}
        if not is_table(path):
            raise BadInputError(f"{what} {path}: use {', '.join(SUFFIXES)}, or text with .gz behind")
        if not path.is_file():
            raise BadInputError(f"no such {what}: {path}")
        self.rows = 0  # that were read by the last `read` or `batches` of all

    @cached_property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""
        with self._one_line():
            if self._reader is not None:
                if isinstance(self._reader, Delimited):
                    self._require_fewer(len(self._reader.dialect.names), MAX_COLUMNS, "columns")
                return _distinct(self._reader.schema, self.path)
            self._require_fewer(int(pa.parquet.read_metadata(self.path).num_rows), MAX_ROWS, "rows")
            self._require_fewer(len(self._parquet_schema.names), MAX_COLUMNS, "columns")
            fields = [pa.field(name, self._type(name, kind)) for name, kind, _ in self._parquet_columns()]
            return _distinct(pa.schema(fields, self._parquet_schema.metadata), self.path)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Batches of rows, of some `columns` only if they are named; `a.b` is the field b of the struct a."""
        with self._one_line():
            self.rows = 0
            for batch in self._parquet(columns) if self._reader is None else self._reader.batches():
                batch.validate(full=True)  # pyarrow's readers do not check all of a damaged file
                self.rows += batch.num_rows
                self._require_fewer(self.rows, MAX_ROWS, "rows")
                require_times(batch, str(self.path))
                yield batch if columns is None or self._reader is None else batch.select(list(columns))

    def read(self, most: int = MAX_ROWS) -> pa.Table:
        """The whole table. Raises BadInputError where it has more than `most` rows, or takes half of the memory."""
        found, size = [], 0
        for batch in self.batches():
            self._require_fewer(self.rows, most, "rows")
            size += batch.nbytes
            if size > memory_bytes():
                raise BadInputError(f"{self._what} {self.path} takes more than half of this machine's memory; split it")
            found.append(batch)
        return pa.Table.from_batches(found, self.schema)

    def _require_fewer(self, count: int, most: int, what: str) -> None:
        if not 0 <= count <= most:
            raise BadInputError(f"{self._what} {self.path} has more than {most:,} {what}; at most so many are read")

    @property
    def form(self) -> str:
        """What the file was taken for, and what the reader did beyond reading: "UTF-8, semicolons, decimal commas"."""
        if self._reader is None:
            return "Parquet"
        kind = "JSONL, " if isinstance(self._reader, JsonLines) else ""
        return ", ".join([kind + str(self._reader.dialect), *self._reader.notes])

    @cached_property
    def _reader(self) -> Delimited | JsonLines | None:
        """The reader of text; None for Parquet."""
        name = self.path.name.lower().removesuffix(".gz")
        if name.endswith(".parquet"):
            return None
        return (JsonLines if name.endswith(".jsonl") else Delimited)(self.path, self._text)

    @cached_property
    def _parquet_schema(self) -> pa.Schema:
        return pa.parquet.read_schema(self.path)

    def _parquet_columns(self) -> Iterator[tuple[str, pa.DataType, str]]:
        """Name here, type, and name in the file, of each column."""
        for field in self._parquet_schema:
            numbers = pa.types.is_integer(field.type)
            if field.name != _INDEX or not numbers:
                yield (ROW_NAME if field.name == _INDEX else field.name), field.type, field.name

    def _type(self, name: str, kind: pa.DataType) -> pa.DataType:
        stored = stored_type(kind)
        plain = not pa.types.is_nested(stored) and not pa.types.is_binary(stored) and not pa.types.is_null(stored)
        return pa.string() if name.lower() in self._text and plain else stored

    def _parquet(self, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        names = {name: there for name, _, there in self._parquet_columns()}
        wanted = list(names.values()) if columns is None else [names.get(c, c) for c in columns]
        here = {there: name for name, there in names.items()}
        with open_parquet(self.path) as file:
            for batch in bounded_batches(file, wanted, str(self.path)):
                batch.validate(full=True)
                arrays = [to_stored(c) for c in batch.columns]
                labels = [here[n] for n in batch.schema.names]
                texts = [
                    _as_text(a, self.schema.field(n).type, self.path, n) for a, n in zip(arrays, labels, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(texts, names=labels)

    @contextmanager
    def _one_line(self) -> Iterator[None]:
        """Turn what a reader raises on a bad file into one line."""
        try:
            yield
        except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
            raise BadInputError(f"{self._what} {self.path} cannot be read: {str(error).splitlines()[0]}") from error


def _as_text(column: pa.Array, kind: pa.DataType, path: Path, name: str) -> pa.Array:
    """The column, as text where `kind` is. Raises BadInputError for ids that were rounded to floats."""
    if not pa.types.is_string(kind) or pa.types.is_string(column.type):
        return column
    floats = pa.types.is_floating(column.type) and name.lower() in KEY_COLUMNS
    if floats and pc.any(pc.greater_equal(pc.abs(column), 2.0**53)).as_py():
        raise BadInputError(f"{path}, column {name!r}: ids of 16 digits or more were rounded; store them as text")
    return to_text(column)


def read_json(path: Path, what: str) -> Any:
    """What a JSON file says. Raises BadInputError where it cannot be read."""
    try:
        return json.loads(read_regular(path, memory_bytes() // 4))  # as Python's objects it takes several times that
    except OSError as error:
        raise BadInputError(f"{what} {path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{path} is no JSON: {str(error).splitlines()[0]}") from error


def _distinct(schema: pa.Schema, path: Path) -> pa.Schema:
    """The schema, if no two columns have one name."""
    twice = [name for name, count in Counter(schema.names).items() if count > 1]
    if twice:
        raise BadInputError(f"{path}: the column {twice[0]!r} is there twice; rename one")
    return schema


def count_rows(path: Path) -> int:
    """How many rows a Parquet file has, by its own word."""
    with TableFile(path)._one_line():
        return int(pa.parquet.read_metadata(path).num_rows)


def class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Names of the classes of integer columns, from what Hugging Face `datasets` writes into a Parquet schema."""
    try:
        said = json.loads((schema.metadata or {})[b"huggingface"])
        features: dict[str, Any] = said["info"]["features"]
        return {c: f["names"] for c, f in features.items() if isinstance(f, dict) and f.get("_type") == "ClassLabel"}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def name_classes(row: dict[str, Any], classes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The row with class numbers as names; a number outside the classes is none."""
    for column, names in classes.items():
        value = row.get(column)
        if value is not None:
            number = int(value)
            row[column] = names[number] if 0 <= number < len(names) else None
    return row
