"""Several tables as one: the columns of all of them, each of a type that holds every table's values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from fsearch.indexer.storage.column_types import text_of


def union_schema(schemas: Iterable[pa.Schema]) -> pa.Schema:
    """Every column once, in the order of the tables: of its one type, else the widest number, else text."""
    kinds: dict[str, pa.DataType] = {}
    for schema in schemas:
        for field in schema:
            kinds[field.name] = _wider(kinds.get(field.name, field.type), field.type)
    return pa.schema(list(kinds.items()))


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    numbers = [pa.types.is_integer(k) or pa.types.is_floating(k) for k in (one, other)]
    if all(numbers):
        return pa.int64() if pa.types.is_integer(one) and pa.types.is_integer(other) else pa.float64()
    return one if pa.types.is_struct(one) and pa.types.is_struct(other) else pa.string()


def in_columns(row: Mapping[str, Any], schema: pa.Schema) -> dict[str, Any]:
    """A row of one of the tables in the columns of all: None for what it lacks, text where others have text."""
    found = {}
    for field in schema:
        value = row.get(field.name)
        plain = value is None or isinstance(value, str) or not pa.types.is_string(field.type)
        found[field.name] = value if plain else text_of(value)
    return found


def differences(named: Sequence[tuple[str, pa.Schema]]) -> tuple[str, ...]:
    """What to say where tables of these names have different columns, or types of one column; a line each."""
    whole = union_schema(schema for _, schema in named)
    said = []
    lacking = {c: [name for name, schema in named if c not in schema.names] for c in whole.names}
    absent = [f"{c} (not in {', '.join(names[:3])})" for c, names in lacking.items() if names]
    if absent:
        said.append(f"columns that some files lack, empty for their images: {', '.join(absent)}")
    texts = [
        f.name
        for f in whole
        if pa.types.is_string(f.type)
        and any(f.name in s.names and not pa.types.is_null(k := s.field(f.name).type) and k != f.type for _, s in named)
    ]
    if texts:
        said.append(f"columns of different types in different files, taken as text: {', '.join(texts)}")
    return tuple(said)
