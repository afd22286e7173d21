"""Dates and times that Arrow and DuckDB have, and Python has no name for: the year 290000, or infinity."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def times_are_known(column: pa.Array) -> bool:
    """Whether each date and time in a column, also in its lists and structs, is one of Python's."""
    try:
        if pa.types.is_interval(column.type):
            return True
        if pa.types.is_temporal(column.type):
            column = _in_microseconds(column)
            for i in _extremes(column):
                column[i].as_py()
        elif _holds_times(column.type):
            column.to_pylist()
    except Exception:  # OverflowError, ValueError, and what libraries of time zones raise
        return False
    return True


def _extremes(column: pa.Array) -> list[int]:
    """Where the earliest and the latest of a column of times stand; pyarrow.compute would load pandas to tell."""
    validity, values = column.buffers()
    if values is None:  # no row has a value
        return []
    here = slice(column.offset, column.offset + len(column))
    numbers = np.frombuffer(values, np.int32 if column.type.bit_width == 32 else np.int64)[here]
    rows = np.arange(len(numbers))
    if validity is not None:
        rows = rows[np.unpackbits(np.frombuffer(validity, np.uint8), bitorder="little")[here].astype(bool)]
    return [int(rows[at(numbers[rows])]) for at in (np.argmin, np.argmax)] if len(rows) else []


def _in_microseconds(column: pa.Array) -> pa.Array:
    """The column without its last three digits: nanoseconds are no matter of range, and pandas' alone."""
    kind = column.type
    if getattr(kind, "unit", None) != "ns":
        return column
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("us", kind.tz), safe=False)
    return column.cast(pa.duration("us") if pa.types.is_duration(kind) else pa.time64("us"), safe=False)


def _holds_times(kind: pa.DataType) -> bool:
    """Whether values of a nested type have a date or time in them."""
    if not pa.types.is_nested(kind):
        return False
    inner = [kind.field(i).type for i in range(kind.num_fields)]
    return any(pa.types.is_temporal(k) or _holds_times(k) for k in inner)
