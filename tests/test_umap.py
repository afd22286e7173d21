"""The map by UMAP: made once before the page is served, cached off the commit path, safe to delete."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.support.pages import serving
from tests.test_cli import run

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.workspace.store import Store
from fsearch.search.web.map import Asked, ImageMap
from fsearch.search.web.umap_places import entry_of

pytest.importorskip("uvicorn")


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSEARCH_CACHE", str(tmp_path / "cache"))


def a_map(fitted: Path) -> ImageMap:
    return ImageMap(Store.open(fitted), "planted")


def test_without_it_the_map_is_by_pca_and_the_library_is_named(fitted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    code, _, err = run("serve", "--map", "umap", "--port", "0", "-w", fitted)
    assert (code, "pip install 'fsearch-vision[map]'" in err) == (2, True)
    with pytest.raises(BadInputError, match="fsearch serve --map umap"):
        a_map(fitted).points(Asked(placed="umap"))


def test_a_cache_that_is_no_such_thing_is_passed_over(fitted: Path, tmp_path: Path) -> None:
    found = a_map(fitted)
    entry = entry_of(found.store, found.losses.rows[found.shown])
    entry.parent.mkdir(parents=True)
    assert tmp_path / "cache" in entry.parents
    for damaged in (np.zeros((3, 2), np.float32), np.zeros((320, 2)), np.full((320, 2), np.nan, np.float32)):
        np.save(entry, damaged)
        assert a_map(fitted).umap is None
    entry.write_bytes(b"no array")
    assert a_map(fitted).umap is None
    np.save(entry, np.random.default_rng(0).normal(size=(320, 2)).astype(np.float32))
    places = a_map(fitted).umap
    assert places is not None
    assert np.abs(places).max() == 1


def test_neighbours_stay_neighbours_and_it_is_made_once(fitted: Path, tmp_path: Path) -> None:
    pytest.importorskip("umap", reason="pip install umap-learn")
    found = a_map(fitted)
    found.make_umap()
    places, again = found.umap, a_map(fitted).umap
    assert places is not None
    assert np.array_equal(places, again)
    shutil.rmtree(tmp_path / "cache")
    anew = a_map(fitted)
    assert anew.umap is None
    anew = a_map(fitted)
    anew.make_umap()
    assert np.allclose(anew.umap, places)
    vectors = np.asarray(found.store.vectors()[found.losses.rows], np.float32)

    def kept(placed: np.ndarray) -> float:
        """The share of the 15 nearest by embedding that are among the 15 nearest on the map."""
        true = np.argsort(-vectors @ vectors.T, axis=1)[:, 1:16]
        seen = np.argsort(((placed[:, None] - placed[None]) ** 2).sum(axis=2), axis=1)[:, 1:16]
        return float(np.mean([len(set(a) & set(b)) / 15 for a, b in zip(true, seen, strict=True)]))

    assert kept(places) > kept(found.places)
    with serving(fitted) as page:
        assert b'value="umap" selected' in page.get("/map")[2]
        points = np.frombuffer(page.get("/map/points")[2], "<f4").reshape(-1, 4)
        assert np.array_equal(points[:, :2], places[found.shown])
        assert not np.array_equal(np.frombuffer(page.get("/map/points?placed=pca")[2], "<f4"), points.ravel())
        inside = (places[:, 0] > 0).sum()
        assert f"<h2>{inside} images</h2>".encode() in page.get("/map/selection?area=0,-2,2,-2,2,2,0,2")[2]
