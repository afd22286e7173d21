"""The catalog's file: whom it can be read by, what it says of itself, and that columns go by name."""

from __future__ import annotations

import dataclasses
import functools
import re
import shutil
import struct
import time
import tomllib
from pathlib import Path

import pyarrow as pa
import pytest
from tests.conftest import Planted

import fsearch
from fsearch.diagnoser.finding import Finding
from fsearch.indexer.errors import WorkspaceError
from fsearch.indexer.storage.catalog import STORAGE_VERSION
from fsearch.indexer.storage.rows import insert
from fsearch.indexer.storage.schema import (
    DELETED_WITH_IMAGE,
    DELETED_WITH_MODEL,
    DELETED_WITH_PIXELS,
    TABLES,
    columns_of,
)
from fsearch.indexer.storage.schema.views import VIEWS
from fsearch.indexer.workspace.store import Store
from fsearch.search.workspace import Workspace

ROOT = Path(__file__).parents[1]


@pytest.fixture
def copied(fitted: Path, tmp_path: Path) -> Path:
    """A fitted workspace of the test's own."""
    root = tmp_path / "copied.fsearch"
    shutil.copytree(fitted, root)
    return root


def test_the_catalog_is_written_for_the_oldest_duckdb_allowed(ws: Workspace) -> None:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (floor,) = [d.removeprefix("duckdb>=") for d in dependencies if d.startswith("duckdb")]
    assert f"v{floor}.0" == STORAGE_VERSION
    (found,) = ws.sql("SELECT tags FROM duckdb_databases() WHERE database_name = 'catalog'")["tags"].to_pylist()
    assert ("storage_version", f"{STORAGE_VERSION}+") in dict(found).items()


def raised_storage_version(catalog: Path, version: int) -> bytes:
    """The file with another storage version in its header, under a right checksum (an XOR of its words' products)."""
    data = bytearray(catalog.read_bytes())

    def checksum() -> int:
        words = struct.unpack_from("<2Q", data, 8)
        return functools.reduce(lambda found, word: found ^ word * 0xBF58476D1CE4E5B9 % 2**64, words, 0)

    before = checksum()
    struct.pack_into("<Q", data, 12, version)
    (stored,) = struct.unpack_from("<Q", data, 0)
    struct.pack_into("<Q", data, 0, stored ^ before ^ checksum())
    return bytes(data)


def test_a_catalog_of_a_newer_duckdb_is_called_that(copied: Path) -> None:
    catalog = copied / "catalog.duckdb"
    catalog.write_bytes(raised_storage_version(catalog, 5000))
    with pytest.raises(
        WorkspaceError, match=r"was written by a newer DuckDB \(storage version 5000; .*\): upgrade duckdb"
    ):
        fsearch.open(copied).info()


@pytest.mark.parametrize("offset", [0, 13, 70, 5000, 9000])
def test_a_flipped_byte_in_the_catalog_is_damage_and_named_at_once(
    copied: Path, offset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("waited for a lock that nobody holds"))
    catalog = copied / "catalog.duckdb"
    data = bytearray(catalog.read_bytes())
    data[offset] ^= 0xFF
    catalog.write_bytes(data)
    with pytest.raises(WorkspaceError, match=r"catalog\.duckdb is damaged: "):
        fsearch.open(copied).info()


def test_the_settings_name_the_version_that_wrote_them(ws: Workspace) -> None:
    found = ws.sql("SELECT value FROM settings WHERE name = 'fsearch_version'")
    assert found["value"].to_pylist() == [fsearch.__version__]


def comments(ws: Workspace, query: str) -> dict[str, str | None]:
    return {row["name"]: row["comment"] for row in ws.sql(query).to_pylist()}


