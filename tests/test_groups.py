"""Groups of repeated images: found by a column or by the embeddings, drawn and held out whole, and told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from tests.conftest import Planted
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app
from fsearch.diagnoser import ensemble
from fsearch.diagnoser.fit import learn
from fsearch.diagnoser.groups import effective_images, shuffled, singletons
from fsearch.diagnoser.subsample import fitting_rows
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.vectors import unit
from fsearch.indexer.vector_index.exact_search import ExactSearch
from fsearch.indexer.vector_index.near_duplicates import dense, find, find_in


def frames(clips: int, each: int, noise: float = 0.02, dim: int = 32, seed: int = 0) -> np.ndarray:
    """(clips * each, dim) unit vectors: clips drawn at random, each of frames that hardly differ."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.normal(size=(clips, dim)) + 1.0)
    return unit(np.repeat(centres, each, axis=0) + rng.normal(size=(clips * each, dim)) * noise)


def test_labels_become_dense_in_order_of_first_appearance() -> None:
    assert dense(np.array([7, 3, 7, 9, 3])).tolist() == [0, 1, 0, 2, 1]
    assert dense(np.arange(5) * 2).tolist() == [0, 1, 2, 3, 4]


def test_frames_are_found_and_independent_images_are_not() -> None:
    assert find(frames(50, 8)).tolist() == np.repeat(np.arange(50), 8).tolist()
    assert find(frames(400, 1)).tolist() == list(range(400))
    assert find(frames(1, 1)).tolist() == [0]
    assert find(np.empty((0, 8), np.float32)).tolist() == []


def test_groups_are_found_through_an_inverted_file_too() -> None:
    vectors = frames(7_000, 3)
    order = np.random.default_rng(1).permutation(len(vectors))
    truth = np.repeat(np.arange(7_000), 3)[order]
    assert (find(vectors[order]) == dense(truth)).mean() > 0.999


def test_vectors_that_no_image_has_any_more_change_no_group() -> None:
    """Those of images embedded anew are exact copies; those of changed images may lie between two others."""
    vectors = np.concatenate([frames(60, 3), frames(200, 1, seed=1)])
    between = unit(vectors[:180:3] + vectors[180:240])
    live = np.arange(len(vectors)) + len(vectors)
    for gone in (vectors, unit(vectors + np.roll(vectors, 1, axis=0)), np.resize(between, vectors.shape)):
        found = find_in(ExactSearch(np.concatenate([gone, vectors])), live=live)
        assert dense(found[live]).tolist() == find(vectors).tolist()
        assert len(set(found[: len(gone)])) == len(gone)
        assert not np.isin(found[: len(gone)], found[live]).any()
    alike = np.repeat(frames(1, 1), 6, axis=0)
    assert find_in(ExactSearch(alike), live=np.array([1, 4])).tolist() == [1, 0, 3, 4, 0, 6]


def test_members_draw_and_hold_out_whole_groups() -> None:
    x, groups = frames(40, 5), np.repeat(np.arange(40), 5)
    losses = np.random.default_rng(2).gamma(2.0, 0.5, 40)[groups]
    bagged = ensemble.train(ensemble.local_trainer(x), x, losses, groups=groups, members=4)
    held_out = bagged.out_of_bag.reshape(4, 40, 5)
    assert (held_out == held_out[:, :, :1]).all()
    assert 0 < held_out[:, :, 0].sum() < 160


def test_without_repeats_a_fit_is_what_it_was_to_the_bit() -> None:
    x = frames(300, 1)
    losses = np.random.default_rng(3).gamma(2.0, 0.5, 300)
    without, report = learn(x, losses, model="m", limit=200)
    with_groups, same = learn(x, losses, model="m", limit=200, groups=singletons(300))
    assert report == same
    assert np.array_equal(without.members, with_groups.members)
    moved = shuffled(losses, singletons(300), np.random.default_rng(4))
    assert np.array_equal(moved, np.random.default_rng(4).permutation(losses))


def test_a_fit_to_clips_no_phrase_explains_has_no_signal() -> None:
    x, clips = frames(100, 30), np.repeat(np.arange(100), 30)
    losses = np.random.default_rng(5).gamma(2.0, 0.5, 100)[clips]
    assert learn(x, losses, model="m")[1].signal
    report = learn(x, losses, model="m", groups=find(x))[1]
    assert not report.signal
    assert (report.groups, report.largest_group, report.effective_images) == (100, 30, 100.0)
    assert report.notes[-1] == "3,000 images in 100 groups of near-duplicates, the largest of 30"


