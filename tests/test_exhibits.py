"""What is shown with an answer: images that fail, images that do not, where they can be opened, their thumbnails."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tests.conftest import Planted

import fsearch
from fsearch.diagnoser.exhibits import SHOWS, Kind, exhibits
from fsearch.diagnoser.retrieval import EVERY, Retriever
from fsearch.indexer.sources.base import GONE
from fsearch.indexer.sources.decode import RejectedImageError
from fsearch.indexer.storage.layout import cache_folder
from fsearch.indexer.vector_index.exact_search import ExactSearch
from fsearch.indexer.workspace.image_places import ImageRow
from fsearch.indexer.workspace.image_reader import IN_MEMORY, NOT_TRUSTED, ImageReader, prune
from fsearch.indexer.workspace.store import Store
from fsearch.search.workspace import Workspace


def reader(ws: Workspace) -> ImageReader:
    return ImageReader(Store.open(ws.root))


def test_one_strip_fails_and_the_other_does_not(ws: Workspace, planted: Planted) -> None:
    answer = ws.query("dark skin tone", top=12)[0]
    assert len(answer.failing) == len(answer.passing) == len(answer.nearest) == 12
    assert min(n.loss for n in answer.failing) > answer.baseline >= max(n.loss for n in answer.passing)
    assert all(n.membership >= SHOWS for n in (*answer.failing, *answer.passing) if n.membership is not None)
    gain = [n.membership * (n.loss - answer.baseline) for n in answer.failing if n.membership is not None]
    assert gain == sorted(gain, reverse=True)
    tones = {f"{i:03d}.png": p.skin_tone for i, p in enumerate(planted.portraits)}
    assert np.mean([tones[n.key] >= 7 for n in answer.failing]) > 0.9
    losses = {f"{i:03d}.png": v for i, v in enumerate(planted.values)}
    assert all(n.loss == pytest.approx(losses[n.key], abs=1e-6) for n in (*answer.failing, *answer.passing))


def test_among_many_images_each_is_shown_once_and_the_sampled_ones_count_for_the_rest() -> None:
    """Past EVERY images a phrase is judged by the nearest and a sample, which holds some of the nearest again."""
    rng = np.random.default_rng(5)
    n = EVERY + 2000
    such = np.arange(n) < 3600  # more than are taken as nearest
    vectors = rng.normal(size=(n, 32)) * 0.3
    vectors[such, 0] += 3.0
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    losses = np.where(such, 2.0, 0.0) + rng.random(n)
    few = SimpleNamespace(losses=losses, image_ids=np.arange(n), baseline=float(losses.mean()))
    retrieved = Retriever(ExactSearch(vectors), np.arange(n), 100.0).find(np.eye(32, dtype=np.float32)[:1])
    (found,) = exhibits(few, retrieved, 3000)  # type: ignore[arg-type]
    for kind in Kind:
        ids = found.images[kind].image_ids
        assert len(ids) == len(set(ids.tolist()))
    middles = np.convolve(found.histogram.edges, [0.5, 0.5], "valid")
    weights, images = retrieved.weights[0], retrieved.neighbours[0]
    assert np.dot(middles, found.histogram.shows) == pytest.approx(np.average(losses[images], weights=weights), abs=0.1)
    assert np.dot(middles, found.histogram.rest) < 1.5


def test_each_image_says_label_prediction_and_a_path_that_opens(few: Planted) -> None:
    rows = few.losses.read_text().splitlines()
    few.losses.write_text("\n".join([f"{rows[0]},prediction", *(f"{row},smiling" for row in rows[1:])]) + "\n")
    ws = fsearch.open("w")
    ws.index(few.folder, few.losses)
    ws.fit()
    answer = ws.query("a hat")[0]
    assert {n.prediction for n in answer.nearest} == {"smiling"}
    for n in answer.nearest:
        assert n.label == few.portraits[int(n.key[:3])].expression
        assert n.path is not None
        assert Path(n.path).samefile(few.folder / n.key)
    found = answer.as_dict()
    assert found["failing"][0]["path"] == answer.failing[0].path
    word, image = ("nearest", answer.nearest[0]) if answer.verdict == "unseen" else ("fails", answer.failing[0])
    assert f"  {word:<7}  {image}" in str(answer)


def test_a_histogram_has_shares_of_such_images_and_of_the_rest(ws: Workspace, planted: Planted) -> None:
    histogram = ws.query("dark skin tone")[0].histogram
    assert histogram is not None
    assert sum(histogram.shows) == pytest.approx(1)
    assert sum(histogram.rest) == pytest.approx(1)
    assert len(histogram.edges) == len(histogram.shows) + 1
    assert histogram.edges[-1] == pytest.approx(planted.values.max(), abs=1e-6)
    middles = np.convolve(histogram.edges, [0.5, 0.5], "valid")
    assert np.dot(middles, histogram.shows) > 2 * np.dot(middles, histogram.rest)


def test_a_run_keeps_its_images_by_kind_and_slice(fitted: Path, tmp_path: Path) -> None:
    shutil.copytree(fitted, tmp_path / "mine.fsearch")
    ws = fsearch.open(tmp_path / "mine.fsearch")
    ranking = ws.rank(["dark skin tone", "bald"], by="label", top=3)
    rows = ws.sql("SELECT rank, within, kind, place, key, loss, label FROM latest_evidence").to_pylist()
    for rank, answer in enumerate(ranking.answers, start=1):
        for kind, images in (("failing", answer.failing), ("passing", answer.passing), ("nearest", answer.nearest)):
            stored = [r for r in rows if r["rank"] == rank and r["kind"] == kind]
            assert [(r["key"], r["loss"], r["label"]) for r in stored] == [(n.key, n.loss, n.label) for n in images]
            assert {r["within"] for r in stored} <= {answer.within}
    (shares,) = ws.sql("SELECT shows FROM loss_histograms WHERE rank = 1 ORDER BY run_id DESC LIMIT 1")[
        "shows"
    ].to_pylist()
    assert ranking.answers[0].histogram is not None
    assert tuple(shares) == ranking.answers[0].histogram.shows


def test_what_is_shown_costs_no_second_search(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsearch.indexer.vector_index.exact_search import ExactSearch

    ws.query("bald", where="skin_tone >= 7")
    searches: list[int] = []
    search = ExactSearch.search
    monkeypatch.setattr(ExactSearch, "search", lambda *a, **k: searches.append(1) or search(*a, **k))
    ws.query("a hat")
    assert len(searches) == 1
    ws.query("a straw hat", where="skin_tone >= 7")
    assert len(searches) == 3  # among all images, and among these


def test_an_image_in_an_archive_is_read_and_has_no_path(few: Planted) -> None:
    with zipfile.ZipFile("images.zip", "w") as archive:
        for path in few.folder.iterdir():
            archive.write(path, path.name)
    ws = fsearch.open("w")
    ws.index("images.zip", few.losses)
    source = str(Path("images.zip").resolve())
    shutil.copy(few.folder / "000.png", "000.png")  # of the same name, beside the archive: another file
    assert reader(ws).place(ImageRow(source, "000.png", None, None)) is None
    with Image.open(io.BytesIO(reader(ws).thumbnail(source, "000.png", 32))) as thumbnail:
        assert (thumbnail.format, thumbnail.size) == ("WEBP", (32, 32))


def test_images_of_a_folder_have_a_path_however_it_is_laid_out(few: Planted) -> None:
    Path("labels").mkdir()
    for path in sorted(few.folder.iterdir())[:3]:
        Path("labels", f"{path.stem}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    shutil.move(few.folder, "images")
    Path("yolo").mkdir()
    for part in ("images", "labels"):
        shutil.move(part, "yolo")
    ws = fsearch.open("w")
    ws.index("yolo")
    (source,) = ws.sql("SELECT DISTINCT source FROM images")["source"].to_pylist()
    for key in ws.sql("SELECT key FROM images LIMIT 2")["key"].to_pylist():
        place = reader(ws).place(ImageRow(source, key, None, None))
        assert place is not None
        assert Path(place).samefile(Path("yolo", key))
    assert reader(ws).place(ImageRow(source, "images/none.png", None, None)) is None


def test_thumbnails_are_cached_outside_the_workspace_and_follow_the_file(few: Planted) -> None:
    ws = fsearch.open("w")
    ws.index(few.folder, few.losses)
    before, source = sorted(Path("w").rglob("*")), str(few.folder.resolve())
    first = reader(ws).thumbnail(source, "000.png", 40)
    assert sorted(Path("w").rglob("*")) == before
    assert [p for p in (cache_folder() / "thumbnails").rglob("*.webp") if p.read_bytes() == first]
    shutil.copy(few.folder / "001.png", few.folder / "000.png")
    os.utime(few.folder / "000.png", ns=(1, 1))
    assert reader(ws).thumbnail(source, "000.png", 40) != first
    shutil.rmtree(cache_folder() / "thumbnails")
    (few.folder / "000.png").unlink()
    with pytest.raises(RejectedImageError, match=GONE):
        reader(ws).thumbnail(source, "000.png", 40)


def test_a_stored_name_runs_no_code_and_a_key_leaves_no_source(few: Planted) -> None:
    ws = fsearch.open("w")
    ws.index(few.folder, few.losses)
    Path("outside.png").write_bytes((few.folder / "000.png").read_bytes())
    (few.folder / "link.png").symlink_to(Path("outside.png").resolve())
    with Store.open(ws.root).catalog.write() as con:
        con.execute("INSERT INTO sources VALUES ('evil', 'os:getcwd', '{}'), ('memory', NULL, '{}')")
        con.execute("UPDATE images SET source = 'evil' WHERE key = '001.png'")
        con.execute("UPDATE images SET source = 'memory' WHERE key = '002.png'")
    for source, reason in (("evil", NOT_TRUSTED), ("memory", IN_MEMORY)):
        assert reader(ws).place(ImageRow(source, "0", None, None)) is None
        with pytest.raises(RejectedImageError, match=reason):
            reader(ws).read(source, "0")
    for key in ("../outside.png", "link.png", "/etc/passwd"):
        with pytest.raises(RejectedImageError):
            reader(ws).read(str(few.folder.resolve()), key)
    with pytest.raises(RejectedImageError, match="does not say where"):
        reader(ws).read("/elsewhere", "000.png")


def test_the_images_of_a_workspace_from_elsewhere_are_left_alone(few: Planted) -> None:
    ws = fsearch.open("w")
    ws.index(few.folder, few.losses)
    shutil.copytree("w", "received")
    source = str(few.folder.resolve())
    other = reader(fsearch.open("received"))
    assert other.place(ImageRow(source, "000.png", None, None)) is None
    with pytest.raises(RejectedImageError, match=f"{NOT_TRUSTED}: fsearch trust -w .*received"):
        other.thumbnail(source, "000.png", 32)


def test_the_cache_is_bounded(tmp_path: Path) -> None:
    for i in range(20):
        folder = tmp_path / f"{i % 3:02d}"
        folder.mkdir(exist_ok=True)
        (folder / f"{i}.webp").write_bytes(bytes(1000))
        os.utime(folder / f"{i}.webp", (i, i))
    prune(tmp_path, 20_000)
    assert len(list(tmp_path.rglob("*.webp"))) == 20
    prune(tmp_path, 10_000)
    assert sorted(int(p.stem) for p in tmp_path.rglob("*.webp")) == list(range(11, 20))
