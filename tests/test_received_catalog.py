"""A catalog that came from somebody else says no more than rows; statements are bounded in time, memory and size."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app
from fsearch.indexer.errors import BadInputError, FsearchError, WorkspaceError
from fsearch.indexer.storage import statement
from fsearch.indexer.storage.catalog import Catalog
from fsearch.indexer.storage.layout import Layout
from fsearch.indexer.storage.sql import positions_where

FOREVER = "SELECT count(*) FROM range(10000000000000) a(x), range(1000) b(y) WHERE hash(x) <> y"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small workspace without a fit."""
    from PIL import Image

    root = tmp_path_factory.mktemp("plain")
    for i in range(6):
        Image.new("RGB", (8, 8), (40 * i, 10, 10)).save(root / f"{i}.png")
    (root / "losses.csv").write_text("image,loss,label\n" + "".join(f"{i}.png,{i},x\n" for i in range(6)))
    fsearch.open(root / "w").index(fsearch.images(root, limit=6), root / "losses.csv")
    return root / "w"


@pytest.fixture
def received(plain: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "received.fsearch"))


def say(root: Path, *statements: str) -> None:
    with duckdb.connect(str(root / "catalog.duckdb")) as con:
        for text in statements:
            con.execute(text)


ENDLESS = "range(10000000000000)"
INTRUDERS = [
    (
        "DROP TABLE settings",
        f"CREATE VIEW settings AS SELECT 'x' AS name, CAST(range AS VARCHAR) AS value FROM {ENDLESS}",
    ),
    ("DROP TABLE losses", f"CREATE VIEW losses AS SELECT * FROM {ENDLESS}"),
    ("DROP TABLE sources", "CREATE TABLE sources (source INTEGER, location INTEGER, options INTEGER)"),
    (
        "DROP TABLE shards",
        "CREATE TYPE mood AS ENUM ('a')",
        "CREATE TABLE shards (shard mood, first_row BIGINT, rows INTEGER, sha256 VARCHAR)",
    ),
    (
        "DROP TABLE rejected",
        "CREATE TABLE rejected (source VARCHAR, reason VARCHAR GENERATED ALWAYS AS (repeat('x', 1000000000)))",
    ),
    ("DROP TABLE runs", "CREATE TABLE runs (run_id BIGINT CHECK (run_id < 5))"),
]


@pytest.mark.parametrize("statements", INTRUDERS, ids=lambda s: s[0])
def test_what_is_no_table_of_ours_is_not_read(received: Path, statements: tuple[str, ...]) -> None:
    say(received, *statements)
    began = time.monotonic()
    for ask in (lambda w: w.info(), lambda w: w.check(), lambda w: w.compact(), lambda w: w.sql("SELECT 1")):
        with pytest.raises(WorkspaceError, match="is not as fsearch makes one: it holds") as caught:
            ask(fsearch.open(received))
        assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 30


def test_functions_of_a_catalog_are_not_called_when_it_is_read(received: Path) -> None:
    names = ("count(x)", "count_star()", "avg(x)", "median(x)", "max(x)", "sum(x)", "duckdb_views()", "abs(x)")
    say(received, *(f"CREATE MACRO {name} AS error('called')" for name in names))
    ws = fsearch.open(received)
    assert ws.info().images == 6
    assert ws.losses.list()["mean_loss"].to_pylist() == [2.5]
    assert ws.sql("SELECT count(*) AS n, max(abs(loss)) AS m FROM examples").to_pylist() == [{"n": 6, "m": 5.0}]
    with pytest.raises(WorkspaceError, match="a function of its own"):
        ws.losses.remove("model")


def test_no_connection_calls_the_functions_of_a_catalog(received: Path) -> None:
    names = ("count(x)", "max(x)", "current_database()", "current_setting(x)")
    say(received, *(f"CREATE MACRO {name} AS error('called')" for name in names))
    catalog = Catalog(Layout(received))
    with catalog.shared():
        for _ in range(2):  # cursors of one connection
            assert catalog.sql("SELECT count(*) AS n FROM images").to_pylist() == [{"n": 6}]
    with catalog.read(), catalog.read() as second:  # to a database that this process has open
        assert second.execute("SELECT count(*), max(width) FROM images").fetchall() == [(6, 8)]


def test_views_of_a_catalog_are_not_believed(received: Path) -> None:
    hostile = "SELECT 'm' AS model, 7 AS images, 0.0 AS mean_loss FROM range(10000000000000)"
    say(received, f"CREATE OR REPLACE VIEW model_summary AS {hostile}", f"CREATE OR REPLACE VIEW examples AS {hostile}")
    ws = fsearch.open(received)
    assert [m.mean_loss for m in ws.info().models] == [2.5]
    assert ws.sql("SELECT count(*) AS n FROM Examples").to_pylist() == [{"n": 6}]
    assert ws.losses.list()["images"].to_pylist() == [6]


