"""A workspace of schema 1 opens under this schema: nothing lost, the old catalog kept beside the new one."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

import fsearch
from fsearch.indexer.errors import NotReadyError
from fsearch.indexer.storage.schema import TABLES, VERSION
from fsearch.indexer.storage.schema.migrations import _NEW_IN_2, MIGRATIONS


@pytest.fixture
def first(fitted: Path, tmp_path: Path) -> Path:
    """A workspace as schema 1 had it, with a run in it."""
    root = tmp_path / "old.fsearch"
    shutil.copytree(fitted, root)
    fsearch.open(root).rank(["dark skin", "a hat"])
    with duckdb.connect(str(root / "catalog.duckdb")) as con:
        for name, *_ in con.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall():
            con.execute(f"DROP VIEW {name}")
        for new in ("shared_images", "sources", "black_boxes", "pending_losses", "prediction_errors", "vector_index"):
            con.execute(f"DROP TABLE {new}")
        for table in (t for t in TABLES if t.name in _NEW_IN_2):
            kept = tuple(c for c in table.columns if c[0] not in {*_NEW_IN_2[table.name], "target_digest"})
            names = ", ".join(f'"{name}"' for name, *_ in kept)
            con.execute(f"CREATE TEMP TABLE rows AS SELECT {names} FROM {table.name}")
            con.execute(f"DROP TABLE {table.name}")
            con.execute(replace(table, columns=kept).ddl())
            con.execute(f"INSERT INTO {table.name} SELECT * FROM rows")
            con.execute("DROP TABLE rows")
        con.execute("UPDATE settings SET value = '1' WHERE name = 'schema_version'")
    return root


def test_an_old_workspace_is_migrated_with_a_backup(first: Path) -> None:
    before = (first / "catalog.duckdb").read_bytes()
    ws = fsearch.open(first)
    assert ws.info().images == 320
    assert (first / "catalog.v1.duckdb").read_bytes() == before
    assert ws.sql("SELECT value FROM settings WHERE name = 'schema_version'")["value"].to_pylist() == [str(VERSION)]
    assert ws.sql("SELECT hypothesis FROM latest_ranking").num_rows == 2
    for table in TABLES:
        have = ws.sql(f"FROM {table.name} LIMIT 0").column_names
        assert set(have) >= {name for name, *_ in table.columns}, table.name
    ws.fit()
    assert ws.rank(["dark skin", "a hat"]).answers[0].verdict == "fails"
    added = ws.losses.add("width", black_box=lambda images: [i.width for i in images], task="loss")
    assert added.added == 320  # the old workspace's folder is found again


def test_a_migration_that_dies_leaves_the_old_catalog(first: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(con: duckdb.DuckDBPyConnection) -> None:
        MIGRATIONS_2(con)
        raise KeyboardInterrupt

    MIGRATIONS_2 = MIGRATIONS[2]
    monkeypatch.setitem(MIGRATIONS, 2, dies)
    with pytest.raises(KeyboardInterrupt):
        fsearch.open(first).info()
    with duckdb.connect(str(first / "catalog.duckdb"), read_only=True) as con:
        assert con.execute("SELECT value FROM settings WHERE name = 'schema_version'").fetchone() == ("1",)
        assert con.execute(
            "SELECT hypothesis FROM rankings WHERE run_id = (SELECT max(run_id) FROM runs) ORDER BY rank"
        ).fetchall() == [("dark skin",), ("a hat",)]
    monkeypatch.setitem(MIGRATIONS, 2, MIGRATIONS_2)
    assert fsearch.open(first).info().images == 320


def test_a_fit_of_an_older_fsearch_asks_to_be_made_again(fitted: Path, tmp_path: Path) -> None:
    root = tmp_path / "old.fsearch"
    shutil.copytree(fitted, root)
    manifest = root / "models" / "planted" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 2', '"format": 1'))
    with pytest.raises(NotReadyError, match="made by another version of fsearch; run: fsearch fit"):
        fsearch.open(root).query("bald")
