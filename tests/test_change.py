"""The change of a loss between two models: limits, invariances, honest p-values, and verdicts that wait."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from retrievals import retrieval, shown

from fsearch.diagnoser.change import Changes, changes, whole_change
from fsearch.diagnoser.change_verdict import ChangeInputs, ChangeVerdict, decide_change
from fsearch.diagnoser.lift import Scale
from fsearch.diagnoser.retrieval import Retrieved
from fsearch.diagnoser.verdict import MIN_EVIDENCE


def seen(
    found: Retrieved, before: np.ndarray, after: np.ndarray, groups: np.ndarray | None = None, permutations: int = 1000
) -> Changes:
    """What changed from `before` to `after`, (n,), in `groups`; kinds of image do not differ."""
    groups = np.arange(len(before)) if groups is None else groups
    return changes(found, before, after, groups, Scale(1.0, 0.0), permutations, 0)


def two_models(seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Losses of two models that find the same images hard; neither is better."""
    rng = np.random.default_rng(seed)
    hard = rng.gamma(1.0, 1.0, n)
    return hard * rng.gamma(4.0, 0.25, n), hard * rng.gamma(4.0, 0.25, n)


def chances(seed: int, n: int = 300, q: int = 3) -> Retrieved:
    """Memberships that fall like those of an encoder, in random order."""
    rng = np.random.default_rng(seed)
    falling = np.exp(-np.arange(n) / 20.0).clip(1e-9)
    return retrieval(np.stack([rng.permutation(falling) for _ in range(q)]), np.tile(np.arange(n), (q, 1)), n)


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_a_sure_retrieval_gives_the_plain_mean_of_the_differences(seed: int) -> None:
    before, after = two_models(seed)
    truth = np.random.default_rng(seed).random((3, 300)) < 0.2
    found = seen(shown(truth), before, after, permutations=50)
    np.testing.assert_allclose(found.value, [(after - before)[t].mean() for t in truth], atol=1e-9)
    np.testing.assert_allclose(found.before, [before[t].mean() for t in truth], atol=1e-9)


@given(st.integers(0, 10_000))
@settings(max_examples=25)
def test_the_other_way_round_is_the_same_with_another_sign(seed: int) -> None:
    before, after = two_models(seed)
    there, back = (seen(chances(seed), a, b, permutations=200) for a, b in ((before, after), (after, before)))
    np.testing.assert_allclose(there.value, -back.value, atol=1e-12)
    np.testing.assert_allclose(there.error, back.error)
    np.testing.assert_allclose(there.p_value, back.p_value)


@pytest.mark.parametrize("unit", [1e-10, 1e6])
def test_no_unit_of_the_loss_is_too_small_or_too_large(unit: float) -> None:
    before, after = two_models(1)
    plain, scaled = seen(chances(1), before, after), seen(chances(1), before * unit, after * unit)
    np.testing.assert_allclose(scaled.value, plain.value * unit)
    np.testing.assert_allclose(scaled.error, plain.error * unit)
    np.testing.assert_allclose(scaled.p_value, plain.p_value)


def test_what_is_hard_for_both_models_cancels() -> None:
    before, after = two_models(2)
    hard = np.random.default_rng(3).gamma(1.0, 50.0, 300)
    plain, harder = seen(chances(2), before, after), seen(chances(2), before + hard, after + hard)
    np.testing.assert_allclose(harder.value, plain.value, rtol=1e-9)
    np.testing.assert_allclose(harder.p_value, plain.p_value, rtol=1e-6)


@pytest.mark.parametrize("each", [1, 10])
def test_two_models_as_good_as_each_other_are_rarely_told_apart(each: int) -> None:
    """With every image ten times, too: copies are no further evidence."""
    p = []
    for seed in range(60):
        before, after = (np.repeat(losses, each) for losses in two_models(seed, 200))
        truth = np.repeat(np.random.default_rng(seed).random((4, 200)) < 0.15, each, axis=1)
        p.append(seen(shown(truth), before, after, np.repeat(np.arange(200), each), permutations=500).p_value)
    share = (np.concatenate(p) <= 0.05).mean()
    assert 0.01 <= share <= 0.10


def test_copies_taken_for_evidence_would_alarm() -> None:
    """The test before could fail: without the groups, the same numbers are called significant."""
    before, after = (np.repeat(losses, 10) for losses in two_models(5, 200))
    truth = np.repeat(np.random.default_rng(5).random((20, 200)) < 0.15, 10, axis=1)
    assert (seen(shown(truth), before, after).p_value <= 0.05).mean() > 0.2


def test_intervals_cover_a_change_whose_size_varies() -> None:
    covered = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        before, noise = two_models(seed)
        truth = rng.random((2, 300)) < 0.2
        rise = np.where(truth[0], 0.5, 0.0)
        found = seen(shown(truth), before, noise + rise, permutations=50)
        lo, hi = found.value - 1.645 * found.error, found.value + 1.645 * found.error
        expected = np.array([0.5, rise[truth[1]].mean()])
        covered.append((lo <= expected) & (expected <= hi))
    assert 0.85 <= np.mean(covered) <= 0.97


def test_losses_that_change_nowhere_else_do_not_narrow_the_interval() -> None:
    """A model retrained on one kind of image alone: elsewhere not one loss differs."""
    rng = np.random.default_rng(4)
    truth = np.arange(2000)[None] < 40
    before = rng.gamma(1.0, 1.0, 2000)
    change = np.where(truth[0], rng.normal(0.0, 1.0, 2000), 0.0)
    found = seen(shown(truth), before, before + change)
    assert found.noise[0] >= 0.95 * change[truth[0]].std() / np.sqrt(40)