def test_a_subsample_takes_groups_whole() -> None:
    x, groups = frames(300, 4), np.repeat(np.arange(300), 4)
    rows = fitting_rows(x, np.random.default_rng(6).gamma(2.0, 0.5, 1200), 0, 400, groups)
    taken = np.bincount(groups[rows], minlength=300)
    assert set(taken.tolist()) == {0, 4}
    assert len(rows) == 400


def test_values_move_by_whole_groups() -> None:
    groups = np.array([0, 1, 0, 1, 2, 2])
    values = np.array([1.0, 2.0, 1.0, 2.0, 3.0, 3.0])
    moved = shuffled(values, groups, np.random.default_rng(0))
    assert sorted(moved) == sorted(values)
    assert all(len(set(moved[groups == g])) == 1 for g in range(3))


def test_repeats_are_worth_as_many_images_as_their_losses_differ() -> None:
    rng, groups = np.random.default_rng(7), np.repeat(np.arange(200), 10)
    clip, own = rng.normal(size=200)[groups], rng.normal(size=2000)
    assert effective_images(clip, groups) == 200
    assert effective_images(own, groups) > 1500
    half = effective_images(clip + own, groups)  # correlation 0.5: 2,000 / (1 + 9 * 0.5)
    assert 320 < half < 410
    assert effective_images(own, singletons(2000)) == 2000


def clips_of(planted: Planted, root: Path, each: int) -> Path:
    """The losses file of `planted` with a column `clip` of `each` images, and none for the last of them."""
    rows = planted.losses.read_text().splitlines()
    lines = [f"{rows[0]},clip", *(f"{row},{'' if row == rows[-1] else i // each}" for i, row in enumerate(rows[1:]))]
    path = root / "clips.csv"
    path.write_text("\n".join(lines))
    return path


def test_a_column_says_which_images_are_repeats(few: Planted, tmp_path: Path) -> None:
    ws = fsearch.open(tmp_path / "w.fsearch")
    ws.index(few.folder, clips_of(few, tmp_path, 4), group_by="clip")
    sizes = ws.sql("SELECT count(*) AS images FROM images GROUP BY group_id ORDER BY min(image_id)")["images"]
    assert sizes.to_pylist() == [4] * 14 + [3, 1]
    assert ws.fit().repetition == "60 images in 16 groups by clip, the largest of 4"
    assert ws.fit(group_by="key").groups == 60
    with pytest.raises(BadInputError, match="--group-by clop: no such column of the images; there are: image_id, "):
        ws.fit(group_by="clop")
    assert ws.fit(group_by="near-duplicates").grouped_by is None


def test_copies_that_hardly_differ_are_one_group(few: Planted, tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    for path in sorted(few.folder.glob("*.png"))[:20]:
        pixels = np.asarray(PIL.Image.open(path).convert("RGB")).astype(int)
        for i in range(3):
            noisy = (pixels + rng.normal(0, 2, pixels.shape)).clip(0, 255).astype(np.uint8)
            PIL.Image.fromarray(noisy).save(few.folder / f"{path.stem}-{i}.png")
    ws = fsearch.open(tmp_path / "w.fsearch")
    ws.index(few.folder)
    query = "SELECT count(DISTINCT group_id) AS ids FROM images WHERE split_part(key, '-', 1) = ? OR key = ?"
    together = [ws.sql(f"{query}".replace("?", f"'{n:03d}'", 1).replace("?", f"'{n:03d}.png'")) for n in range(20)]
    assert [t["ids"][0].as_py() for t in together] == [1] * 20
    assert ws.sql("SELECT count(DISTINCT group_id) AS ids FROM images")["ids"][0].as_py() >= 55


def test_info_says_how_many_groups_there_are_and_lists_the_largest(few: Planted, tmp_path: Path) -> None:
    ws = fsearch.open(tmp_path / "w.fsearch")
    ws.index(few.folder, clips_of(few, tmp_path, 4), group_by="clip")
    info = ws.info()
    assert (info.groups, info.largest_group, info.grouped_by) == (16, 4, "clip")
    assert "groups      16 by clip, the largest of 4: fsearch info --groups" in str(info)
    out = CliRunner().invoke(app, ["info", "--groups", "--json", "-w", str(ws.root)]).stdout
    rows = json.loads(out)
    assert rows[0] == {"group_id": 0, "images": 4, "key": "000.png"}
    assert [r["images"] for r in rows] == [4] * 14 + [3]
