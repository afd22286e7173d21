"""The observed side: limits, invariances, and p-values that mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from fsearch.diagnoser.observed import Observed, n_effective, permuted_losses, q_values
from fsearch.diagnoser.observed import observe as observe_with
from fsearch.diagnoser.retrieval import RetrievalQuality


def observe(weights: np.ndarray, neighbours: np.ndarray, losses: np.ndarray, shuffled: np.ndarray) -> Observed:
    """Observe with clean retrievals: everything found shows the phrase, nothing else does."""
    q, k = weights.shape
    clean = RetrievalQuality(np.ones(q), np.full(q, k / len(losses)), np.full(q, float(k)))
    return observe_with(weights, clean, neighbours, losses, shuffled)


def world(seed: int, n: int = 200, k: int = 50, q: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Losses (n,), and for q phrases positions (q, k) and weights (q, k)."""
    rng = np.random.default_rng(seed)
    near = np.stack([rng.choice(n, k, replace=False) for _ in range(q)])
    weights = rng.random((q, k)) + 0.01
    return rng.gamma(1.0, 1.0, n), near, weights / weights.sum(axis=1, keepdims=True)


@given(st.integers(0, 10_000))
def test_n_effective_lies_between_one_and_k(seed: int) -> None:
    _, near, weights = world(seed)
    found = n_effective(weights)
    assert ((found >= 1) & (found <= near.shape[1] + 1e-9)).all()


def test_n_effective_limits() -> None:
    assert n_effective(np.full((1, 10), 0.1))[0] == pytest.approx(10)
    assert n_effective(np.eye(1, 10))[0] == pytest.approx(1)


def test_equal_weights_give_the_plain_difference_of_means() -> None:
    losses, near, _ = world(1, q=1)
    flat = np.full(near.shape, 1 / near.shape[1])
    found = observe(flat, losses[near], losses, permuted_losses(losses, near.shape[1], 200, 0))
    inside = np.isin(np.arange(len(losses)), near[0])
    assert found.lift[0] == pytest.approx(losses[inside].mean() - losses[~inside].mean())


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(0.1, 50), st.floats(-5, 5))
def test_lift_scales_with_the_loss_and_ignores_a_shift(seed: int, scale: float, shift: float) -> None:
    losses, near, weights = world(seed)
    shuffled = permuted_losses(losses, near.shape[1], 50, 0)
    plain = observe(weights, losses[near], losses, shuffled)
    moved = losses * scale + shift
    other = observe(weights, moved[near], moved, shuffled * np.float32(scale) + np.float32(shift))
    np.testing.assert_allclose(other.lift, plain.lift * scale, rtol=1e-6, atol=1e-6 * scale)


@settings(max_examples=30)
@given(st.integers(0, 1000), st.floats(0.0, 3.0), st.floats(0.01, 3.0))
def test_lift_and_p_are_monotone_in_the_planted_effect(seed: int, effect: float, more: float) -> None:
    losses, near, weights = world(seed, q=1)
    shuffled = permuted_losses(losses, near.shape[1], 300, 0)

    def planted(size: float) -> tuple[float, float]:
        raised = losses[near] + size
        found = observe(weights, raised, losses, shuffled)
        return float(found.lift[0]), float(found.p_value[0])

    low, high = planted(effect), planted(effect + more)
    assert high[0] > low[0]
    assert high[1] <= low[1]


def test_order_of_the_neighbours_does_not_matter() -> None:
    losses, near, weights = world(3)
    shuffled = permuted_losses(losses, near.shape[1], 2000, 0)
    order = np.random.default_rng(0).permutation(near.shape[1])
    a = observe(weights, losses[near], losses, shuffled)
    b = observe(weights[:, order], losses[near[:, order]], losses, shuffled)
    np.testing.assert_allclose(a.lift, b.lift)
    np.testing.assert_allclose(a.p_value, b.p_value, atol=0.06)


def test_p_values_are_uniform_under_the_null() -> None:
    rng = np.random.default_rng(5)
    losses = rng.gamma(1.0, 1.0, 500)
    near = np.stack([rng.choice(500, 60, replace=False) for _ in range(1000)])
    weights = np.exp(-np.linspace(0, 3, 60))[None].repeat(1000, axis=0)
    weights /= weights.sum(axis=1, keepdims=True)
    found = observe(weights, losses[near], losses, permuted_losses(losses, 60, 4000, 1))
    assert scipy.stats.kstest(found.p_value, "uniform").pvalue > 0.01


def test_p_is_never_zero_and_finds_a_planted_effect() -> None:
    losses, near, weights = world(8)
    found = observe(weights, losses[near] + 10, losses, permuted_losses(losses, near.shape[1], 999, 0))
    assert found.p_value == pytest.approx([0.001] * 3)


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=40))
def test_q_values_are_benjamini_hochberg(p: list[float]) -> None:
    values = np.array(p)
    order = np.argsort(values)
    stepped = values[order] * len(p) / np.arange(1, len(p) + 1)
    expected = np.empty(len(p))
    expected[order] = np.minimum.accumulate(stepped[::-1])[::-1].clip(max=1)
    np.testing.assert_allclose(q_values(values), expected)