def test_every_table_view_and_column_says_what_it_is(ws: Workspace) -> None:
    tables = comments(ws, "SELECT table_name AS name, comment FROM duckdb_tables()")
    assert tables == {t.name: t.about for t in TABLES}
    views = comments(ws, "SELECT view_name AS name, comment FROM duckdb_views() WHERE NOT internal")
    assert views == {v.name: v.about for v in VIEWS}
    columns = comments(
        ws, "SELECT table_name || '.' || column_name AS name, comment FROM duckdb_columns() WHERE NOT internal"
    )
    declared = {f"{t.name}.{name}": meaning for t in TABLES for name, _, meaning in t.columns}
    assert {name: columns[name] for name in declared} == declared
    without = {name for name, comment in columns.items() if comment is None}
    own = {"eyewear", "skin_tone"}  # the user's own: their meaning is not ours to tell
    assert without == {f"{place}.{name}" for place in ("model_metadata", "examples", "worst_images") for name in own}
    assert columns["examples.loss_split"] == declared["losses.split"]
    assert columns["worst_images.predicted_loss"] == declared["predictions.predicted_loss"]


def test_comments_outlive_new_columns_of_the_users(few: Planted) -> None:
    ws = fsearch.open("w")
    ws.index(few.folder)
    query = "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE comment IS NOT NULL ORDER BY ALL"
    before = ws.sql(query).to_pylist()
    ws.index(few.folder, few.losses)
    assert "eyewear" in ws.info().metadata
    assert ws.sql(query).to_pylist() == before


# --- columns are named wherever rows are written or read


def test_a_table_says_what_happens_to_its_rows_when_their_image_or_model_goes() -> None:
    for table in TABLES:
        names = {name for name, *_ in table.columns}
        assert (table.with_image is not None) == ("image_id" in names and table.name != "images"), table.name
        assert (table.with_pixels is not None) == (table.with_image is not None), table.name
        assert (table.with_model is not None) == ("model" in names), table.name
    assert set(DELETED_WITH_IMAGE) == {
        *("losses", "predictions", "metadata", "model_metadata", "pending_losses", "prediction_errors", "votes"),
        "selections",
    }
    assert set(DELETED_WITH_PIXELS) == set(DELETED_WITH_IMAGE) - {"metadata"}
    gone = (set(DELETED_WITH_IMAGE) - {"metadata", "votes", "selections"}) | {"models", "black_boxes", "questions"}
    assert set(DELETED_WITH_MODEL) == gone


def test_a_finding_is_a_row_of_rankings() -> None:
    """Runs are written by name from Finding: a field without a column, or the reverse, would be lost or stay null."""
    columns = set(columns_of("rankings")) - {"run_id", "rank", "hypothesis_id"}
    assert {field.name for field in dataclasses.fields(Finding)} == columns


def test_no_statement_relies_on_the_order_of_columns() -> None:
    """A migration appends columns, so that their order differs between a new catalog and an old one."""
    names = "|".join(t.name for t in TABLES)
    insert = re.compile(rf"INSERT (?:OR REPLACE )?INTO (?:{names})\b(?! \(| BY NAME)")
    star = re.compile(rf"SELECT \* FROM (?:{names})\b(?!.*to_pylist)")
    parts = [(ROOT / part).rglob("*.py") for part in ("indexer", "diagnoser", "search", "data", "benchmarks")]
    paths = [ROOT / "cli.py", *(path for part in parts for path in part)]
    assert len(paths) > 100
    for path in paths:
        text = re.sub(r'"\s*\n\s*f?"', "", path.read_text()).replace('"', "")  # adjacent literals are one statement
        assert not insert.search(text), path
        assert not star.search(text), path
    for wrong in ("INSERT INTO shards VALUES (1)", "INSERT OR REPLACE INTO losses SELECT 1", "SELECT * FROM losses"):
        assert insert.search(wrong) or star.search(wrong)


def test_a_row_that_replaces_another_keeps_nothing_of_it(copied: Path) -> None:
    """DuckDB keeps the old value of a column that a replacing INSERT BY NAME does not name."""
    catalog = Store.open(copied).catalog
    full = {"source": "s", "key": "a.png", "reason": "damaged", "bytes": 7, "mtime_ns": 8}
    with catalog.write() as con:
        insert(con, "rejected", pa.Table.from_pylist([full]))
        insert(con, "rejected", pa.Table.from_pylist([{"source": "s", "key": "a.png", "reason": "gone"}]), replace=True)
    found = catalog.sql("SELECT reason, bytes, mtime_ns FROM rejected WHERE source = 's'").to_pylist()
    assert found == [{"reason": "gone", "bytes": None, "mtime_ns": None}]
