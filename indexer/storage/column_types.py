"""Types of columns: told from cells of text without loss, and Arrow's many brought down to those a catalog stores."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.times import times_are_known

CellType = Literal["int", "float", "decimal comma", "bool", "date", "time", "text"]
_MISSING = pa.array(["", "NA", "N/A", "#N/A", "NaN", "nan", "NAN", "null", "NULL", "None", "none"])
_INT = r"(?:0|-?[1-9]\d{0,17})"  # what an integer writes itself as: 007 and twenty digits are text
_FLOAT = r"[+-]?(?:(?:(?:0|[1-9]\d{0,17})(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?|inf|Inf|INF|[Ii]nfinity)"
_WHOLE = r"[+-]?(?:(?:0|[1-9]\d{0,17})[eE][+-]?\d+|inf|Inf|INF|[Ii]nfinity)"  # floats that show no decimal mark
_COMMA = r"[+-]?(?:\d+,\d+|\d{1,3}(?:\.\d{3})+,\d+)(?:[eE][+-]?\d+)?"
_THOUSANDS = r"[1-9]\d{0,2}(?:[.,]\d{3})+"
_PATTERNS: dict[CellType, str] = {
    "int": _INT,
    "float": _FLOAT,
    "decimal comma": f"{_INT}|{_COMMA}|{_WHOLE}",
    "bool": "(?i:true|false)",
    "date": r"\d{4}-\d\d-\d\d",
    "time": r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?",
}
_ARROW = {
    "int": pa.int64(),
    "float": pa.float64(),
    "decimal comma": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "time": pa.timestamp("us"),
    "text": pa.string(),
}


class TypeGuess:
    """The narrowest type that every cell of a column fits, seen chunk by chunk."""

    def __init__(self, separator: str) -> None:
        self._possible = dict(_PATTERNS)
        self._empty, self._only_thousands, self._separator = True, True, separator

    def see(self, cells: pa.Array) -> None:
        """Narrow down by n cells of text."""
        said = cells.filter(pc.invert(pc.is_in(cells, _MISSING)))
        if not len(said):
            self._empty = self._empty and pc.all(pc.equal(cells, "")).as_py() is not False
            return
        self._empty = False
        self._only_thousands = self._only_thousands and _all(said, f"{_THOUSANDS}|{_INT}")
        for kind in [k for k, pattern in self._possible.items() if not _all(said, pattern) or not _are(k, said)]:
            del self._possible[kind]

    @property
    def empty(self) -> bool:
        """Whether no cell held anything."""
        return self._empty

    @property
    def kind(self) -> CellType:
        """The type. `1,234` in a file with commas, where it may stand for 1234, is text."""
        kind: CellType = next(iter(self._possible), "text")
        if self._empty or (kind == "decimal comma" and self._only_thousands and self._separator == ","):
            return "text"
        return kind

    @property
    def may_be_thousands(self) -> bool:
        """Whether the column's numbers all look like `1.234`."""
        return self.kind == "float" and self._only_thousands


def _all(cells: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(cells, f"^(?:{pattern})$")).as_py())


def _are(kind: CellType, cells: pa.Array) -> bool:
    """Whether cells that look like dates or times are some: 2024-13-01 is none, nor is the year 0."""
    if kind not in ("date", "time"):
        return True
    try:
        pc.min_max(from_text(cells, kind)).as_py()
    except (pa.ArrowInvalid, ValueError, OverflowError):
        return False
    return True


def from_text(cells: pa.Array, kind: CellType) -> pa.Array:
    """Cells of text as values; a cell without content is null."""
    if kind == "text":
        return pc.if_else(pc.equal(cells, ""), pa.scalar(None, pa.string()), cells)
    cells = pc.if_else(pc.is_in(cells, _MISSING), pa.scalar(None, pa.string()), cells)
    if kind == "decimal comma":
        cells = pc.replace_substring(pc.replace_substring(cells, ".", ""), ",", ".")
    if kind in ("float", "decimal comma"):
        cells = pc.replace_substring_regex(cells, r"^\+", "")
    if kind == "bool":
        cells = pc.utf8_lower(cells)
    return cells.cast(_ARROW[kind])