def test_a_sampled_rest_stands_for_all_of_it() -> None:
    rng = np.random.default_rng(6)
    n, near = 20_000, 100
    p = np.where(np.arange(n) < near, 1.0, 0.02)
    before = rng.gamma(1.0, 1.0, n)
    after = before + np.where(rng.random(n) < p, 0.5, -0.1) + rng.normal(0, 0.3, n)
    every = seen(retrieval(p[None], np.arange(n)[None], n), before, after, permutations=100)
    rest = rng.choice(np.arange(near, n), 2000, replace=False)
    chosen = np.concatenate([np.arange(near), rest])
    copies = np.where(chosen < near, 1.0, (n - near) / len(rest))
    part = retrieval(p[chosen][None], chosen[None], n, copies[None])
    sampled = seen(part, before, after, permutations=100)
    assert abs(sampled.value[0] - every.value[0]) < 3 * sampled.error[0]
    assert sampled.error[0] < 5 * every.error[0]


def test_nothing_changed_is_no_change_and_no_alarm() -> None:
    before, _ = two_models(7)
    found = seen(chances(7), before, before)
    assert found.value.tolist() == found.noise.tolist() == [0.0, 0.0, 0.0]
    assert found.p_value.tolist() == [1.0, 1.0, 1.0]
    assert whole_change(before, before, np.arange(300)) == (0.0, 0.0, 1.0)


def test_one_group_of_repeats_is_no_evidence() -> None:
    before, after = two_models(8)
    one = np.zeros(300, int)
    found = seen(shown(np.arange(300)[None] < 100), before, after + 1.0, one)
    assert found.p_value[0] > 0.9
    assert found.n_effective[0] == pytest.approx(1.0)
    assert whole_change(before, after + 1.0, one).error == math.inf


@given(st.integers(0, 10_000), st.integers(1, 8))
@settings(max_examples=25)
def test_the_whole_is_a_mean_by_groups(seed: int, each: int) -> None:
    before, after = (np.repeat(losses, each) for losses in two_models(seed, 100))
    found = whole_change(before, after, np.repeat(np.arange(100), each))
    once = whole_change(before[::each], after[::each], np.arange(100))
    assert found == pytest.approx(once, rel=1e-6, abs=1e-12)


CLEAR = ChangeInputs(
    change=0.0, lo=-0.01, hi=0.01, q_value=1.0, min_effect=0.1, n_effective=50.0, shown=60.0, paired=1.0
)
RISE = replace(CLEAR, change=0.2, lo=0.15, hi=0.25, q_value=0.001)
FALL = replace(CLEAR, change=-0.2, lo=-0.25, hi=-0.15, q_value=0.001)


@pytest.mark.parametrize(
    ("inputs", "verdict"),
    [
        (CLEAR, "same"),
        (RISE, "worse"),
        (FALL, "better"),
        (replace(RISE, q_value=0.2), "unclear"),
        (replace(RISE, lo=-0.01), "unclear"),
        (replace(RISE, change=0.04, lo=0.03, hi=0.05), "same"),
        (replace(CLEAR, hi=0.11), "unclear"),
        (replace(CLEAR, lo=-0.11), "unclear"),
        (replace(CLEAR, min_effect=0.0), "unclear"),
        *((replace(i, paired=0.8), v) for i, v in ((CLEAR, "unclear"), (RISE, "worse"), (FALL, "unclear"))),
        *((replace(i, doubtful=True, uncertain=True), "unclear") for i in (CLEAR, RISE, FALL)),
        *((replace(i, uncertain=True), v) for i, v in ((CLEAR, "unclear"), (RISE, "worse"), (FALL, "better"))),
        *((replace(i, absent=True), v) for i, v in ((CLEAR, "unseen"), (RISE, "unclear"), (FALL, "unclear"))),
        *((replace(i, shown=1.9), "unseen") for i in (CLEAR, RISE, FALL)),
        *((replace(i, n_effective=MIN_EVIDENCE - 0.1), "unseen") for i in (CLEAR, RISE, FALL)),
        *((replace(i, unknown_words=("zebra",)), "unseen") for i in (CLEAR, RISE, FALL)),
        *((replace(i, foreign_images=True), "unseen") for i in (CLEAR, RISE, FALL)),
        (replace(CLEAR, shown=5.0), "unclear"),
    ],
)
def test_the_table_of_verdicts(inputs: ChangeInputs, verdict: str) -> None:
    found, reason = decide_change(inputs)
    assert (found, bool(reason)) == (verdict, True)


NUMBERS = [f.name for f in fields(ChangeInputs) if f.type == "float" and f.name != "left"]


@pytest.mark.parametrize("left", [4.9, 0.0, math.nan])
def test_a_negation_of_what_hardly_any_image_shows_is_unseen(left: float) -> None:
    few = replace(RISE, negates="hat", left=left)
    assert decide_change(few)[0] == ChangeVerdict.UNSEEN
    assert decide_change(replace(RISE, negates="hat", left=5.0))[0] == ChangeVerdict.WORSE
    assert decide_change(replace(RISE, negates="hat", absent=True))[0] == ChangeVerdict.UNSEEN


@given(st.sampled_from([CLEAR, RISE, FALL]), st.sampled_from(NUMBERS), st.sampled_from([math.nan, -math.inf, math.inf]))
def test_what_is_no_number_is_never_a_verdict(inputs: ChangeInputs, name: str, value: float) -> None:
    assert decide_change(replace(inputs, **{name: value}))[0] in (ChangeVerdict.UNCLEAR, ChangeVerdict.UNSEEN)
