"""Which dates and times are known to Python, told from the numbers behind a column."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsearch.indexer.storage.times import times_are_known

MICROSECONDS = pa.timestamp("us")


@given(values=st.lists(st.one_of(st.none(), st.integers(-(2**62), 2**62))), first=st.integers(0, 5), unit=st.booleans())
def test_a_column_is_known_where_each_of_its_times_is(values: list[int | None], first: int, unit: bool) -> None:
    kind = MICROSECONDS if unit else pa.timestamp("ms", "UTC")
    column = pa.array(values, pa.int64()).view(kind)[first:]

    def known(i: int) -> bool:
        try:
            column[i].as_py()
        except (OverflowError, ValueError):
            return False
        return True

    assert times_are_known(column) == all(known(i) for i in range(len(column)))


@pytest.mark.parametrize("values", [[], [None, None], [datetime(2020, 1, 1), None]])
def test_ordinary_columns_are_known(values: list[datetime | None]) -> None:
    assert times_are_known(pa.array(values, MICROSECONDS))


def test_days_beyond_the_year_9999_are_not() -> None:
    assert times_are_known(pa.array([0, 18_000], pa.date32()))
    assert not times_are_known(pa.array([2**30], pa.int32()).view(pa.date32()))


def test_telling_loads_no_pandas() -> None:
    code = "import duckdb, sys; from fsearch.indexer.storage.times import times_are_known as known\n" + (
        "t = duckdb.sql(\"SELECT TIMESTAMP '2020-01-01' AS t\").to_arrow_table()\n"
        "print(known(t['t'].chunk(0)), 'pandas' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["True", "False"]
