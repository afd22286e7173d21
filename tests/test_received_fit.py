"""A fit that came from somebody else: any changed bit is named, and crafted files, hashes and all, are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

import fsearch
from fsearch.diagnoser import artifact
from fsearch.diagnoser.trees import MAX_DEPTH, NODE, Trees
from fsearch.indexer.errors import WorkspaceError
from fsearch.indexer.storage.files import file_sha256
from fsearch.indexer.storage.layout import Layout


@pytest.fixture
def received(fitted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fitted, tmp_path / "received.fsearch"))


def sign(folder: Path, change: Callable[[dict[str, Any]], object] = lambda _: None) -> None:
    """Let the manifest's hashes be right, whatever was done, as a sender can."""
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    manifest["files"] = {p.name: file_sha256(p) for p in folder.glob("*.npy")}
    manifest["sha256"] = artifact.manifest_sha256(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_one_flipped_bit_anywhere_is_named_and_no_engine_sees_it(received: Path) -> None:
    folder, rng = received / "models" / "planted", np.random.default_rng(0)
    layout, dim = Layout(received), fsearch.open(received).info().dim
    assert artifact.find_damage(layout, "planted", dim) is None
    for path in sorted(folder.iterdir()):
        good = path.read_bytes()
        for at in {0, 6, len(good) - 1, *rng.integers(0, len(good), 12).tolist()}:
            bad = bytearray(good)
            bad[at] ^= 1 << int(rng.integers(8))
            path.write_bytes(bad)
            assert artifact.find_damage(layout, "planted", dim), f"{path.name} byte {at}"
        path.write_bytes(good[:-1])
        assert artifact.find_damage(layout, "planted", dim)
        path.write_bytes(good)
    assert artifact.find_damage(layout, "planted", dim) is None
    (folder / "one-more.npy").write_bytes(b"")
    assert "too many" in str(artifact.find_damage(layout, "planted", dim))


ARRAYS: list[tuple[str, Callable[[Any], Any]]] = [
    ("members", lambda a: a * np.float32(np.nan)),
    ("members", lambda a: a[:, :-1]),
    ("members", lambda a: a.astype(np.float64)),
    ("rows", lambda a: a + 10**9),
    ("rows", lambda a: a[::-1]),
    ("rows", lambda a: a - 1),
    ("out_of_bag", lambda a: a.astype(np.uint8)),
    ("texts", lambda a: a[:, :-1]),
    ("texts", lambda a: a * np.float32(np.inf)),
    ("coefficients", lambda a: a * np.nan),
    ("coefficients", lambda a: a[:, 1:]),
    ("background", lambda a: a[1:]),
    ("background", lambda a: np.ones((2, 3))),
    ("bank_lifts", lambda a: a[1:]),
    ("counts", lambda a: a[:-1]),
    ("counts", lambda a: -a),
    ("roots", lambda a: a + 10**6),
    ("base", lambda a: a * np.float32(np.nan)),
]


@pytest.mark.parametrize(("name", "change"), ARRAYS)
def test_arrays_that_do_not_belong_together_are_refused(
    received: Path, name: str, change: Callable[[Any], Any]
) -> None:
    folder = received / "models" / "planted"
    changed = change(np.load(folder / f"{name}.npy"))
    np.save(folder / f"{name}.npy", changed)
    sign(folder)
    ws = fsearch.open(received)
    if name == "rows" and changed[0] == 10**9:  # rows of no image take no part
        with pytest.raises(fsearch.FsearchError, match="only 0 of the images"):
            ws.query("dark skin tone")
        return
    with pytest.raises(WorkspaceError, match="is damaged; run: fsearch fit") as caught:
        ws.query("dark skin tone")
    assert "\n" not in str(caught.value)
    assert "the ensemble cannot be read" in str(ws.check())


MANIFESTS: list[Callable[[dict[str, Any]], object]] = [
    lambda m: m.update(logit_scale=float("nan")),
    lambda m: m.update(logit_scale=-1),
    lambda m: m["report"].update(mean_loss=float("nan")),
    lambda m: m["report"].update(members=10**9),
    lambda m: m["report"].update(model="../../elsewhere"),
    lambda m: m["report"].update(conformal="1"),
    lambda m: m["report"].update(target="__import__"),
    lambda m: m["stacking"].update(trees=1e308),
    lambda m: m["transform"].update(smearing=float("inf")),
    lambda m: m.update(thresholds={"similarity": []}),
    lambda m: m.pop("report"),
]


@pytest.mark.parametrize("change", MANIFESTS)
def test_a_manifest_that_says_what_cannot_be_is_refused(received: Path, change: Callable[[Any], object]) -> None:
    sign(received / "models" / "planted", change)
    with pytest.raises(WorkspaceError, match="is damaged; run: fsearch fit"):
        fsearch.open(received).query("dark skin tone")


def trees(*nodes: tuple[int, int, float, float], roots: tuple[int, ...] = (0,)) -> Trees:
    return Trees(np.array(list(nodes), NODE), np.array(roots, "i4"), np.array([len(roots)], "i4"), np.zeros(1, "f4"))


LEAVES = ((1, 0, np.inf, 0.5), (2, 0, np.inf, 0.7))


@pytest.mark.parametrize(
    "crafted",
    [
        trees((9, 0, 0.1, 0.0), *LEAVES),
        trees((-5, 0, 0.1, 0.0), *LEAVES),
        trees((2**31 - 1, 0, 0.1, 0.0), *LEAVES),
        trees((1, 8, 0.1, 0.0), *LEAVES),
        trees((1, -1, 0.1, 0.0), *LEAVES),
        trees((1, 0, np.nan, 0.0), *LEAVES),
        trees((1, 0, 0.1, 0.0), (1, 0, np.inf, np.nan), LEAVES[1]),
        trees((1, 0, 0.1, 0.0), (1, 0, 0.2, 0.5), LEAVES[1]),
        trees((1, 0, 0.1, 0.0), (0, 0, 0.2, 0.5), LEAVES[1]),  # a cycle
        trees((1, 0, 0.1, 0.0), *LEAVES, roots=(0, 0)),
        trees((1, 0, 0.1, 0.0), *LEAVES, roots=(0, 1)),
        trees((1, 0, 0.1, 0.0), *LEAVES, roots=(1,)),
        trees((1, 0, 0.1, 0.0), *LEAVES, roots=(-1,)),
        trees(*((2 * i + 1, 0, 0.1, 0.0) if not i % 2 else (i, 0, np.inf, 1.0) for i in range(4))),
        trees(  # a chain, deeper than any tree that is grown
            *(row for i in range(MAX_DEPTH + 5) for row in ((2 * i, 0, np.inf, 1.0), (2 * i + 2, 0, 0.1, 0.0)))
        ),
    ],
)
def test_crafted_trees_are_refused_before_they_are_followed(crafted: Trees) -> None:
    with pytest.raises(ValueError, match="tree"):
        crafted.require_sound(1, 8)
    trees((1, 0, 0.1, 0.0), *LEAVES).require_sound(1, 8)


def test_losses_that_are_no_numbers_are_named_and_removed(received: Path) -> None:
    with duckdb.connect(str(received / "catalog.duckdb")) as con:
        con.execute("UPDATE losses SET loss = 'nan' WHERE image_id = 1")
        con.execute("UPDATE losses SET loss = 1e308 WHERE image_id = 2")
    ws = fsearch.open(received)
    assert "2 losses are no numbers" in str(ws.check())
    assert ws.check(repair=True).sound
    assert ws.sql("SELECT count(*) FROM losses").to_pylist() == [{"count_star()": 318}]


def test_rows_of_no_embedding_are_one_line(received: Path) -> None:
    with duckdb.connect(str(received / "catalog.duckdb")) as con:
        con.execute("UPDATE images SET row = 4000000000 WHERE image_id = 1")
    with pytest.raises(WorkspaceError, match="images have no embedding; run: fsearch check --repair"):
        fsearch.open(received).query("dark skin tone")