SETTINGS = [
    ("dim", "-1"),
    ("dim", "1e9"),
    ("dim", "9999999999999"),
    ("schema_version", "five"),
    ("schema_version", "٣"),
    ("templates", "{}"),
    ("templates", "[1]"),
    ("templates", '["{0.__class__}"]'),
    ("templates", '["{:>9999999999}"]'),
    ("templates", "[" * 100_000),
    ("index", "[]"),
    ("index", '{"exact_rows": "x"}'),
    ("index", '{"recall": NaN}'),
    ("index", '{"memory_gib": -1}'),
    ("index", '{"no_such": 1}'),
]


@pytest.mark.parametrize(("name", "value"), SETTINGS, ids=lambda v: v[:24])
def test_settings_that_cannot_be_are_one_line(received: Path, name: str, value: str) -> None:
    with duckdb.connect(str(received / "catalog.duckdb")) as con:
        con.execute("INSERT OR REPLACE INTO settings (name, value) VALUES (?, ?)", [name, value])
    with pytest.raises(WorkspaceError) as caught:
        fsearch.open(received).info()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_statement_ends_with_its_time(received: Path) -> None:
    ws = fsearch.open(received)
    began = time.monotonic()
    with pytest.raises(BadInputError, match=r"it took longer than 0\.2 s; ask for less, or allow more: --timeout"):
        ws.sql(FOREVER, timeout=0.2)
    assert time.monotonic() - began < 30
    assert ws.sql("SELECT 1 AS a").to_pylist() == [{"a": 1}]


def test_an_answer_is_bounded_in_size_and_memory(received: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement, "memory_bytes", lambda: 64 * 2**20)
    ws = fsearch.open(received)
    with pytest.raises(BadInputError, match=r"the answer is larger than 0\.1 GiB"):
        ws.sql("SELECT range, range + 1 FROM range(100000000)")
    with pytest.raises(BadInputError, match=r"SQL: .*[Mm]emory"):
        ws.sql("SELECT count(*) FROM (SELECT DISTINCT hash(range) FROM range(100000000))")
    assert not list(received.glob("*.tmp"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_running_statement_stops_at_once(received: Path, how: int) -> None:
    command = [sys.executable, "-m", "fsearch.cli", "sql", FOREVER, "-w", str(received)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        time.sleep(8)
        assert running.poll() is None
        running.send_signal(how)
        _, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == (130 if how == signal.SIGINT else 143)
    assert err.startswith("fsearch: stopped")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE EXTENSIONS",
        "PIVOT losses ON label USING sum(loss)",
        "SELECT 1; SELECT 2",
        "CREATE TABLE x (a INT)",
        "LOAD x",
    ],
)
def test_what_is_no_reading_statement_is_refused_in_one_line(received: Path, statement: str) -> None:
    with pytest.raises(BadInputError, match="SQL: ") as caught:
        fsearch.open(received).sql(statement)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "condition",
    [
        "true UNION ALL SELECT * FROM rows",
        "true) UNION ALL (SELECT * FROM rows",
        "true) THEN 1 END UNION ALL SELECT CASE WHEN (true",
        "true); SELECT (1",
        "true) --",
        "a ORDER BY 1",
    ],
)
def test_a_condition_is_one_predicate(condition: str) -> None:
    with pytest.raises(BadInputError, match="--where: "):
        positions_where(pa.table({"a": [1, 2]}), condition)
    assert positions_where(pa.table({"a": [1, 2]}), "a > 1 -- the larger") == [1]


def test_a_condition_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement.fetch, "__defaults__", (0.2,))
    with pytest.raises(FsearchError, match=r"took longer than 0\.2 s"):
        positions_where(pa.table({"a": [1]}), f"a < ({FOREVER})")


@pytest.mark.parametrize(
    "value",
    ["DATE '290000-01-01'", "'infinity'::DATE", "'290000-01-01'::TIMESTAMP", "DATE '-5-01-01'", "INTERVAL 1 MONTH"],
)
@pytest.mark.parametrize("kind", ["table", "json", "csv"])
def test_times_that_python_has_no_name_for_are_printed(received: Path, value: str, kind: str) -> None:
    done = CliRunner().invoke(app, ["sql", f"SELECT {value} AS d", "--format", kind, "-w", str(received)])
    assert done.exit_code == 0, done.output
    assert done.stdout
    nested = CliRunner().invoke(app, ["sql", f"SELECT [{value}] AS d", "--format", kind, "-w", str(received)])
    assert nested.exit_code in (0, 2)
    assert isinstance(nested.exception, SystemExit | None)


@pytest.mark.parametrize(
    ("table", "column"), [("images", "indexed_at"), ("runs", "created_at"), ("models", "fitted_at")]
)
def test_times_of_ours_that_cannot_be_are_one_line(received: Path, table: str, column: str) -> None:
    with duckdb.connect(str(received / "catalog.duckdb")) as con:
        con.execute(
            f"INSERT INTO {table} ({column}, {dict(images='image_id', runs='run_id', models='model')[table]}) "
            "VALUES ('infinity', 999999)"
        )
    with pytest.raises(WorkspaceError, match=f"a time that cannot be in {table}.{column}"):
        fsearch.open(received).info()