def number(text: str) -> float:
    """The number that a cell of text holds, with a decimal point or comma. Raises ValueError."""
    text = text.strip()
    if re.fullmatch(_COMMA, text):
        if re.fullmatch(_THOUSANDS, text):
            raise ValueError("it may be a number with a decimal comma, or thousands")
        text = text.replace(".", "").replace(",", ".")
    return float(text)


def listed(text: str, where: str) -> list[Any]:
    """A list as JSON, numpy, torch or Python print it: `[0.25, 0.75]`, `[0.25 0.75]`, `tensor([0.25, 0.75])`.

    Raises BadInputError for what is none, or was cut short.
    """
    inner = re.sub(r"^(?:np\.)?(?:array|tensor)\(|, (?:dtype|device|grad_fn)=[^\[\]]*\)$|\)$", "", text.strip())
    if "..." in inner:
        raise BadInputError(f"{where}: the list was cut short when it was printed (…); write all of it, or Parquet")
    inner = re.sub(r"np\.\w+\(([^()]*)\)", r"\1", inner)
    spaced = re.sub(r"(?<=[\d.])\s+(?=[-+.\d])", ", ", inner) if "," not in inner else inner
    spaced = re.sub(r"(?<=\d)\.(?=[\s,\]eE]|$)", ".0", re.sub(r"(?<![\d.])\.(?=\d)", "0.", spaced))
    for form in (inner, spaced, spaced.replace("'", '"'), re.sub(r"\bnan\b", "NaN", spaced)):
        try:
            found = json.loads(form)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, list):
            return found
    raise BadInputError(f"{where}: {text[:40]!r} is no list of numbers")


def stored_type(kind: pa.DataType) -> pa.DataType:
    """The type that a column of Arrow type `kind` is read as: what DuckDB and numpy both know."""
    types = pa.types
    if types.is_dictionary(kind):
        return stored_type(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return stored_type(kind.storage_type)
    if types.is_float16(kind):
        return pa.float32()
    if types.is_decimal(kind):
        return pa.float64()
    if types.is_large_string(kind) or types.is_string_view(kind):
        return pa.string()
    if types.is_large_binary(kind) or types.is_binary_view(kind) or types.is_fixed_size_binary(kind):
        return pa.binary()
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(stored_type(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([pa.field(f.name, stored_type(f.type)) for f in kind])
    return kind


def to_stored(column: pa.Array) -> pa.Array:
    """A column as its `stored_type`. Raises pa.ArrowException where a value does not fit."""
    kind = stored_type(column.type)
    if kind == column.type:
        return column
    if isinstance(column.type, pa.BaseExtensionType):
        return to_stored(column.storage)
    if pa.types.is_dictionary(column.type):
        return to_stored(column.dictionary_decode())
    try:
        return column.cast(kind)
    except pa.ArrowNotImplementedError:  # of nested types not every cast is there
        return pa.array(column.to_pylist(), kind)


def require_times(batch: pa.RecordBatch, where: str) -> None:
    """Raise BadInputError where a column holds a date or time that Python has no name for, as of the year 290000."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if not times_are_known(column):
            raise BadInputError(
                f"{where}, column {name!r}: a date or time that cannot be read (years go from 1 to 9999)"
            )


def to_text(column: pa.Array) -> pa.Array:
    """A column of keys or labels as text, see `text_of`."""
    if pa.types.is_string(column.type):
        return pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    return pa.array([text_of(v) for v in column.to_pylist()], pa.string())


def text_of(value: Any) -> str | None:
    """A name as text, whatever type its file gave it: 3.0 is '3', true is 'true'; None for NaN and None."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return text_of(value.item())  # of numpy
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | Decimal) and value == value.__trunc__():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def texts_of(values: Sequence[Any]) -> list[str | None]:
    """`text_of` each."""
    return [text_of(v) for v in values]
