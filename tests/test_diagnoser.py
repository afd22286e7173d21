"""Bridges, calibration, verdicts and the ensemble, each on its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsearch.diagnoser import ensemble
from fsearch.diagnoser.bridge import Moments, attention, prototype, shift, unit
from fsearch.diagnoser.calibration import conformal_quantile, member_lifts, scale
from fsearch.diagnoser.ensemble import Target, out_of_bag_mean
from fsearch.diagnoser.verdict import Facts, judge
from fsearch.indexer.errors import WorkspaceError


def cloud(n: int, d: int = 16, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(n, d)) + 0.4)


@given(st.integers(0, 500), st.floats(0.05, 5.0))
def test_attention_weighs_nearer_images_more(seed: int, temperature: float) -> None:
    scores = np.random.default_rng(seed).normal(size=(4, 30))
    weights = attention(scores, temperature)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    order = np.argsort(scores, axis=1)
    assert (np.diff(np.take_along_axis(weights, order, axis=1), axis=1) >= 0).all()


def test_attention_survives_extremes() -> None:
    assert attention(np.array([[1e4, 0.0, -1e4]]))[0] == pytest.approx([1, 0, 0])


def test_moments_standardise_as_if_every_image_were_seen() -> None:
    images, texts = cloud(500), cloud(3, seed=1)
    cosines = texts @ images.T
    expected = (cosines - cosines.mean(axis=1, keepdims=True)) / cosines.std(axis=1, keepdims=True)
    np.testing.assert_allclose(Moments.of(images).standardise(texts, cosines), expected, atol=1e-3)


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


def test_member_lifts_use_only_members_that_did_not_train_on_the_neighbour() -> None:
    weights = np.array([[0.5, 0.5]])
    members = np.array([[[9.0, 1.0]], [[2.0, 4.0]]], np.float32)
    out = np.array([[[False, True]], [[True, True]]])
    lifts = member_lifts(weights, members, out, np.array([1.0, 1.0]))
    assert lifts[:, 0] == pytest.approx([0.0, 2.0])
    out[0] = False
    assert np.isnan(member_lifts(weights, members, out, np.zeros(2))[0, 0])
    assert member_lifts(weights, members, np.zeros_like(out), np.zeros(2))[:, 0] == pytest.approx([5.0, 3.0])


def test_scale_shrinks_with_more_images_and_grows_with_disagreement() -> None:
    close, apart = np.array([[1.0], [1.1]]), np.array([[0.0], [2.0]])
    assert scale(apart, 1.0, np.array([50.0])) > scale(close, 1.0, np.array([50.0]))
    assert scale(close, 1.0, np.array([500.0])) < scale(close, 1.0, np.array([50.0]))


def test_conformal_quantile_covers() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        q = conformal_quantile(rng.standard_t(4, size=99))
        covered.append(abs(rng.standard_t(4)) <= q)
    assert 0.85 <= np.mean(covered) <= 0.95


def test_conformal_quantile_of_few_errors_is_the_largest() -> None:
    assert conformal_quantile(np.array([0.5, -3.0])) == 3.0


FAILS = Facts(0.5, 0.3, 0.7, 0.6, 0.1, 80, 0.001, loss_std=1.0)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "fails"),
        ({"q_value": 0.10}, "fails"),
        ({"q_value": 0.11}, "suspect"),
        ({"lift": -0.1, "lo": -0.3, "hi": 0.1}, "unclear"),
        ({"observed_lift": -0.1, "q_value": 0.9}, "suspect"),
        ({"n_effective": 9.0}, "unseen"),
        ({"unknown_words": ("zebra",)}, "unseen"),
        ({"foreign_images": True}, "unseen"),
        ({"signal": False}, "unclear"),
        ({"signal": False, "lift": -1.0, "lo": -1.1, "hi": -0.9, "observed_lift": -1.0, "q_value": 1.0}, "unclear"),
        ({"signal": False, "q_value": 0.11}, "unclear"),
        ({"lift": 0.0, "lo": -0.1, "hi": 0.1, "observed_lift": 0.0, "observed_error": 0.05, "q_value": 0.5}, "fine"),
        ({"lift": 0.0, "lo": -0.1, "hi": 0.3, "observed_lift": 0.0, "observed_error": 0.05, "q_value": 0.5}, "unclear"),
        ({"lift": 0.0, "lo": -0.1, "hi": 0.1, "observed_lift": 0.0, "observed_error": 0.2, "q_value": 0.5}, "unclear"),
    ],
)
def test_verdicts(changes: dict[str, object], verdict: str) -> None:
    word, reason = judge(replace(FAILS, **changes))
    assert word == verdict
    assert ("no better than chance" in reason) == (changes.get("signal") is False)


@given(st.floats(-2, 2), st.floats(0, 2), st.floats(-2, 2), st.floats(0.001, 1), st.floats(1, 500), st.floats(0, 1))
def test_a_positive_significant_lift_is_never_called_fine(
    lift: float, half: float, observed: float, error: float, n: float, q: float
) -> None:
    word, _ = judge(Facts(lift, lift - half, lift + half, observed, error, n, q, loss_std=1.0))
    if word == "fine":
        assert max(lift, observed) < 0.2
        assert n >= 10


@given(st.lists(st.floats(0, 100), min_size=2, max_size=50))
def test_target_goes_there_and_back(losses: list[float]) -> None:
    values = np.array(losses)
    for target in (Target(log=True), Target(log=False)):
        np.testing.assert_allclose(target.backward(target.forward(values)), values, atol=1e-9, rtol=1e-9)


def test_out_of_bag_mean_leaves_trained_rows_out() -> None:
    members = np.array([[1.0, 5.0], [3.0, 7.0]], np.float32)
    found = out_of_bag_mean(members, np.array([[True, False], [True, False]]))
    assert found[0] == 2.0
    assert np.isnan(found[1])


def planted_bag(seed: int, noise: float = 0.3) -> tuple[np.ndarray, np.ndarray, ensemble.Bagged]:
    x = cloud(600, seed=seed)
    losses = np.exp(2 * x[:, 0]) * np.random.default_rng(seed).gamma(1 / noise, noise, 600)
    return x, losses, ensemble.train(ensemble.quantise(x), losses, members=6, seed=seed)


def test_the_ensemble_learns_out_of_bag_and_its_mean_is_unbiased(tmp_path: Path) -> None:
    x, losses, bag = planted_bag(0)
    found = bag.prediction()
    seen = np.isfinite(found)
    assert np.corrcoef(found[seen], losses[seen])[0, 1] > 0.4
    assert found[seen].mean() == pytest.approx(losses.mean(), rel=0.1)
    ensemble.save(bag.boosters, tmp_path)
    again = ensemble.predict(ensemble.load(tmp_path, 6), bag.target, x)
    np.testing.assert_allclose(again, bag.members, rtol=1e-4, atol=1e-4)


def test_permuted_losses_and_shuffled_embeddings_leave_no_signal() -> None:
    x, losses, bag = planted_bag(1)
    rng = np.random.default_rng(0)
    nothing = ensemble.train(ensemble.quantise(x[rng.permutation(600)]), losses, members=6)

    def skill(b: ensemble.Bagged) -> float:
        found = b.prediction()
        seen = np.isfinite(found)
        return float(np.corrcoef(found[seen], losses[seen])[0, 1])

    assert skill(bag) > 0.3
    assert abs(skill(nothing)) < 0.15


def test_the_same_seed_gives_the_same_ensemble() -> None:
    np.testing.assert_array_equal(planted_bag(2)[2].members, planted_bag(2)[2].members)


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    (tmp_path / "member-00.ubj").write_bytes(b"nonsense")
    with pytest.raises(WorkspaceError, match=r"member-00\.ubj is missing or damaged; run: fsearch fit"):
        ensemble.load(tmp_path, 1)
