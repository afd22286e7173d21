"""A workspace that version 0.1.0 wrote opens under this schema: nothing lost, the old catalog kept beside it."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import duckdb
import pytest

import fsearch
from fsearch.indexer.embedding.encoder import identify
from fsearch.indexer.errors import EncoderError, NotReadyError
from fsearch.indexer.storage.catalog import Catalog
from fsearch.indexer.storage.layout import Layout
from fsearch.indexer.storage.schema import TABLES, VERSION
from fsearch.indexer.storage.schema.migrations import MIGRATIONS

ARCHIVE = Path(__file__).parent / "data" / "workspace-0.1.0.tar.xz"
OLD_TABLES = ("images", "shards", "rejected", "losses", "metadata", "models", "predictions", "hypotheses", "runs")
OLD_TABLES += ("rankings", "evidence", "settings")
RENAMED = {("rankings", "predicted_loss"): "expected_loss"}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The workspace of version 0.1.0 (see data/README.md), unpacked."""
    root = tmp_path / "old.fsearch"
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(root, filter="data")
    return root


def rows(root: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table that version 0.1.0 had, by column name."""
    with duckdb.connect(str(root / "catalog.duckdb"), read_only=True) as con:
        found = {t: con.sql(f"FROM {t} ORDER BY ALL").to_arrow_table().to_pylist() for t in OLD_TABLES}
    return found


def columns(root: Path) -> set[tuple[str, str, str, str]]:
    """Table or view, column, type and comment of everything in a catalog."""
    with duckdb.connect(str(root / "catalog.duckdb"), read_only=True) as con:
        return set(
            con.execute(
                "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal"
            ).fetchall()
        )


def test_nothing_of_an_old_workspace_is_lost(old: Path) -> None:
    before, file = rows(old), (old / "catalog.duckdb").read_bytes()
    assert {t: len(r) for t, r in before.items()} == {
        "images": 60, "shards": 1, "rejected": 1, "losses": 60, "metadata": 60, "models": 1, "predictions": 60,
        "hypotheses": 2, "runs": 1, "rankings": 2, "evidence": 16, "settings": 5,
    }  # fmt: skip
    ws = fsearch.open(old)
    assert ws.info().images == 60
    assert (old / "catalog.v1.duckdb").read_bytes() == file
    after = rows(old)
    settings = {r["name"]: r["value"] for r in after.pop("settings")}
    expected = {r["name"]: r["value"] for r in before.pop("settings")}
    assert settings == expected | {"schema_version": str(VERSION), "fsearch_version": fsearch.__version__}
    for table, old_rows in before.items():
        renamed = [{RENAMED.get((table, c), c): v for c, v in row.items()} for row in old_rows]
        key = [k for k in next(t.key for t in TABLES if t.name == table).split(", ") if k in renamed[0]]
        pairs = zip(*(sorted(r, key=lambda row: [row[k] for k in key]) for r in (renamed, after[table])), strict=True)
        assert all(new[c] == row[c] for row, new in pairs for c in row), table
    assert ws.sql("SELECT source, location, options FROM sources").to_pylist() == [
        {"source": "/photos/images", "location": "/photos/images", "options": "{}"}
    ]
    assert ws.sql("SELECT hypothesis, verdict FROM latest_ranking ORDER BY rank").to_pylist() == [
        {"hypothesis": "dark skin", "verdict": "fails"},
        {"hypothesis": "a hat", "verdict": "unclear"},
    ]
    assert ws.check().sound


def test_an_old_catalog_becomes_like_a_new_one(old: Path, few: Any) -> None:
    fsearch.open(old).info()
    fsearch.open("new.fsearch").index(few.folder, few.losses)
    own = {"eyewear", "skin_tone"}  # columns of a losses file were those of the images then
    became, new = columns(old), columns(Path("new.fsearch"))
    assert {c for c in became if c[1] not in own} == {c for c in new if c[1] not in own}
    assert {c[:2] for c in became - new} == {("metadata", name) for name in own}


def test_an_old_workspace_is_fitted_and_scored_again(old: Path, few: Any) -> None:
    with duckdb.connect(str(old / "catalog.duckdb")) as con:  # its images were elsewhere
        con.execute("UPDATE images SET source = ?", [str(few.folder)])
    ws = fsearch.open(old)
    with pytest.raises(EncoderError, match="made with the demo encoder of another fsearch; index into a new one"):
        ws.fit()
    with duckdb.connect(str(old / "catalog.duckdb")) as con:  # as with an encoder that has not changed since
        digest = ("encoder_digest", identify("demo", None).digest)
        con.execute("UPDATE settings SET value = $2 WHERE name = $1", digest)
    assert ws.fit().images == 60
    assert ws.rank(["dark skin", "a hat"]).run_id == 2
    assert ws.runs.diff(1, 2).rows.num_rows == 2
    few_images = str(few.folder)  # what an old workspace names is followed only where it is named again
    added = ws.losses.add("width", black_box=lambda images: [i.width for i in images], task="loss", images=few_images)
    assert (added.added, added.failed) == (0, 60)  # people are drawn otherwise than they were
    reasons = ws.sql("SELECT DISTINCT reason FROM prediction_errors")["reason"].to_pylist()
    assert reasons == ["it has changed since it was indexed; index it again"]


def test_a_migration_that_dies_leaves_the_old_catalog(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(con: duckdb.DuckDBPyConnection) -> None:
        last(con)
        raise KeyboardInterrupt

    before, last = rows(old), MIGRATIONS[VERSION]
    monkeypatch.setitem(MIGRATIONS, VERSION, dies)
    with pytest.raises(KeyboardInterrupt):
        fsearch.open(old).info()
    assert rows(old) == before
    monkeypatch.setitem(MIGRATIONS, VERSION, last)
    assert fsearch.open(old).info().images == 60


def test_every_version_has_its_migration() -> None:
    assert list(MIGRATIONS) == list(range(2, VERSION + 1))
    assert all(m.__name__.startswith(f"m{number:03d}_") for number, m in MIGRATIONS.items())


def test_a_migrated_catalog_keeps_its_storage_format(old: Path) -> None:
    """What an older duckdb could read before, it can read after."""
    fsearch.open(old).info()
    with Catalog(Layout(old)).read() as con:
        (tags,) = con.execute("SELECT tags FROM duckdb_databases() WHERE database_name = 'catalog'").fetchall()[0]
    assert tags["storage_version"] == "v1.0.0+"


def test_a_fit_of_an_older_fsearch_asks_to_be_made_again(fitted: Path, tmp_path: Path) -> None:
    root = tmp_path / "old.fsearch"
    shutil.copytree(fitted, root)
    manifest = root / "models" / "planted" / "manifest.json"
    older = {name: value for name, value in json.loads(manifest.read_text()).items() if name != "sha256"}
    manifest.write_text(json.dumps(older | {"format": 1}))
    with pytest.raises(NotReadyError, match="made by another version of fsearch; run: fsearch fit"):
        fsearch.open(root).query("bald")
