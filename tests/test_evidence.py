"""The observed side: limits, invariances, and p-values that mean what they say, for repeated images too."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from retrievals import retrieval, shown

from fsearch.diagnoser.calibration import half_errors
from fsearch.diagnoser.discoveries import q_values
from fsearch.diagnoser.evidence import NEAREST, Design, exponential_tail_p, group_means, shuffled_means, tail_p
from fsearch.diagnoser.membership import effective_number
from fsearch.diagnoser.observed import Observed, observe
from fsearch.diagnoser.retrieval import Retrieved


def seen(found: Retrieved, losses: np.ndarray, groups: np.ndarray | None = None, permutations: int = 1000) -> Observed:
    """What is observed of `losses`, (n,), in `groups`."""
    groups = np.arange(len(losses)) if groups is None else groups
    draws = shuffled_means(losses, groups, found.neighbours.shape[1], permutations, 0)
    return observe(found, Design(found, groups), losses, groups, draws)


def chances(seed: int, n: int = 200, q: int = 3) -> Retrieved:
    """Memberships that fall like those of an encoder, in random order."""
    rng = np.random.default_rng(seed)
    falling = np.exp(-np.arange(n) / 15.0).clip(1e-9)
    return retrieval(np.stack([rng.permutation(falling) for _ in range(q)]), np.tile(np.arange(n), (q, 1)), n)


@given(st.integers(0, 10_000))
def test_the_effective_number_lies_between_one_and_all(seed: int) -> None:
    weights = np.random.default_rng(seed).random((3, 40)) + 0.01
    found = effective_number(weights)
    assert ((found >= 1) & (found <= 40 + 1e-9)).all()


def test_a_long_tail_is_no_evidence() -> None:
    sure, tail = np.ones((1, 13)), np.full((1, 100_000), 0.01)
    assert effective_number(sure)[0] == pytest.approx(13)
    assert effective_number(np.concatenate([sure, tail], axis=1))[0] < 50


def test_a_sure_retrieval_gives_the_plain_difference_of_means() -> None:
    rng = np.random.default_rng(1)
    losses, truth = rng.gamma(1.0, 1.0, 300), rng.random((2, 300)) < 0.2
    expected = [losses[t].mean() - losses[~t].mean() for t in truth]
    np.testing.assert_allclose(seen(shown(truth), losses).lift, expected, rtol=1e-6)


def test_what_few_images_show_is_seen_though_memberships_count_many() -> None:
    """Twenty images fail among six hundred that the encoder holds for such."""
    rng = np.random.default_rng(4)
    chance = np.append(np.full(600, 0.9), np.full(1400, 1e-6))
    losses = rng.gamma(1.0, np.append(np.full(20, 1.5), np.full(1980, 0.2)))
    found = seen(retrieval(chance[None], np.arange(2000)[None], 2000), losses)
    assert found.lift[0] < 0.15
    assert found.nearest_lift[0] > 0.8
    assert found.nearest_p[0] < 1e-6
    whole = seen(retrieval(chance[None], np.arange(2000)[None], 2000), losses, groups=np.arange(2000) // NEAREST)
    assert whole.nearest_p[0] > 1e-3  # frames of one clip are one piece of evidence


@pytest.mark.parametrize("shape", [0.3, 1.0, 5.0])
def test_p_values_of_the_nearest_mean_what_they_say_far_out(shape: float) -> None:
    rng = np.random.default_rng(7)
    n, q = 3000, 4000
    losses = rng.gamma(shape, 1.0, n)
    places = np.stack([rng.choice(n, NEAREST, replace=False) for _ in range(q)])
    p = seen(retrieval(np.full((q, NEAREST), 0.9), places, n), losses, permutations=2000).nearest_p
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.015)
    assert (p <= 0.001).mean() < 0.003
    assert p.min() > 0


@given(st.floats(-5, 50), st.floats(0, 20), st.integers(0, 1000))
def test_an_exponential_tail_falls(low: float, more: float, seed: int) -> None:
    null = np.random.default_rng(seed).gamma(12.0, 1.0, (1, 500))
    first, second = exponential_tail_p(np.array([low]), null), exponential_tail_p(np.array([low + more]), null)
    assert 0 < second[0] <= first[0] <= 1


def test_a_sampled_rest_stands_for_all_of_it() -> None:
    """Horvitz-Thompson: the nearest hundred and a twentieth of the rest give nearly what all images give."""
    rng = np.random.default_rng(2)
    n, near = 20_000, 100
    p = np.where(np.arange(n) < near, 1.0, 0.02)
    losses = rng.gamma(1.0, np.where(rng.random(n) < p, 2.0, 0.5))
    every = seen(retrieval(p[None], np.arange(n)[None], n), losses, permutations=200)
    rest = rng.choice(np.arange(near, n), 1000, replace=False)
    some = np.append(np.arange(near), rest)[None]
    copies = np.append(np.ones(near), np.full(1000, (n - near) / 1000))[None]
    part = seen(retrieval(p[some], some, n, copies), losses, permutations=200)
    assert part.lift[0] == pytest.approx(every.lift[0], abs=0.15)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1e-10, 0.1, 50.0]), st.sampled_from([-1e6, 0.0, 1e6]))
def test_units_of_the_loss_do_not_matter(seed: int, scale: float, shift: float) -> None:
    losses = np.random.default_rng(seed).gamma(1.0, 1.0, 200).round(3)
    plain, other = (
        seen(chances(seed), values, permutations=200) for values in (losses, losses * scale + shift * scale)
    )
    np.testing.assert_allclose(other.lift, plain.lift * scale, rtol=1e-5, atol=1e-6 * scale)
    np.testing.assert_allclose(other.p_value, plain.p_value, rtol=0.05)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(0.0, 3.0), st.floats(0.05, 3.0))
def test_lift_is_monotone_in_the_planted_effect(seed: int, effect: float, more: float) -> None:
    found = chances(seed, q=1)
    losses = np.random.default_rng(seed).gamma(1.0, 1.0, 200)
    low, high = (
        seen(found, losses + size * found.memberships[0], permutations=200) for size in (effect, effect + more)
    )
    assert high.lift[0] == pytest.approx(low.lift[0] + more)


@pytest.mark.parametrize("draw", ["gamma", "pareto", "binary", "signed"])
def test_p_values_are_uniform_under_the_null(draw: str) -> None:
    rng = np.random.default_rng(5)
    values = {
        "gamma": rng.gamma(1.0, 1.0, 500),
        "pareto": rng.pareto(1.5, 500),
        "binary": (rng.random(500) < 0.3).astype(float),
        "signed": rng.normal(0, 1, 500),
    }[draw]
    p = seen(chances(7, n=500, q=800), values, permutations=2000).p_value
    assert (p <= 0.05).mean() == pytest.approx(0.05, abs=0.03)
    assert (p <= 0.5).mean() == pytest.approx(0.5, abs=0.1)


def test_unequal_spread_with_equal_means_is_no_failure() -> None:
    rng = np.random.default_rng(6)
    p = []
    for _ in range(200):
        truth = rng.random((1, 400)) < 0.1
        losses = 1 + np.where(truth[0], 1.5, 0.5) * rng.normal(0, 1, 400)
        p.append(seen(shown(truth), losses, permutations=300).p_value[0])
    assert np.mean(np.array(p) <= 0.05) < 0.15  # 0.3 where only the losses are shuffled


def test_frames_of_a_clip_are_one_piece_of_evidence() -> None:
    """Losses drawn once a clip, clips that show the phrase drawn at random: no false alarm beyond the level."""
    rng = np.random.default_rng(8)
    groups = np.repeat(np.arange(100), 30)
    alarms = []
    for _ in range(100):
        losses = np.repeat(rng.gamma(1.0, 1.0, 100), 30)
        truth = np.repeat(rng.random(100) < 0.2, 30)[None]
        alarms.append(seen(shown(truth), losses, groups, permutations=300).p_value[0] <= 0.05)
    assert np.mean(alarms) < 0.12


def test_groups_of_one_change_nothing_and_more_images_of_a_group_are_no_more_evidence() -> None:
    rng = np.random.default_rng(9)
    losses, truth = rng.gamma(1.0, 1.0, 300), rng.random((1, 300)) < 0.2
    once = seen(shown(truth), losses)
    renamed = seen(shown(truth), losses, rng.permutation(10_000)[:300])
    np.testing.assert_allclose(renamed.error, once.error)
    thrice = seen(shown(np.repeat(truth, 3, axis=1)), np.repeat(losses, 3), np.repeat(np.arange(300), 3))
    assert thrice.n_effective[0] == pytest.approx(once.n_effective[0])
    assert thrice.error[0] == pytest.approx(once.error[0], rel=1e-6)


def test_a_phrase_that_every_image_shows_alike_is_no_evidence() -> None:
    losses = np.random.default_rng(13).gamma(1.0, 1.0, 100)
    found = seen(retrieval(np.ones((1, 100)), np.arange(100)[None], 100), losses)
    assert found.lift[0] == 0
    assert found.p_value[0] == 1


def test_means_of_groups() -> None:
    found = group_means(np.array([1.0, 3.0, 5.0, 7.0]), np.array([4, 4, 9, 1]))
    assert sorted(found) == pytest.approx([-2.0, 1.0, 3.0])


def test_a_strong_failure_survives_a_long_list() -> None:
    """Twenty standard errors stay significant among three thousand phrases, with a thousand permutations."""
    rng = np.random.default_rng(10)
    truth = rng.random((1, 3000)) < 0.1
    losses = rng.normal(0, 1, 3000) + np.where(truth[0], 1.3, 0.0)
    p = seen(shown(truth), losses).p_value[0]
    assert 0 < p < 1e-12
    assert q_values(np.append(p, rng.random(2999)), "by")[0] < 0.1


def test_the_tail_continues_the_permutations() -> None:
    rng = np.random.default_rng(11)
    null = rng.normal(size=(1, 20_000))
    for z in (1.0, 2.0, 3.0, 4.0, 6.0):
        assert np.log(tail_p(np.array([z]), null)[0]) == pytest.approx(scipy.stats.norm.logsf(z), abs=0.6)


def test_halves_of_the_evidence_agree_within_their_errors() -> None:
    rng = np.random.default_rng(12)
    losses = rng.gamma(1.0, 1.0, 2000)
    truth = rng.random((30, 2000)) < 0.1
    errors = half_errors(shown(truth), losses - losses.mean(), np.arange(2000))
    assert len(errors) == 240
    assert (np.abs(errors) > 1.645).mean() == pytest.approx(0.1, abs=0.06)
    assert len(half_errors(shown(truth[:, :60]), losses[:60], np.arange(60))) == 0  # too few of each


@given(st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=40))
def test_q_values_are_benjamini_hochberg(p: list[float]) -> None:
    values = np.array(p)
    order = np.argsort(values)
    stepped = values[order] * len(p) / np.arange(1, len(p) + 1)
    expected = np.empty(len(p))
    expected[order] = np.minimum.accumulate(stepped[::-1])[::-1].clip(max=1)
    np.testing.assert_allclose(q_values(values), expected)
