"""Membership, retrieval, the corrected lift and its interval: limits, invariances, and what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsearch.diagnoser.lift import (
    MEMBERSHIP_ERROR,
    combine,
    conformal_quantile,
    half_width,
    member_lifts,
    member_variance,
    residual_lift,
)
from fsearch.diagnoser.observed import observe, permuted_losses
from fsearch.diagnoser.retrieval import NATS_TOLERANCE, RetrievalQuality, anchor_similarity, membership

one = np.array([1.0])


@given(st.integers(0, 500), st.floats(10, 200))
def test_membership_is_a_chance_that_falls_with_the_similarity(seed: int, scale: float) -> None:
    similarities = -np.sort(-np.random.default_rng(seed).uniform(-0.2, 0.4, (3, 80)).astype(np.float32), axis=1)
    found = membership(similarities, anchor_similarity(similarities, 80), scale)
    assert ((found > 0) & (found <= 1)).all()
    assert (np.diff(found, axis=1) <= 0).all()
    assert found[:, 0] == pytest.approx(1)


def test_membership_is_the_density_ratio_below_the_reference() -> None:
    similarities = np.array([[0.3, 0.3 - (NATS_TOLERANCE + 2) / 50]], np.float32)
    found = membership(similarities, np.array([0.3], np.float32), 50.0)
    assert found[0] == pytest.approx([1.0, np.exp(-2)], rel=1e-4)


def test_membership_recovers_share_and_purity_of_a_contrastive_world() -> None:
    """Where cosines are log density ratios, as the training objective makes them, chances are calibrated."""
    rng = np.random.default_rng(0)
    n, share, scale = 20_000, 0.15, 40.0
    shows = rng.random(n) < share
    chance = np.where(shows, 1.0, 0.02)  # P(shows | image) as the encoder sees it
    logits = np.log(chance / share) + rng.normal(0, 0.15, n)
    similarities = -np.sort(-(logits / scale).astype(np.float32))[None]
    order = np.argsort(-logits)
    found = membership(similarities, anchor_similarity(similarities, n), scale)
    retrieval = RetrievalQuality.of(found, found.sum(axis=1) / n)
    true_purity = found[0] @ shows[order] / found.sum()
    assert retrieval.precision[0] == pytest.approx(true_purity, abs=0.03)
    assert retrieval.prevalence[0] == pytest.approx(share, abs=0.04)


@pytest.mark.parametrize(("purity", "share"), [(1.0, 0.2), (0.8, 0.2), (0.6, 0.1)])
def test_a_diluted_retrieval_is_corrected_to_the_true_lift(purity: float, share: float) -> None:
    inside, outside = 2.0, 0.5
    retrieval = RetrievalQuality(np.array([purity]), np.array([share]), np.array([50.0]))
    found = purity * inside + (1 - purity) * outside
    mean = share * inside + (1 - share) * outside
    assert (found - mean) * retrieval.against_all[0] == pytest.approx(inside - mean)
    assert (found - mean) * retrieval.against_rest[0] == pytest.approx(inside - outside)


def test_no_and_full_membership_are_limits() -> None:
    nobody = RetrievalQuality.of(np.full((1, 10), 1e-12), np.array([1e-12]))
    assert nobody.count[0] == pytest.approx(0, abs=1e-9)
    everybody = RetrievalQuality.of(np.ones((1, 10)), np.array([1.0]))
    assert np.isfinite(everybody.against_all[0])
    assert everybody.against_all[0] == 0


def test_combine_trusts_many_images_and_doubts_few() -> None:
    many = combine(one * 0.1, one * 0.4, one * 1e-6, one * 0.01, 1.0)
    few = combine(one * 0.1, one * 0.4, one * 100.0, one * 0.01, 1.0)
    assert many.value[0] == pytest.approx(0.5, abs=1e-3)
    assert few.value[0] == pytest.approx(0.1, abs=1e-3)
    assert few.error[0] < 1.0  # the prior bounds what nothing is known about


@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(1e-4, 4), st.floats(0, 1), st.floats(0.1, 50))
def test_combine_lies_between_and_scales_with_the_loss(p: float, r: float, v: float, s: float, scale: float) -> None:
    plain = combine(one * p, one * r, one * v, one * s, 1.0)
    larger = combine(one * p * scale, one * r * scale, one * v * scale**2, one * s * scale**2, scale)
    assert min(p, p + r) - 1e-9 <= plain.value[0] <= max(p, p + r) + 1e-9
    assert larger.value[0] == pytest.approx(plain.value[0] * scale, rel=1e-6, abs=1e-9)
    assert larger.error[0] == pytest.approx(plain.error[0] * scale, rel=1e-6)
    assert plain.error[0] >= MEMBERSHIP_ERROR * abs(plain.value[0]) - 1e-12


@settings(max_examples=40)
@given(st.floats(0, 2), st.floats(0.01, 2), st.floats(0.001, 1))
def test_the_corrected_lift_is_monotone_in_the_planted_effect(effect: float, more: float, v: float) -> None:
    low = combine(one * 0.1, one * effect, one * v, one * 0.01, 1.0).value[0]
    high = combine(one * 0.1, one * (effect + more), one * v, one * 0.01, 1.0).value[0]
    assert high > low


def test_intervals_cover_where_the_prior_holds() -> None:
    """Synthetic draws from the model that the interval assumes, the membership error left out."""
    rng = np.random.default_rng(2)
    n, std = 20_000, 1.0
    predicted = rng.normal(0, 0.2, n)
    truth = predicted + rng.normal(0, np.hypot(0.10 * std, 0.50 * predicted))
    variance = rng.uniform(0.001, 0.05, n)
    residual = truth - predicted + rng.normal(0, np.sqrt(variance))
    found = combine(predicted, residual, variance, np.zeros(n), std)
    error = np.sqrt(found.error**2 - (MEMBERSHIP_ERROR * found.value) ** 2)
    covered = np.abs(found.value - truth) <= half_width(error, 1.0)
    assert 0.88 <= covered.mean() <= 0.92


def test_half_width_listens_to_the_calibration_only_when_it_asks_for_more() -> None:
    assert half_width(one, 1.0)[0] == pytest.approx(1.645, abs=1e-3)
    assert half_width(one, 2.5)[0] == pytest.approx(2.5)


def test_member_lifts_use_only_members_that_did_not_train_on_the_neighbour() -> None:
    weights = np.array([[0.5, 0.5]])
    members = np.array([[[9.0, 1.0]], [[2.0, 4.0]]], np.float32)
    out = np.array([[[False, True]], [[True, True]]])
    lifts = member_lifts(weights, members, out, np.array([1.0, 1.0]))
    assert lifts[:, 0] == pytest.approx([0.0, 2.0])
    out[0] = False
    assert np.isnan(member_lifts(weights, members, out, np.zeros(2))[0, 0])
    assert member_lifts(weights, members, np.zeros_like(out), np.zeros(2))[:, 0] == pytest.approx([5.0, 3.0])


def test_spread_is_the_sample_variance_of_those_that_speak() -> None:
    assert member_variance(np.array([[1.0], [3.0], [np.nan]]))[0] == pytest.approx(2.0)
    assert member_variance(np.array([[1.0], [np.nan]]))[0] == 0


def test_residual_lift_needs_fewer_doubts_with_more_images() -> None:
    few, many = (residual_lift(np.ones((1, k)), np.full((1, k), 0.5), 0.1, 1.0) for k in (10, 1000))
    assert few[0][0] == pytest.approx(0.4)
    assert many[1][0] < few[1][0]


def test_conformal_quantile_covers() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        q = conformal_quantile(rng.standard_t(4, size=99))
        covered.append(abs(rng.standard_t(4)) <= q)
    assert 0.85 <= np.mean(covered) <= 0.95


def test_conformal_quantile_of_few_errors_is_the_largest() -> None:
    assert conformal_quantile(np.array([0.5, -3.0])) == 3.0


def test_a_diluted_retrieval_keeps_its_p_value() -> None:
    """Purity scales the lift, not the evidence: p is of the mean found, which it does not touch."""
    rng = np.random.default_rng(3)
    losses = rng.gamma(1.0, 1.0, 400)
    near = np.arange(60)[None]
    shuffled = permuted_losses(losses, 60, 500, 0)
    chances = np.linspace(1, 0.2, 60)[None]
    clean, diluted = (
        observe(
            chances, RetrievalQuality(np.array([p]), np.array([0.1]), np.array([30.0])), losses[near], losses, shuffled
        )
        for p in (1.0, 0.5)
    )
    assert clean.p_value[0] == diluted.p_value[0]
    assert abs(diluted.lift[0]) > abs(clean.lift[0])
