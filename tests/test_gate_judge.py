"""What rules make of what was found, number by number: nothing unknown passes, and only what is known fails."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsearch.diagnoser.change_verdict import ChangeVerdict
from fsearch.diagnoser.changes import Change
from fsearch.diagnoser.group_table import gaps, group_table
from fsearch.diagnoser.verdict import Verdict
from fsearch.search.gate.judge import Judged, judge, judge_change, judge_gap
from fsearch.search.gate.outcome import Outcome, at_most, combined, surely_at_most
from fsearch.search.gate.rules import Rule

PASSES, FAILS, UNKNOWN = Outcome.PASSES, Outcome.FAILS, Outcome.UNKNOWN
FINE = frozenset({"fine"})
GOOD = Judged("bald", Verdict.FINE, "a reason", -0.05, -0.1, 0.02, 40.0)
BAD = replace(GOOD, verdict=Verdict.FAILS, lift=0.5, lo=0.3, hi=0.7)


def rule(**values: object) -> Rule:
    return Rule(kind="phrase", subject="bald", **values)  # type: ignore[arg-type]


def outcomes(asked: Rule, found: Judged) -> list[Outcome]:
    return [check.outcome for check in judge(asked, found)]


@pytest.mark.parametrize(
    ("verdict", "accepted", "outcome"),
    [
        ("fine", FINE, PASSES),
        ("fails", FINE, FAILS),
        ("suspect", FINE, UNKNOWN),
        ("suspect", {"suspect"}, PASSES),
        ("fine", {"suspect"}, PASSES),
        ("fails", {"fails"}, PASSES),
        ("unclear", FINE, UNKNOWN),
        ("unseen", FINE, UNKNOWN),
        ("unclear", {"unclear"}, PASSES),
        ("unseen", {"unseen"}, PASSES),
        ("unseen", {"unclear"}, UNKNOWN),
    ],
)
def test_verdicts(verdict: str, accepted: set[str], outcome: Outcome) -> None:
    found = replace(GOOD, verdict=Verdict(verdict))
    assert outcomes(rule(verdicts=frozenset(accepted)), found) == [outcome]
    words = frozenset(accepted) & {"unseen", "unclear"}
    if words:
        assert outcomes(rule(verdicts=FINE, allow=words), found) == [outcome]


@pytest.mark.parametrize("verdict", [Verdict.UNSEEN, Verdict.UNCLEAR])
@pytest.mark.parametrize("limits", [{"max_lift": 1.0}, {"max_upper": 1.0}, {"max_lift": -9.0}, {"verdicts": FINE}])
def test_what_is_unseen_or_unclear_neither_passes_nor_fails(verdict: Verdict, limits: dict[str, object]) -> None:
    assert outcomes(rule(**limits), replace(GOOD, verdict=verdict)) == [UNKNOWN]
    assert outcomes(rule(**limits), replace(BAD, verdict=verdict)) == [UNKNOWN]


def test_a_rule_that_allows_unclear_still_looks_at_numbers() -> None:
    unclear = replace(BAD, verdict=Verdict.UNCLEAR)
    allowing = rule(max_lift=0.4, max_upper=0.6, allow=frozenset({"unclear"}))
    assert outcomes(allowing, unclear) == [FAILS, UNKNOWN]


def test_lifts_and_their_upper_bounds() -> None:
    assert outcomes(rule(max_lift=0.4), BAD) == [FAILS]
    assert outcomes(rule(max_lift=0.6), BAD) == [PASSES]  # a known failure, within what is tolerated
    assert outcomes(rule(max_upper=0.2), BAD) == [FAILS]
    assert outcomes(rule(max_upper=0.6), BAD) == [UNKNOWN]
    assert outcomes(rule(max_upper=0.8), BAD) == [PASSES]
    assert outcomes(rule(max_lift=0.6, max_upper=0.2, verdicts=FINE), BAD) == [FAILS, PASSES, FAILS]


def test_too_small_a_group_does_not_pass_but_may_fail() -> None:
    asked = rule(verdicts=FINE, max_upper=0.1, min_support=50)
    assert outcomes(asked, GOOD) == [UNKNOWN, UNKNOWN]
    assert "about 40 images or groups of them, fewer than 50" in judge(asked, GOOD)[0].reason
    assert outcomes(asked, BAD) == [FAILS, FAILS]
    assert outcomes(replace(asked, allow=frozenset({"small"})), GOOD) == [PASSES, PASSES]
    assert outcomes(rule(verdicts=FINE), replace(GOOD, support=9.9)) == [UNKNOWN]


@given(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-10, 10),
)
def test_a_pass_is_a_number_below_its_limit(lo: float, hi: float, limit: float) -> None:
    assert (at_most(hi, limit) == PASSES) == (hi <= limit)
    assert (at_most(hi, limit) == FAILS) == (hi > limit)
    outcome = surely_at_most(lo, hi, limit)
    if outcome == PASSES:
        assert lo <= hi <= limit
    if outcome == FAILS:
        assert hi >= lo > limit
    if math.isnan(lo) or math.isnan(hi):
        assert outcome == UNKNOWN


def test_no_number_at_all_never_passes() -> None:
    none = replace(GOOD, lift=math.nan, lo=math.nan, hi=math.nan)
    assert outcomes(rule(max_lift=1.0, max_upper=1.0), none) == [UNKNOWN, UNKNOWN]
    assert outcomes(rule(verdicts=FINE), replace(GOOD, support=math.nan)) == [UNKNOWN]


@given(st.lists(st.sampled_from(list(Outcome))))
def test_outcomes_combine_to_the_worst_and_of_nothing_there_is_no_telling(found: list[Outcome]) -> None:
    expected = FAILS if FAILS in found else UNKNOWN if UNKNOWN in found or not found else PASSES
    assert combined(found) == expected
    assert [o.exit_code for o in (PASSES, FAILS, UNKNOWN)] == [0, 1, 2]


CHANGE = Change(
    hypothesis="bald", verdict=ChangeVerdict.SAME, change=0.01, lo=-0.02, hi=0.04, before=0.5, after=0.51,
    n_effective=40.0, p_value=0.5, q_value=0.5, reason="a reason", simpson=False, shown=50.0, share=0.1, purity=0.9,
    paired=1.0, standard_error=0.02, min_effect=0.1,
)  # fmt: skip


@pytest.mark.parametrize(
    ("verdict", "limits", "outcome"),
    [
        ("same", {}, PASSES),
        ("better", {}, PASSES),
        ("worse", {}, FAILS),
        ("unclear", {}, UNKNOWN),
        ("unseen", {}, UNKNOWN),
        ("unclear", {"allow": frozenset({"unclear"})}, PASSES),
        ("unseen", {"allow": frozenset({"unseen"})}, PASSES),
        ("same", {"min_support": 41.0}, UNKNOWN),
        ("worse", {"min_support": 41.0}, FAILS),
        ("worse", {"max_change": 0.05}, PASSES),
        ("same", {"max_change": 0.03}, UNKNOWN),
        ("same", {"max_change": 0.0}, UNKNOWN),
        ("unclear", {"max_change": 0.05}, UNKNOWN),
        ("unclear", {"max_change": 0.05, "allow": frozenset({"unclear"})}, PASSES),
    ],
)
def test_changes(verdict: str, limits: dict[str, object], outcome: Outcome) -> None:
    found = replace(CHANGE, verdict=ChangeVerdict(verdict))
    (check,) = judge_change(rule(no_worse_than="old", **limits), found, "old")
    assert check.outcome == outcome
    assert check.check.startswith("no_worse_than old")


def siblings(*verdicts: str) -> list[Judged]:
    return [replace(GOOD, subject=f"s{i}", verdict=Verdict(v)) for i, v in enumerate(verdicts)]


def gap(limit: float, among: list[Judged], means: list[float], error: float, **more: object) -> Outcome:
    values = np.array(means)
    errors = np.full((len(means), len(means)), error)
    return judge_gap(rule(max_gap=limit, **more), "g", among, values[:, None] - values, errors).outcome


def test_gaps_pass_where_every_pair_surely_keeps_the_limit() -> None:
    assert gap(0.3, siblings("fine", "fine", "fails"), [0.0, 0.1, 0.2], 0.01) == PASSES
    assert gap(0.3, siblings("fine", "fine", "fails"), [0.0, 0.1, 0.2], 0.1) == UNKNOWN
    assert gap(0.3, siblings("fine", "fine", "fails"), [0.5, 0.1, 0.0], 0.01) == FAILS
    assert gap(0.3, siblings("fine", "fine"), [0.0, 0.5], math.nan) == UNKNOWN
    assert gap(0.3, siblings("fine", "fine"), [0.0, math.nan], 0.01) == UNKNOWN


def test_the_largest_of_many_gaps_must_be_surely_too_large_for_all_pairs_together() -> None:
    """Two standard errors beyond the limit are enough for one pair, and chance for one of a hundred."""
    assert gap(0.1, siblings(*["fine"] * 2), [0.0, 0.3], 0.1) == FAILS
    assert gap(0.1, siblings(*["fine"] * 15), [0.0] * 14 + [0.3], 0.1) == UNKNOWN


@pytest.mark.parametrize("word", ["unseen", "unclear"])
def test_a_sibling_that_is_not_known_keeps_a_gap_from_passing(word: str) -> None:
    among = siblings("fine", "fine", word)
    assert gap(1.0, among, [0.0, 0.1, 0.2], 0.01) == UNKNOWN
    assert gap(1.0, among, [0.0, 0.1, 0.2], 0.01, allow=frozenset({word})) == PASSES
    assert gap(0.05, among, [0.0, 0.1, 0.2], 0.01) == FAILS  # two that are known are too far apart
    assert gap(1.0, siblings("fine", word), [0.0, 0.1], 0.01) == UNKNOWN
    few = [replace(s, support=5.0) for s in siblings("fine", "fine")]
    assert gap(1.0, few, [0.0, 0.1], 0.01) == UNKNOWN


def test_one_sibling_has_no_gap() -> None:
    assert gap(1.0, siblings("fine"), [0.0], 0.01) == UNKNOWN
    assert gap(1.0, siblings("fine", "unseen"), [0.0, 0.0], 0.01, allow=frozenset({"unseen"})) == UNKNOWN


def table(losses: np.ndarray, values: np.ndarray, groups: np.ndarray | None = None) -> dict[str, object]:
    members = {str(v): values == v for v in np.unique(values)}
    groups = np.arange(len(losses)) if groups is None else groups
    return {row.value: row for row in group_table(losses, groups, members)}


def test_a_group_table_has_means_and_intervals() -> None:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 3, 600)
    losses = rng.gamma(1.0, np.where(values == 2, 2.0, 0.5))
    rows = table(losses, values)
    within = np.mean((losses - np.array([losses[values == v].mean() for v in range(3)])[values]) ** 2)
    for name, row in rows.items():
        own = losses[values == int(name)]
        assert row.mean_loss == pytest.approx(own.mean())  # type: ignore[attr-defined]
        own_variance, freedom = own.var(ddof=1), len(own) - 1
        moderated = (freedom * own_variance + 30 * within) / (freedom + 30)
        error = np.sqrt(max(own_variance, moderated) / len(own))
        assert row.mean_hi - row.mean_loss == pytest.approx(1.65 * error, rel=0.02)  # type: ignore[attr-defined]
        assert row.lift == pytest.approx(own.mean() - losses.mean())  # type: ignore[attr-defined]
    assert {name: str(row.verdict) for name, row in rows.items()} == {"0": "fine", "1": "fine", "2": "fails"}  # type: ignore[attr-defined]


def test_ten_images_without_a_mistake_do_not_rule_one_out() -> None:
    """Of ten images of a kind that goes wrong one time in five, none may be wrong: their own spread is then zero."""
    rng = np.random.default_rng(6)
    values = np.repeat([0, 1, 2], [10, 10, 400])
    losses = np.where(values == 2, rng.random(420) < 0.2, 0.0).astype(float)
    rows = table(losses, values)
    assert rows["0"].mean_hi > 0.15  # type: ignore[attr-defined]
    members = {v: values == int(v) for v in "012"}
    difference, error = gaps(losses, np.arange(420), members)
    few = [replace(GOOD, subject=name, support=10.0) for name in ("0", "1")]
    assert judge_gap(rule(max_gap=0.1), "g", few, difference[:2, :2], error[:2, :2]).outcome == UNKNOWN


@pytest.mark.parametrize("size", [10, 20, 50])
@pytest.mark.parametrize("often", [0.05, 0.1, 0.3])
def test_upper_ends_of_means_hold_where_mistakes_are_rare(size: int, often: float) -> None:
    """The upper end of a 90% interval lies above the truth nine times in ten or so, where it was four in ten."""
    rng = np.random.default_rng([size, round(100 * often)])
    above = 0
    for _ in range(300):
        values = np.repeat([0, 1], [size, 400])
        losses = (rng.random(len(values)) < often) * rng.uniform(1.5, 4.5, len(values))
        above += table(losses, values)["0"].mean_hi >= 3 * often  # type: ignore[attr-defined]
    assert above / 300 >= 0.85


def test_the_only_value_of_a_column_is_no_better_than_anything() -> None:
    losses = np.random.default_rng(3).gamma(1.0, 1.0, 100)
    row = table(losses, np.zeros(100, int))["0"]
    assert (row.verdict, row.reason) == (Verdict.UNCLEAR, "the only value there is")  # type: ignore[attr-defined]


def test_copies_are_no_evidence_in_a_group_table() -> None:
    rng = np.random.default_rng(2)
    values, losses = rng.integers(0, 2, 40), rng.gamma(1.0, 1.0, 40)
    once = table(losses, values)
    often = table(np.repeat(losses, 20), np.repeat(values, 20), np.repeat(np.arange(40), 20))
    for name, row in once.items():
        assert often[name].mean_lo == pytest.approx(row.mean_lo)  # type: ignore[attr-defined]
        assert often[name].groups == row.groups  # type: ignore[attr-defined]
        assert often[name].lo == pytest.approx(row.lo)  # type: ignore[attr-defined]


def test_one_group_of_repeats_is_unseen_and_equal_losses_are_fine() -> None:
    losses, values = np.random.default_rng(3).gamma(1.0, 1.0, 100), np.repeat([0, 1], 50)
    groups = np.where(values == 1, 0, np.arange(100))
    rows = table(losses, values, groups)
    assert rows["1"].verdict == Verdict.UNSEEN  # type: ignore[attr-defined]
    assert rows["1"].mean_hi == math.inf  # type: ignore[attr-defined]
    equal = table(np.zeros(100), values)
    assert {row.verdict for row in equal.values()} == {Verdict.FINE}  # type: ignore[attr-defined]
    one = table(losses, np.zeros(100, int))["0"]
    assert (one.lift, one.lo, one.hi) == (0.0, 0.0, 0.0)  # type: ignore[attr-defined]


def test_gaps_between_groups_are_differences_of_means_whichever_way() -> None:
    rng = np.random.default_rng(4)
    values, losses = rng.integers(0, 3, 300), rng.gamma(1.0, 1.0, 300)
    members = {str(v): values == v for v in range(3)}
    difference, error = gaps(losses, np.arange(300), members)
    means = np.array([losses[m].mean() for m in members.values()])
    np.testing.assert_allclose(difference, means[:, None] - means, atol=1e-12)
    np.testing.assert_allclose(error, error.T)
    a, b = (losses[members[v]] for v in ("0", "1"))
    assert error[0, 1] == pytest.approx(np.sqrt(a.var() / len(a) + b.var() / len(b)), rel=0.03)
