"""Damage is named by `check`, repaired where it can be, set aside where it cannot; `compact` gives back room."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app
from fsearch.indexer.errors import WorkspaceError
from fsearch.indexer.workspace.store import Store
from fsearch.search.workspace import Workspace


def run(*args: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.fixture
def copied(fitted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fitted, tmp_path / "copy.fsearch"))


def everything(root: Path) -> dict[str, Any]:
    """What a workspace says: rows, vectors by content, and an answer."""
    ws = fsearch.open(root)
    store = Store.open(root)
    rows = ws.sql("SELECT key, sha256, row, status FROM images ORDER BY key").to_pylist()
    vectors = store.vectors()[:]
    return {
        "images": [(r["key"], r["sha256"], r["status"], vectors[r["row"]].tobytes()) for r in rows],
        "losses": ws.sql("SELECT key, loss FROM losses JOIN images USING (image_id) ORDER BY key").to_pylist(),
        "answer": str(ws.query("dark skin tone")),
    }


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset % len(data)] ^= 1
    path.write_bytes(bytes(data))


def test_a_sound_workspace_is_found_sound(copied: Path) -> None:
    before = {p: p.read_bytes() for p in copied.rglob("*") if p.is_file()}
    assert run("check", "-w", copied) == (0, "all is well\n")
    assert run("check", "--repair", "-w", copied) == (0, "all is well\n")
    assert {p: p.read_bytes() for p in before if p.name != "writer.lock"} == {
        p: d for p, d in before.items() if p.name != "writer.lock"
    }
    assert '"sound": true' in run("check", "--json", "-w", copied)[1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda shard: flip(shard, 5000),
        lambda shard: shard.write_bytes(shard.read_bytes()[:1000]),
        lambda shard: shard.unlink(),
        lambda shard: shard.write_bytes(b""),
    ],
    ids=["flipped byte", "truncated", "gone", "empty"],
)
def test_a_damaged_shard_is_restored_from_the_index_to_the_bit(damage: Callable[[Path], None], copied: Path) -> None:
    before = everything(copied)
    shard = copied / "vectors" / "00000.npy"
    data = shard.read_bytes()
    damage(shard)
    code, out = run("check", "-w", copied)
    assert code == 1
    assert "00000.npy: " in out
    assert "make it right with: fsearch check --repair" in out
    code, out = run("check", "--repair", "-w", copied)
    assert code == 0
    assert "was restored from the index" in out
    assert shard.read_bytes() == data
    assert everything(copied) == before


def test_a_shard_that_cannot_be_restored_is_set_aside_and_embedded_anew(copied: Path, planted: Any) -> None:
    before = everything(copied)
    shard = copied / "vectors" / "00000.npy"
    flip(shard, 5000)
    (copied / "index.faiss").unlink()
    code, out = run("check", "--repair", "-w", copied)
    assert code == 0
    assert "was set aside; 320 images must be embedded anew" in out
    assert (copied / "damaged" / "00000.npy").exists()
    assert "damaged     320 images lost their embedding" in str(fsearch.open(copied).info())
    report = fsearch.open(copied).index(planted.folder)
    assert (report.embedded, report.changed) == (320, 0)
    with pytest.raises(fsearch.NotReadyError, match="run: fsearch fit"):
        fsearch.open(copied).query("bald")
    fsearch.open(copied).fit()
    assert everything(copied) == before  # losses are of the pixels, and these are the same
    assert run("check", "-w", copied) == (0, "all is well\n")


@pytest.mark.parametrize("damage", ["flip", "cut", "rubbish"])
def test_a_damaged_index_is_built_anew(damage: str, copied: Path) -> None:
    before = everything(copied)
    index = copied / "index.faiss"
    if damage == "flip":
        flip(index, index.stat().st_size - 1000)
    else:
        index.write_bytes(b"rubbish" if damage == "rubbish" else index.read_bytes()[:3000])
    code, out = run("check", "-w", copied)
    assert code == 1
    assert "index.faiss: " in out
    assert "built anew" in run("check", "--repair", "-w", copied)[1]
    assert run("check", "-w", copied)[0] == 0
    assert everything(copied) == before


def test_leftovers_dangling_rows_and_lost_rows(copied: Path) -> None:
    (copied / "vectors" / "00007.npy").write_bytes(b"left by a crash")
    with duckdb.connect(str(copied / "catalog.duckdb")) as con:
        con.execute("INSERT INTO losses (model, image_id, loss) VALUES ('planted', 99999, 1)")
        con.execute("UPDATE images SET row = 5000 WHERE key = '003.png'")
    code, out = run("check", "-w", copied)
    assert code == 1
    for line in (
        "00007.npy: no transaction names it",
        "1 rows of losses are of no image",
        "1 images have no embedding",
    ):
        assert line in out
    assert (copied / "vectors" / "00007.npy").exists()  # a check changes nothing
    assert run("check", "--repair", "-w", copied)[0] == 0
    assert not (copied / "vectors" / "00007.npy").exists()
    assert fsearch.open(copied).sql("SELECT status FROM images WHERE key = '003.png'")["status"].to_pylist() == [
        "damaged"
    ]


@pytest.mark.parametrize("name", ["rows.npy", "manifest.json"])
def test_a_damaged_fit_is_removed_to_be_made_again(name: str, copied: Path) -> None:
    (copied / "models" / "planted" / name).write_bytes(b"x")
    code, out = run("check", "-w", copied)
    assert code == 1
    assert "the ensemble cannot be read" in out
    code, out = run("check", "--repair", "-w", copied)
    assert code == 0
    assert "run: fsearch fit --model planted" in out
    assert run("query", "bald", "-w", copied)[0] == 2
    assert run("fit", "-w", copied)[0] == 0


def test_a_damaged_catalog_is_named_and_not_made_up(copied: Path) -> None:
    catalog = copied / "catalog.duckdb"
    data = bytearray(catalog.read_bytes())
    for offset in range(20_000, len(data), 4096):
        data[offset] ^= 0xFF
    catalog.write_bytes(bytes(data))
    code, out = run("check", "-w", copied)
    assert code in (1, 2)
    assert "catalog.duckdb" in out
    assert out.count("\n") <= 20
    code, out = run("check", "--repair", "-w", copied)
    assert code == 2
    assert out.count("\n") == 1


@given(st.integers(0, 10**9), st.sampled_from(["vectors/00000.npy", "index.faiss"]))
@settings(max_examples=30)
def test_no_flipped_byte_goes_unseen(
    fitted: Path, tmp_path_factory: pytest.TempPathFactory, offset: int, name: str
) -> None:
    root = Path(shutil.copytree(fitted, tmp_path_factory.mktemp("flip") / "w"))
    data = (root / name).read_bytes()
    flip(root / name, offset)
    found = fsearch.open(root).check()
    # the header of the index has bytes that mean nothing; a flip there changes no vector
    assert not found.sound or (name == "index.faiss" and offset % len(data) < 64)
    shutil.rmtree(root)


def test_compact_gives_back_the_room_of_what_is_gone(few: Any) -> None:
    ws = fsearch.open("w.fsearch")
    ws.index(few.folder, few.losses)
    ws.fit()
    for i in range(20):
        (few.folder / f"{i:03d}.png").unlink()
    Image.new("RGB", (96, 96), "maroon").save(few.folder / "030.png")
    ws.index(few.folder)
    keys = ws.sql("SELECT key, loss FROM examples ORDER BY key").to_pylist()
    vectors = {r["key"]: Store.open(ws.root).vectors()[:][r["row"]].tobytes() for r in present(ws)}
    code, out = run("compact", "-w", "w.fsearch")
    assert code == 0
    assert out.startswith("20 missing images and 21 embeddings dropped")
    assert "fit again: fsearch fit --model model" in out
    assert ws.info().images == ws.info().embeddings == 40
    assert ws.info().missing == 0
    assert {r["key"]: Store.open(ws.root).vectors()[:][r["row"]].tobytes() for r in present(ws)} == vectors
    assert ws.sql("SELECT key, loss FROM examples ORDER BY key").to_pylist() == keys
    assert run("check", "-w", "w.fsearch") == (0, "all is well\n")
    assert run("compact", "-w", "w.fsearch")[1].startswith("0 missing images and 0 embeddings dropped")
    assert ws.index(few.folder).unchanged == 40
    with pytest.raises(fsearch.NotReadyError):
        ws.query("bald")


def present(ws: Workspace) -> list[dict[str, Any]]:
    return ws.sql("SELECT key, row FROM images WHERE status = 'present'").to_pylist()


def test_compact_refuses_a_damaged_workspace(copied: Path) -> None:
    flip(copied / "vectors" / "00000.npy", 4000)
    with pytest.raises(WorkspaceError, match="first run: fsearch check --repair"):
        fsearch.open(copied).compact()


def test_compacting_to_nothing_leaves_a_workspace(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(3):
        Image.fromarray(np.full((64, 64, 3), i * 50, np.uint8)).save(folder / f"{i}.png")
    ws = fsearch.open("w.fsearch")
    ws.index(folder)
    for i in range(3):
        (folder / f"{i}.png").unlink()
    Image.new("RGB", (8, 8)).save(folder / "new.png")
    ws.index(folder)
    ws.compact()
    assert ws.info().embeddings == 1
    assert ws.check().sound
