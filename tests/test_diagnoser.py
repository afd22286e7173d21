"""Bridges, calibration, verdicts and the ensemble, each on its own."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsearch.diagnoser import ensemble, verdict
from fsearch.diagnoser.ensemble import out_of_bag_mean
from fsearch.diagnoser.loss_transform import LossTransform
from fsearch.diagnoser.trees import Trees
from fsearch.diagnoser.verdict import Verdict, VerdictInputs, decide, minimum_effect
from fsearch.indexer.storage.vectors import unit


def cloud(n: int, d: int = 16, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(n, d)) + 0.4)


FAILS = VerdictInputs(0.5, 0.5, 0.3, 0.7, 0.6, 0.1, 80, 0.001, min_effect=0.2, shown=90)
NOTHING = {"predicted_lift": 0.0, "lift": 0.0, "lo": -0.1, "hi": 0.1, "observed_lift": 0.0, "q_value": 0.5}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "fails"),
        ({"q_value": 0.10}, "fails"),
        ({"q_value": 0.11}, "suspect"),
        ({"predicted_lift": -0.01}, "suspect"),
        ({"lift": 0.09, "lo": 0.01, "hi": 0.17, "observed_lift": 0.01, "observed_error": 0.08}, "fine"),
        ({"lift": 0.09, "lo": 0.01, "hi": 0.17, "observed_lift": 0.01, "observed_error": 0.09}, "unclear"),
        ({"lift": 0.09, "lo": 0.01, "hi": 0.21, "observed_lift": 0.01}, "unclear"),
        ({"lift": 0.10, "lo": 0.01}, "suspect"),
        ({"lift": 0.2, "lo": 0.01}, "fails"),
        ({"lift": 0.05, "lo": 0.01, "q_value": 0.01}, "unclear"),
        ({**NOTHING, "lift": 0.05, "lo": 0.01, "observed_error": 0.05, "q_value": 0.01}, "fine"),
        ({"lo": -0.01}, "suspect"),
        ({"observed_lift": -0.1, "q_value": 0.9}, "suspect"),
        ({"n_effective": 4.0}, "unseen"),
        ({"shown": 1.0}, "unseen"),
        ({"shown": 9.0}, "fails"),
        ({**NOTHING, "observed_error": 0.05, "shown": 9.0}, "unclear"),
        ({"absent": True}, "unclear"),
        ({**NOTHING, "absent": True}, "unseen"),
        ({"unknown_words": ("zebra",)}, "unseen"),
        ({"foreign_images": True}, "unseen"),
        ({"signal": False}, "suspect"),
        ({"signal": False, "lift": -1.0, "lo": -1.1, "hi": -0.9, "observed_lift": -1.0, "q_value": 1.0}, "unclear"),
        ({"signal": False, "q_value": 0.11}, "suspect"),
        ({**NOTHING, "observed_error": 0.05}, "fine"),
        ({**NOTHING, "observed_error": 0.05, "uncertain": True}, "unclear"),
        ({"uncertain": True}, "fails"),
        ({"doubtful": True}, "unclear"),
        ({**NOTHING, "observed_error": 0.05, "hi": 0.3}, "unclear"),
        ({**NOTHING, "observed_error": 0.2}, "unclear"),
        ({**NOTHING, "observed_error": 0.05, "hi": 0.3, "nearest_fail": True}, "suspect"),
        ({**NOTHING, "observed_error": 0.05, "hi": 0.3, "nearest_fail": True, "doubtful": True}, "unclear"),
        ({**NOTHING, "observed_error": 0.05, "hi": 0.3, "nearest_fail": True, "absent": True}, "unclear"),
        ({**NOTHING, "observed_error": 0.05, "nearest_fail": True}, "fine"),
        ({"nearest_fail": True}, "fails"),
        ({**NOTHING, "observed_error": 0.05, "min_effect": 0.1}, "unclear"),
    ],
)
def test_verdicts(changes: dict[str, object], word: str) -> None:
    found, reason = decide(replace(FAILS, **changes))
    assert found == word
    assert ("no better than chance" in reason) == (changes.get("signal") is False)


@given(st.floats(-2, 2), st.floats(0, 2), st.floats(-2, 2), st.floats(0.001, 1), st.floats(1, 500), st.floats(0, 1))
def test_a_lift_that_matters_is_never_called_fine(
    lift: float, half: float, observed: float, error: float, n: float, q: float
) -> None:
    word, _ = decide(
        VerdictInputs(lift, lift, lift - half, lift + half, observed, error, n, q, min_effect=0.2, shown=n)
    )
    if word == "fails":
        assert lift >= 0.2
    if word == "fine":
        assert max(lift + half, observed) < 0.2
        assert n >= 10


def test_what_matters_is_a_small_effect_or_half_the_mean_loss() -> None:
    wide, spikes = np.array([1.0, 3.0]), np.append(np.full(999, 0.0), 100.0)
    assert minimum_effect(wide) == pytest.approx(0.2)
    assert minimum_effect(spikes) == pytest.approx(0.05)  # a few huge losses must not hide a doubled one
    for shift in (-0.01, 0.0, 0.01):  # signed losses: the mean says nothing about what matters
        assert minimum_effect(np.array([-1.0, 1.0]) + shift) == pytest.approx(0.2)


@given(st.lists(st.floats(0, 100), min_size=2, max_size=50))
def test_target_goes_there_and_back(losses: list[float]) -> None:
    values = np.array(losses)
    scaled = [LossTransform("log1p", origin=-1.0, unit=4.0), LossTransform("identity", origin=3.0, unit=0.5)]
    for target in (LossTransform("log1p"), LossTransform("identity"), LossTransform("logistic"), *scaled):
        np.testing.assert_allclose(target.backward(target.forward(values)), values, atol=1e-9, rtol=1e-9)


def test_the_target_follows_the_losses() -> None:
    rng = np.random.default_rng(0)
    assert LossTransform.of(rng.integers(0, 2, 200).astype(float)).kind == "logistic"
    assert LossTransform.of(rng.lognormal(0, 2, 500)).kind == "log1p"
    assert LossTransform.of(rng.lognormal(0, 2, 500) - 5).kind == "identity"
    assert LossTransform.of(rng.uniform(0, 1, 500)).kind == "identity"


@pytest.mark.parametrize(("factor", "shift"), [(1e-10, 0.0), (1e8, 0.0), (1.0, 1e6), (1e-3, 7.0)])
@pytest.mark.parametrize(("noise", "kind"), [(0.3, "identity"), (2.0, "log1p")])
def test_no_unit_and_no_zero_point_of_the_losses_matter(factor: float, shift: float, noise: float, kind: str) -> None:
    x, losses, plain = planted_bag(3, noise)
    other = ensemble.train(ensemble.local_trainer(x), x, losses * factor + shift, members=6, seed=3)
    assert other.transform.kind == plain.transform.kind == kind
    expected = plain.prediction() * factor + shift
    spread = losses.std() * factor
    np.testing.assert_allclose(other.prediction(), expected, atol=0.02 * spread)
    np.testing.assert_allclose(other.members, plain.members * factor, atol=0.1 * spread)


def test_smearing_makes_the_mean_of_log_targets_unbiased() -> None:
    losses = np.random.default_rng(1).gamma(1.0, 2.0, 20_000)
    target = LossTransform("log1p")
    learned = target.forward(losses)
    flat = np.full_like(learned, learned.mean())
    assert target.smeared(learned - flat).backward(flat)[0] == pytest.approx(losses.mean(), rel=1e-6)


def test_out_of_bag_mean_leaves_trained_rows_out() -> None:
    members = np.array([[1.0, 5.0], [3.0, 7.0]], np.float32)
    found = out_of_bag_mean(members, np.array([[True, False], [True, False]]))
    assert found[0] == 2.0
    assert np.isnan(found[1])


def planted_bag(seed: int, noise: float = 0.3) -> tuple[np.ndarray, np.ndarray, ensemble.Bagged]:
    x = cloud(600, seed=seed)
    losses = np.exp(2 * x[:, 0]) * np.random.default_rng(seed).gamma(1 / noise, noise, 600)
    return x, losses, ensemble.train(ensemble.local_trainer(x), x, losses, members=6, seed=seed)


def test_the_ensemble_learns_out_of_bag_and_its_mean_is_unbiased(tmp_path: Path) -> None:
    x, losses, bag = planted_bag(0)
    found = bag.prediction()
    seen = np.isfinite(found)
    assert np.corrcoef(found[seen], losses[seen])[0, 1] > 0.4
    assert found[seen].mean() == pytest.approx(losses.mean(), rel=0.1)
    trees = Trees.of(bag.boosters, x.shape[1])
    trees.require_sound(6, x.shape[1])
    again = ensemble.predict(trees.predict, bag.coefficients, bag.transform, bag.stacking, x)
    np.testing.assert_allclose(again, bag.members, rtol=1e-4, atol=1e-4)


def test_permuted_losses_and_shuffled_embeddings_leave_no_signal() -> None:
    x, losses, bag = planted_bag(1)
    rng = np.random.default_rng(0)
    elsewhere = x[rng.permutation(600)]
    nothing = ensemble.train(ensemble.local_trainer(elsewhere), elsewhere, losses, members=6)

    def skill(b: ensemble.Bagged) -> float:
        found = b.prediction()
        seen = np.isfinite(found)
        return float(np.corrcoef(found[seen], losses[seen])[0, 1]) if found[seen].std() > 0 else 0.0

    assert skill(bag) > 0.3
    assert abs(skill(nothing)) < 0.15


def test_the_same_seed_gives_the_same_ensemble() -> None:
    np.testing.assert_array_equal(planted_bag(2)[2].members, planted_bag(2)[2].members)


@pytest.mark.parametrize("kind", ["identity", "log1p", "logistic"])
def test_stored_trees_predict_what_xgboost_does(kind: str) -> None:
    x, rng = cloud(600, seed=3), np.random.default_rng(3)
    losses = {
        "identity": x[:, 0] + rng.normal(0, 0.1, 600),
        "log1p": np.exp(2 * rng.standard_normal(600)),
        "logistic": (x[:, 0] > 0).astype(float),
    }[kind]
    bag = ensemble.train(ensemble.local_trainer(x), x, losses, members=3)
    assert bag.transform.kind == kind
    trees = Trees.of(bag.boosters, x.shape[1])
    trees.require_sound(3, x.shape[1])
    points = rng.standard_normal((1500, x.shape[1])).astype(np.float32)
    expected = np.stack([b.inplace_predict(points, predict_type="margin") for b in bag.boosters])
    np.testing.assert_allclose(trees.predict(points), expected, rtol=1e-5, atol=1e-5)


def test_the_rules_of_the_verdict_are_told_alike_in_code_and_page() -> None:
    """One table, first match wins: the same words in the same order, and every verdict in it."""
    page = (Path(__file__).parents[1] / "docs" / "method.md").read_text()
    told = [_rules(verdict.__doc__ or ""), _rules(page[page.index("## 7. Verdict") :])]
    assert told[0] == told[1]
    assert {word for word, _ in told[0]} == set(Verdict)
    assert len(told[0]) == 9


def _rules(text: str) -> list[tuple[str, str]]:
    plain = text.replace("`", "").replace("min_effect", "material").replace("<=", "\u2264").replace("> 0", "above zero")
    rows = re.findall(r"^\| (\w+) +\| (.*?) +\|$", plain, re.M)
    return [row for row in rows if row[0] in set(Verdict)][:9]
