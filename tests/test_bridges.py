"""The bridges: the product's two, and those that only the benchmark has, behind the same interface."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks.planted.bridges import Moments, all_bridges, attention, centre, mixture, prototype, shift
from hypothesis import given
from hypothesis import strategies as st

import fsearch
from fsearch.diagnoser.bridge import BRIDGES
from fsearch.diagnoser.estimate import estimate_lift
from fsearch.indexer.storage.vectors import unit
from fsearch.search.session import Session


def cloud(n: int, d: int = 16, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(n, d)) + 0.4)


def test_shift_moves_the_text_cone_onto_the_image_cone() -> None:
    images, gap = cloud(400), np.full(16, 0.3)
    texts = unit(images + gap)
    moved = shift(texts, images.mean(axis=0), texts.mean(axis=0))
    assert np.linalg.norm(moved.mean(axis=0) - images.mean(axis=0)) < 0.5 * np.linalg.norm(
        texts.mean(axis=0) - images.mean(axis=0)
    )
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, atol=1e-5)


def test_prototype_is_the_unit_mean() -> None:
    near = cloud(20).reshape(2, 10, 16)
    assert prototype(near).shape == (2, 16)
    assert prototype(near[:, :1]) == pytest.approx(near[:, 0])


def test_mixture_separates_two_bumps() -> None:
    rng = np.random.default_rng(1)
    scores = -np.sort(-np.concatenate([rng.normal(3, 0.3, 40), rng.normal(0, 0.3, 160)]))[None]
    found = mixture(scores)
    assert found[0, :40].min() > 0.9
    assert found[0, 45:].max() < 0.1


@given(st.integers(0, 200))
def test_centre_keeps_differences_of_texts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    texts = unit(rng.normal(size=(3, 6)))
    moved = centre(texts, rng.normal(size=6), rng.normal(size=6))
    np.testing.assert_allclose(moved[0] - moved[1], texts[0] - texts[1], atol=1e-5)


@given(st.integers(0, 500), st.floats(0.05, 5.0))
def test_attention_weighs_nearer_images_more(seed: int, temperature: float) -> None:
    scores = np.random.default_rng(seed).normal(size=(4, 30))
    weights = attention(scores, temperature)
    np.testing.assert_allclose(weights.max(axis=1), 1)
    order = np.argsort(scores, axis=1)
    assert (np.diff(np.take_along_axis(weights, order, axis=1), axis=1) >= 0).all()


def test_attention_survives_extremes() -> None:
    assert attention(np.array([[1e4, 0.0, -1e4]]))[0] == pytest.approx([1, 0, 0])


def test_moments_standardise_as_if_every_image_were_seen() -> None:
    images, texts = cloud(500), cloud(3, seed=1)
    cosines = texts @ images.T
    expected = (cosines - cosines.mean(axis=1, keepdims=True)) / cosines.std(axis=1, keepdims=True)
    np.testing.assert_allclose(Moments.of(images).standardise(texts, cosines), expected, atol=1e-3)


def test_every_bridge_finds_the_planted_failure_above_its_opposite(fitted: Path) -> None:
    session = Session()
    store = session.store(fitted)
    diagnosis, encoder = session.diagnosis(store, "planted"), session.encoder(store, "cpu")
    images = store.vectors()[:].astype(np.float32)
    bridges = all_bridges(Moments.of(images))
    assert set(BRIDGES) < set(bridges)
    retrieved = diagnosis.retriever.find(encoder.embed_texts(["very dark skin", "very light skin"]))
    for name, bridge in bridges.items():
        dark, light = estimate_lift(diagnosis, retrieved, bridge).value
        assert np.isfinite([dark, light]).all()
        assert dark > light, name


@pytest.mark.parametrize("name", ["attention", "prototype", "shift"])
def test_a_bridge_of_an_older_version_is_named_in_a_note(fitted: Path, name: str) -> None:
    ws = fsearch.open(fitted)
    old, new = ws.query("dark skin", bridge=name), ws.query("dark skin")
    assert old.answers == new.answers
    assert f"the bridge {name!r} is no longer part of fsearch; membership was used" in old.notes
    with pytest.raises(fsearch.BadInputError, match="unknown bridge 'centre'; use one of: membership, raw"):
        ws.query("dark skin", bridge="centre")
