"""Questions asked one at a time share one error budget: its arithmetic, and its account in the catalog."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.trace import openings_counted
from hypothesis import given
from hypothesis import strategies as st
from tests.test_cli import run
from tests.test_text_tower import HOLD

import fsearch
from fsearch.diagnoser.findings import evaluated
from fsearch.diagnoser.online import levels, shares
from fsearch.diagnoser.slice import Slice
from fsearch.diagnoser.verdict import Q_LEVEL
from fsearch.search.workspace import Workspace

P_VALUES = st.lists(st.floats(1e-12, 1.0), max_size=60)


@pytest.fixture
def mine(fitted: Path, tmp_path: Path) -> Workspace:
    """A copy of the fitted workspace of which nothing was asked yet."""
    root = tmp_path / "mine.fsearch"
    shutil.copytree(fitted, root)
    ws = fsearch.open(root)
    ws.fit()
    return ws


def test_the_budget_is_spent_once_and_falling() -> None:
    for correction in ("bh", "by"):
        found = shares(100_000, correction)
        assert (np.diff(found) < 0).all()
        assert 0.4 < found.sum() < 1
    assert (shares(50, "by") <= shares(50)).all()


@given(P_VALUES, P_VALUES, st.sampled_from(["bh", "by"]))
def test_a_level_depends_on_earlier_questions_alone(before: list[float], after: list[float], correction: str) -> None:
    some = levels(np.array(before), correction)  # type: ignore[arg-type]
    more = levels(np.array(before + after), correction)  # type: ignore[arg-type]
    np.testing.assert_array_equal(more[: len(some)], some)
    assert (more <= Q_LEVEL).all()


@given(P_VALUES, st.data())
def test_a_discovery_earns_and_never_costs(p: list[float], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, max(len(p) - 1, 0)))
    better = [1e-300 if i == at else v for i, v in enumerate(p)]
    assert (levels(np.array(better)) >= levels(np.array(p))).all()


def test_few_discoveries_are_false_however_long_one_asks() -> None:
    rng = np.random.default_rng(1)
    shares_false, alarms = [], []
    for _ in range(400):
        true = rng.random(150) < 0.1
        p = np.where(true, rng.random(150) * 1e-4, rng.random(150))
        found = p <= levels(p)[:-1]
        shares_false.append((found & ~true).sum() / max(found.sum(), 1))
        null = rng.random(150)
        alarms.append((null <= levels(null)[:-1]).any())
    assert np.mean(shares_false) < Q_LEVEL
    assert np.mean(alarms) < Q_LEVEL + 0.04
    assert np.mean(shares_false) > 0.005  # it is no rule that finds nothing


def test_questions_are_counted_once_and_in_order(mine: Workspace) -> None:
    first, second = mine.query("bald", "a hat").answers
    assert (first.question, second.question) == (1, 2)
    again = mine.query("A hat")[0]
    assert (again.question, again.level, again.q_value) == (2, second.level, second.q_value)
    assert mine.query("a moustache")[0].question == 3
    rows = mine.sql(
        "SELECT number, hypothesis, p_value FROM questions WHERE fitted_at = (SELECT fitted_at FROM models)"
    )
    assert rows["hypothesis"].to_pylist() == ["bald", "a hat", "a moustache"]
    expected = levels(rows["p_value"].to_numpy())
    assert [first.level, second.level] == pytest.approx(expected[:2].tolist())
    assert fsearch.open(mine.root).query("earrings")[0].question == 4


def test_other_images_and_other_words_are_other_questions(mine: Workspace) -> None:
    assert mine.query("bald")[0].question == 1
    assert mine.query("bald", where="eyewear = 'none'")[0].question == 2
    within = mine.query("bald", by="eyewear").answers
    assert [a.question for a in within if a.question] == [3, 4, 5][: sum(a.question is not None for a in within)]
    assert mine.query("bald", where="eyewear = 'none'", seed=5)[0].question == 2
    assert mine.query(fsearch.search.hypotheses.Hypothesis("bald", None, "a photo of {}"))[0].question > 3


def test_the_verdict_is_given_at_the_level(mine: Workspace) -> None:
    for a in mine.query("dark skin tone", "light skin tone", "bald", "a hat").answers:
        assert a.level is not None
        assert a.q_value == pytest.approx(min(1.0, a.p_value * Q_LEVEL / a.level))
        assert (a.q_value <= Q_LEVEL) == (a.p_value <= a.level)
    strict = mine.query("light skin tone", fdr="by")[0]
    assert strict.question == 2
    assert strict.level == pytest.approx(mine.query("light skin tone")[0].level / 1.5)


def test_what_is_no_test_has_no_place_and_a_ranking_neither(mine: Workspace) -> None:
    unseen = mine.query("a person with a zebra")[0]
    assert (unseen.verdict, unseen.question, unseen.level) == ("unseen", None, None)
    assert all(a.question is None for a in mine.rank(["bald", "a hat"]))
    assert mine.query("bald")[0].question == 1


def test_a_new_fit_has_a_new_account_and_a_removed_model_none(mine: Workspace) -> None:
    mine.query("bald", "a hat")
    mine.fit()
    assert mine.query("a moustache")[0].question == 1
    mine.losses.remove("planted")
    assert mine.sql("SELECT count(*) AS n FROM questions")["n"].to_pylist() == [0]


def test_where_the_account_cannot_be_kept_the_answer_says_so(mine: Workspace) -> None:
    mine.query("bald")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(mine.root / "catalog.duckdb")], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            kept, new = mine.query("bald"), mine.query("a hat")
        finally:
            other.kill()
    assert not any("account" in note for note in kept.notes)
    assert any("the account of questions is not kept" in note for note in new.notes)
    assert (kept[0].question, new[0].question) == (1, 2)
    assert mine.query("a moustache")[0].question == 2


def test_a_question_comes_after_those_that_others_asked_meanwhile(
    mine: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tested at the level of the place that it got, not of the one that it would have had."""
    other = fsearch.open(mine.root)
    phrases = ["bald", "a hat", "earrings"]

    def beside(*words: Any) -> list[Slice]:
        found = evaluated(*words)
        if phrases:
            other.query(phrases.pop(0))
        return found

    monkeypatch.setattr("fsearch.search.query.evaluated", beside)  # others ask after the account was read
    with openings_counted() as openings:
        answer = mine.query("light skin tone")[0]
    assert openings.count("write") == 4
    p = mine.sql("SELECT p_value FROM questions WHERE fitted_at = (SELECT fitted_at FROM models) ORDER BY number")[
        "p_value"
    ].to_numpy()
    assert answer.question == len(p) == 4
    assert answer.level == pytest.approx(levels(p)[3])
    assert answer.level != pytest.approx(levels(p[3:])[0])
    assert answer.as_dict() == other.query("light skin tone")[0].as_dict()


def test_an_answer_names_its_question(mine: Workspace) -> None:
    _, out, _ = run("query", "bald", "a hat", "--explain", "-w", mine.root)
    assert "  question 2 of this fit; its level is " in out
    assert "as question 1 of this fit; level 0.1 over all" in out
