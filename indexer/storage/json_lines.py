"""Read JSONL by Python's own parser: pyarrow's ends the process on some malformed files."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.column_types import texts_of
from fsearch.indexer.storage.dialect import open_text
from fsearch.indexer.storage.encoding import detect_encoding, encoding_name

_LINES, CHARACTERS = 65_536, 2**26  # that are read at once
COLUMNS = 100_000


class JsonLines:
    """A file of one object a line. Columns are those of any row; one whose values are of several types is text."""

    def __init__(self, path: Path, text: Collection[str] = ()) -> None:
        self._path, self._text = path, text

    @cached_property
    def dialect(self) -> str:
        """The encoding, as people write it."""
        return encoding_name(self._encoding)

    @cached_property
    def _encoding(self) -> str:
        return detect_encoding(self._path)

    @cached_property
    def schema(self) -> pa.Schema:
        """Names and types of the columns; the file is read once for it."""
        found: dict[str, pa.DataType] = {}
        for rows in self._chunks():
            for name in dict.fromkeys(name for row in rows for name in row):
                kind = self._kind(name, [row.get(name) for row in rows])
                found[name] = _wider(found.get(name, pa.null()), kind)
            if len(found) > COLUMNS:
                raise BadInputError(f"{self._path}: rows have more than {COLUMNS:,} different names of columns")
        return pa.schema(list(found.items()))

    notes: tuple[str, ...] = ()

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows."""
        for rows in self._chunks():
            columns = [_array([row.get(f.name) for row in rows], f.type) for f in self.schema]
            yield pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _chunks(self) -> Iterator[list[dict[str, Any]]]:
        with open_text(self._path, self._encoding) as lines:
            chunk: list[dict[str, Any]] = []
            size = 0
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                chunk.append(_row(line, f"{self._path} row {number}"))
                size += len(line)
                if len(chunk) == _LINES or size > CHARACTERS:
                    yield chunk
                    chunk, size = [], 0
            if chunk:
                yield chunk

    def _kind(self, name: str, values: list[Any]) -> pa.DataType:
        plain = all(v is None or isinstance(v, str | int | float) for v in values)
        if name.lower() in self._text and plain:
            return pa.string()
        try:
            return pa.array(values).type
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError, OverflowError):
            return pa.string()


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The type that holds values of both; text where none does."""
    try:
        schemas = [pa.schema([("x", one)]), pa.schema([("x", other)])]
        kind: pa.DataType = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowException:
        return pa.string()
    return kind


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    return pa.array(texts_of(values) if pa.types.is_string(kind) else values, kind)


def _row(line: str, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{where} is no JSON: {str(error).splitlines()[0]}") from error
    if not isinstance(row, dict):
        raise BadInputError(f"{where}: a row must be an object, {{…}}")
    return row
