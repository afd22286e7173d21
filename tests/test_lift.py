"""Membership, retrieval, the corrected lift and its interval: limits, invariances, and what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from retrievals import retrieval

from fsearch.diagnoser.evidence import Design, Slope, shuffled_means
from fsearch.diagnoser.lift import (
    MEMBERSHIP_ERROR,
    PRIOR_SHARE,
    PRIOR_SPREAD,
    Lift,
    Scale,
    combine,
    conformal_quantile,
    half_width,
    member_lifts,
    member_variance,
)
from fsearch.diagnoser.membership import ENOUGH, NATS_TOLERANCE, anchor_similarity, membership, scales
from fsearch.diagnoser.observed import observe
from fsearch.diagnoser.retrieval_quality import RetrievalQuality

one = np.array([1.0])
RARE_AND_CLEAN = RetrievalQuality(one, one * 0.0, one * 50, one)
MANY = np.array([1e9])


def combined(predicted: float, residual: float, noise: float, spread: float = 0.0, std: float = 1.0) -> Lift:
    """A clean, rare phrase with much evidence: only the given variances are left."""
    slope = Slope(one * residual, one * noise)
    return combine(one * predicted, one * spread, slope, RARE_AND_CLEAN, MANY, Scale(std, 0.3 * std))


@given(st.integers(0, 500), st.floats(10, 200))
def test_membership_is_a_chance_that_falls_with_the_similarity(seed: int, scale: float) -> None:
    similarities = -np.sort(-np.random.default_rng(seed).uniform(-0.2, 0.4, (3, 80)).astype(np.float32), axis=1)
    found = membership(similarities, anchor_similarity(similarities, scale), scale)
    assert ((found > 0) & (found <= 1)).all()
    assert (np.diff(found, axis=1) <= 0).all()
    assert found[:, 0] == pytest.approx(1)


def test_membership_is_the_density_ratio_below_the_reference() -> None:
    similarities = np.array([[0.3, 0.3 - (NATS_TOLERANCE + 2) / 50]], np.float32)
    found = membership(similarities, np.array([0.3], np.float32), 50.0)
    assert found[0] == pytest.approx([1.0, np.exp(-2)], rel=1e-4)


@pytest.mark.parametrize("positives", [6, 12, 60, 400])
def test_the_anchor_finds_about_as_many_images_as_there_are(positives: int) -> None:
    """A clean concept, rare or common: its own images set the level, not a handful of fixed size."""
    rng = np.random.default_rng(positives)
    fit, rest = rng.normal(0.28, 0.008, positives), rng.normal(0.20, 0.01, 3000 - positives)
    similarities = -np.sort(-np.append(fit, rest)).astype(np.float32)[None]
    count = membership(similarities, anchor_similarity(similarities, 100.0), 100.0).sum()
    assert 0.5 * positives <= count <= 2.0 * positives + 5


def test_a_starved_phrase_is_read_at_a_lower_scale_and_a_rich_one_is_not() -> None:
    starved = np.append(np.full(3, 0.30), np.linspace(0.25, 0.1, 997)).astype(np.float32)
    rich = np.append(np.full(40, 0.30), np.linspace(0.25, 0.1, 960)).astype(np.float32)
    similarities = np.stack([starved, rich])
    anchor = anchor_similarity(similarities, 100.0)
    found = scales(similarities, np.ones_like(similarities), anchor, 100.0)
    assert found[1] == 100.0
    assert found[0] < 100.0
    wide = membership(similarities[:1], anchor[:1], found[:1])
    assert wide.sum() == pytest.approx(ENOUGH, rel=0.1)


def test_membership_recovers_share_and_purity_of_a_contrastive_world() -> None:
    """Where cosines are log density ratios, as the training objective makes them, chances are calibrated."""
    rng = np.random.default_rng(0)
    n, share, scale = 20_000, 0.15, 40.0
    shows = rng.random(n) < share
    chance = np.where(shows, 1.0, 0.02)  # P(shows | image) as the encoder sees it
    logits = np.log(chance / share) + rng.normal(0, 0.15, n)
    similarities = -np.sort(-(logits / scale).astype(np.float32))[None]
    order = np.argsort(-logits)
    found = membership(similarities, anchor_similarity(similarities, scale), scale)
    quality = RetrievalQuality.of(found, np.ones_like(similarities), n)
    true_purity = found[0] @ shows[order] / found.sum()
    assert quality.precision[0] == pytest.approx(true_purity, abs=0.03)
    assert quality.prevalence[0] == pytest.approx(share, abs=0.04)


@pytest.mark.parametrize(("purity", "share"), [(1.0, 0.2), (0.8, 0.2), (0.6, 0.1)])
def test_a_diluted_retrieval_is_corrected_to_the_true_lift(purity: float, share: float) -> None:
    inside, outside = 2.0, 0.5
    quality = RetrievalQuality(np.array([purity]), np.array([share]), np.array([50.0]), np.array([purity]))
    found = purity * inside + (1 - purity) * outside
    mean = share * inside + (1 - share) * outside
    assert (found - mean) * quality.against_all[0] == pytest.approx(inside - mean)
    assert (found - mean) * quality.against_rest[0] == pytest.approx(inside - outside)


def test_no_and_full_membership_are_limits() -> None:
    ones = np.ones((1, 10), np.float32)
    nobody = RetrievalQuality.of(np.full((1, 10), 1e-12), ones, 10)
    assert nobody.count[0] == pytest.approx(0, abs=1e-9)
    everybody = RetrievalQuality.of(np.ones((1, 10)), ones, 10)
    assert np.isfinite(everybody.against_all[0])
    assert everybody.against_all[0] == 0


def test_combine_trusts_many_images_and_doubts_few() -> None:
    assert combined(0.1, 0.4, 1e-6, 0.01).value[0] == pytest.approx(0.5, abs=1e-3)
    few = combined(0.1, 0.4, 1e4, 0.01)
    assert few.value[0] == pytest.approx(0.1, abs=1e-3)
    assert few.error[0] < 2.0  # the prior bounds what nothing is known about


@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(1e-4, 4), st.floats(0, 1), st.floats(0.1, 50))
def test_combine_lies_between_and_scales_with_the_loss(p: float, r: float, v: float, s: float, scale: float) -> None:
    plain = combined(p, r, v, s)
    larger = combined(p * scale, r * scale, v * scale**2, s * scale**2, scale)
    assert min(p, p + r) - 1e-9 <= plain.value[0] <= max(p, p + r) + 1e-9
    assert larger.value[0] == pytest.approx(plain.value[0] * scale, rel=1e-6, abs=1e-9)
    assert larger.error[0] == pytest.approx(plain.error[0] * scale, rel=1e-6)
    assert plain.error[0] >= MEMBERSHIP_ERROR * abs(plain.value[0]) - 1e-12


@settings(max_examples=40)
@given(st.floats(0, 2), st.floats(0.01, 2), st.floats(0.001, 1))
def test_the_corrected_lift_is_monotone_in_the_planted_effect(effect: float, more: float, v: float) -> None:
    assert combined(0.1, effect + more, v).value[0] > combined(0.1, effect, v).value[0]


def test_what_is_mixed_with_other_images_is_doubted_more_even_near_zero() -> None:
    """Contamination is no share of the lift: a mixed retrieval that averages out is not certain."""
    slope = Slope(one * 0.0, one * 1e-9)
    scale = Scale(1.0, 0.3)
    errors = [
        combine(one * 0.0, one * 0.0, slope, RetrievalQuality(one * p, one * 0.0, one * 50, one * p), MANY, scale).error
        for p in (1.0, 0.8, 0.4)
    ]
    assert errors[0][0] < 0.01 < errors[1][0] < errors[2][0]


def test_few_groups_widen_the_interval() -> None:
    slope = Slope(one * 0.0, one * 0.01)
    few, many = (
        combine(one * 0.0, one * 0.0, slope, RARE_AND_CLEAN, one * n, Scale(1.0, 0.0)).error for n in (6.0, 500.0)
    )
    assert few[0] > 1.15 * many[0]


def test_intervals_cover_where_the_prior_holds() -> None:
    """Synthetic draws from the model that the interval assumes, the membership error left out."""
    rng = np.random.default_rng(2)
    n = 20_000
    predicted = rng.normal(0, 0.2, n)
    truth = predicted + rng.normal(0, np.hypot(PRIOR_SPREAD, PRIOR_SHARE * predicted))
    variance = rng.uniform(0.001, 0.05, n)
    residual = truth - predicted + rng.normal(0, np.sqrt(variance))
    ones = np.ones(n)
    clean = RetrievalQuality(ones, ones * 0, ones * 50, ones)
    found = combine(predicted, np.zeros(n), Slope(residual, variance), clean, ones * 1e9, Scale(1.0, 0.3))
    error = np.sqrt(found.error**2 - (MEMBERSHIP_ERROR * found.value) ** 2)
    covered = np.abs(found.value - truth) <= half_width(error, 1.0)
    assert 0.88 <= covered.mean() <= 0.92


def test_half_width_listens_to_the_calibration_only_when_it_asks_for_more() -> None:
    assert half_width(one, 1.0)[0] == pytest.approx(1.645, abs=1e-3)
    assert half_width(one, 2.5)[0] == pytest.approx(2.5)


def test_member_lifts_use_only_members_that_did_not_train_on_the_neighbour() -> None:
    weights, near = np.array([[0.5, 0.5]]), np.array([[0, 1]])
    members = np.array([[9.0, 1.0], [2.0, 4.0]], np.float32)
    out = np.array([[False, True], [True, True]])
    lifts = member_lifts(weights, near, members, out, np.array([1.0, 1.0]))
    assert lifts[:, 0] == pytest.approx([0.0, 2.0])
    out[0] = False
    assert np.isnan(member_lifts(weights, near, members, out, np.zeros(2))[0, 0])
    assert member_lifts(weights, near, members, np.zeros_like(out), np.zeros(2))[:, 0] == pytest.approx([5.0, 3.0])


def test_spread_is_the_sample_variance_of_those_that_speak() -> None:
    assert member_variance(np.array([[1.0], [3.0], [np.nan]]))[0] == pytest.approx(2.0)
    assert member_variance(np.array([[1.0], [np.nan]]))[0] == 0


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
    """Purity scales the lift, not the evidence: memberships a tenth as large pull as before."""
    rng = np.random.default_rng(3)
    losses = rng.gamma(1.0, 1.0, 400)
    chances = np.exp(-np.arange(400) / 20.0)[None].clip(1e-9)
    groups, near = np.arange(400), np.arange(400)[None]
    draws = shuffled_means(losses, groups, 400, 500, 0)
    clean, diluted = (retrieval(part, near, 400) for part in (chances, chances / 4))
    first, second = (observe(r, Design(r, groups), losses, groups, draws) for r in (clean, diluted))
    assert first.p_value[0] == pytest.approx(second.p_value[0], rel=0.02)
    assert abs(second.lift[0]) > abs(first.lift[0])
