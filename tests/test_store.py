"""The workspace on disk: one writer, readers meanwhile, damage named, newer versions refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import Planted

import fsearch
from fsearch.indexer.errors import NotReadyError, WorkspaceError
from fsearch.indexer.storage.files import write_atomic
from fsearch.indexer.storage.layout import Layout
from fsearch.indexer.storage.shards import Shard, drop_orphans, read_shard, write_shard
from fsearch.indexer.vector_index.index import exact_index
from fsearch.indexer.workspace.store import Store


@pytest.fixture
def copied(fitted: Path, tmp_path: Path) -> Path:
    """A fitted workspace of the test's own."""
    root = tmp_path / "copied.fsearch"
    shutil.copytree(fitted, root)
    return root


def unit_rows(n: int, d: int = 8, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(0, 9), st.integers(0, 1000))
def test_shards_read_back_what_was_written(n: int, number: int, seed: int) -> None:
    layout, vectors = Layout(Path("shards")), unit_rows(n, seed=seed)
    shard = write_shard(layout, number, vectors)
    np.testing.assert_allclose(read_shard(layout, shard, 8), vectors, atol=1e-3)


def test_a_truncated_shard_is_named(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    shard = write_shard(layout, 0, unit_rows(20))
    data = layout.shard(0).read_bytes()
    layout.shard(0).write_bytes(data[:-40])
    with pytest.raises(WorkspaceError, match=r"00000\.npy is missing or damaged"):
        read_shard(layout, shard, 8)
    layout.shard(0).write_bytes(data)
    with pytest.raises(WorkspaceError, match=r"the catalog says \(21, 8\)"):
        read_shard(layout, Shard(0, 21, shard.sha256), 8)


def test_orphan_shards_are_dropped(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    kept = write_shard(layout, 0, unit_rows(3))
    write_shard(layout, 1, unit_rows(3))
    layout.vectors.joinpath("00002.npy.part").write_bytes(b"half")
    assert drop_orphans(layout, [kept]) == 2
    assert [p.name for p in layout.vectors.iterdir()] == ["00000.npy"]


def test_write_aside_leaves_the_old_file_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"


def test_search_is_exact_and_honours_the_filter() -> None:
    vectors, queries = unit_rows(300), unit_rows(5, seed=1)
    index = exact_index(vectors, 8)
    index.add([vectors[:100].astype(np.float16), vectors[100:].astype(np.float16)])
    assert index.rows == 300
    allowed = np.random.default_rng(2).random(300) < 0.3
    similarities, rows = index.search(queries, 10, allowed)
    assert allowed[rows].all()
    cosines = np.where(allowed, queries @ vectors.T, -2)
    np.testing.assert_allclose(similarities, -np.sort(-cosines, axis=1)[:, :10], atol=2e-3)
    assert index.search(queries, 500)[1].shape == (5, 300)
    assert index.search(queries, 5, np.zeros(300, bool))[1].shape == (5, 0)


@pytest.mark.parametrize("damage", ["missing", "nonsense", "behind", "other"])
def test_a_damaged_index_is_rebuilt_from_the_shards(copied: Path, damage: str) -> None:
    path = copied / "index.faiss"
    before = str(fsearch.open(copied).query("bald"))
    if damage == "missing":
        path.unlink()
    elif damage == "nonsense":
        path.write_bytes(b"nonsense")
    else:
        wrong = unit_rows(3, 64).astype(np.float16)
        part = Store.open(copied).vectors()[:100] if damage == "behind" else wrong
        index = exact_index(part, part.shape[1])
        index.add([part])
        index.save(path)
    assert str(fsearch.open(copied).query("bald")) == before


def test_a_damaged_catalog_is_named(copied: Path) -> None:
    path = copied / "catalog.duckdb"
    path.write_bytes(b"nonsense" * 4000)
    with pytest.raises(WorkspaceError, match=r"catalog\.duckdb is damaged"):
        fsearch.open(copied).info()


def test_a_catalog_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    duckdb.connect(str(tmp_path / "w" / "catalog.duckdb")).close()
    with pytest.raises(WorkspaceError, match="no catalog of fsearch's"):
        fsearch.open(tmp_path / "w").info()


def test_a_newer_workspace_is_refused(copied: Path) -> None:
    with duckdb.connect(str(copied / "catalog.duckdb")) as con:
        con.execute("UPDATE settings SET value = '99' WHERE name = 'schema_version'")
    with pytest.raises(WorkspaceError, match=r"made by a newer fsearch \(schema 99"):
        fsearch.open(copied).info()


@pytest.mark.parametrize("name", ["manifest.json", "members.npy"])
def test_a_damaged_fit_is_named(copied: Path, name: str) -> None:
    (copied / "models" / "planted" / name).write_bytes(b"{")
    with pytest.raises(WorkspaceError, match=r"damaged; run: fsearch fit"):
        fsearch.open(copied).query("bald")


def test_a_second_writer_is_told_at_once(copied: Path) -> None:
    store = Store.open(copied)
    code = f"import fsearch; fsearch.open({str(copied)!r}).fit()"
    with store.writer():
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "is being written by process" in run.stderr
    assert run.returncode == 1


@pytest.mark.slow
def test_readers_keep_working_while_a_writer_commits(copied: Path) -> None:
    errors: list[Exception] = []
    done = threading.Event()
    code = (
        f"import fsearch\nws = fsearch.open({str(copied)!r})\nfor i in range(150):\n"
        "    n = ws.sql('SELECT count(*) n FROM images')\n"
        "    assert n['n'][0].as_py() == 320\n"
    )

    def write() -> None:
        store = Store.open(copied)
        try:
            with store.writer():
                while not done.is_set():
                    with store.catalog.write() as con:
                        con.execute("UPDATE settings SET value = value WHERE name = 'dim'")
                    time.sleep(0.02)
        except Exception as error:
            errors.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    runs = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(3)]
    said = [run.communicate(timeout=120)[1] for run in runs]
    done.set()
    writer.join()
    assert [run.returncode for run in runs] == [0, 0, 0], said
    assert not errors


def test_what_comes_too_early_says_what_to_do_first(tmp_path: Path, planted: object) -> None:
    ws = fsearch.open(tmp_path / "none")
    for ask in (ws.info, ws.fit, lambda: ws.query("bald"), lambda: ws.sql("SELECT 1"), lambda: ws.rank(["bald"])):
        with pytest.raises(NotReadyError, match="make one with: fsearch index IMAGES --losses FILE"):
            ask()
    ws.index(planted.folder)  # type: ignore[attr-defined]
    for ask in (ws.fit, lambda: ws.query("bald")):
        with pytest.raises(NotReadyError, match="no losses in"):
            ask()
    ws.index(planted.folder, planted.losses, model="m")  # type: ignore[attr-defined]
    with pytest.raises(NotReadyError, match="run: fsearch fit"):
        ws.query("bald")
    with pytest.raises(NotReadyError, match="no losses of model 'other'; this workspace has: m"):
        ws.query("bald", model="other")


def test_a_fit_of_other_images_is_not_used(copied: Path) -> None:
    with duckdb.connect(str(copied / "catalog.duckdb")) as con:
        con.execute("UPDATE images SET status = 'missing' WHERE image_id >= 40")
    with pytest.raises(
        NotReadyError, match="only 40 of the images here now took part in the last fit; run: fsearch fit"
    ):
        fsearch.open(copied).query("bald")


def test_several_black_boxes_live_side_by_side(copied: Path, planted: object) -> None:
    ws = fsearch.open(copied)
    rows = planted.losses.read_text().splitlines()  # type: ignore[attr-defined]
    Path("second.csv").write_text("\n".join([rows[0], *rows[1:81]]) + "\n")
    report = ws.index(planted.folder, "second.csv", model="second")  # type: ignore[attr-defined]
    assert (report.embedded, report.losses, report.without_loss) == (0, 80, 240)
    with pytest.raises(
        NotReadyError, match=r"several models; this workspace has: planted, second \(choose with --model\)"
    ):
        ws.query("bald")
    assert ws.fit("second").images == 80
    assert ws.query("bald", model="second").model == "second"
    assert ws.query("bald", model="planted").model == "planted"
    assert [m.model for m in ws.info().models] == ["planted", "second"]


def test_many_phrases_are_answered_as_if_asked_alone(copied: Path) -> None:
    from fsearch.data.portraits import phrases

    asked = [f"{start} {word}" for start in ("a person with", "someone with") for word, _ in phrases()]
    assert len(asked) > 256  # more than are assessed at a time
    ws = fsearch.open(copied)
    together = ws.query(*asked)
    for i in (0, 255, 256, len(asked) - 1):
        alone = ws.query(asked[i])[0]
        assert together[i].nearest == alone.nearest
        assert together[i].lift == pytest.approx(alone.lift, abs=1e-6)
        assert together[i].p_value == pytest.approx(alone.p_value, abs=1e-3)


def test_settings_are_read_anew_once_another_process_committed(few: Planted) -> None:
    asked = fsearch.open("w")
    with pytest.raises(NotReadyError):
        asked.sql("SELECT 1")
    fsearch.open("w").index(few.folder)
    assert asked.info().templates == ()
    fsearch.open("w").index(few.folder, templates=["a photo of {}"])
    assert asked.info().templates == ("a photo of {}",)
    shutil.rmtree("w")
    with pytest.raises(NotReadyError):
        asked.sql("SELECT 1")
