"""The columns that losses files bring: a model's are replaced in one transaction, whatever columns come and go."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from fsearch.indexer.storage.metadata import replace_columns_of_model
from fsearch.indexer.storage.rows import make_views, user_columns
from fsearch.indexer.storage.schema import TABLES

IDS = pa.table({"image_id": pa.array([1, 2], pa.int64())})


@pytest.mark.parametrize("second", [{"eyewear": ["none", "glasses"]}, {"hat": ["yes", "no"]}, {}])
def test_columns_of_the_same_images_are_replaced_at_once(second: dict[str, list[str]]) -> None:
    con = duckdb.connect()
    for table in TABLES:
        con.execute(table.ddl())
    make_views(con)
    for columns in ({"eyewear": ["glasses", "none"]}, second):
        con.execute("BEGIN")
        replace_columns_of_model(con, "m", IDS, pa.table({"image_id": IDS["image_id"], **columns}))
        con.execute("COMMIT")
    assert set(user_columns(con).models) == set(second)
    for name, values in second.items():
        found = con.execute(f"SELECT {name} FROM model_metadata ORDER BY image_id").fetchall()
        assert [value for (value,) in found] == values
