"""Negations: a "no hat" is one minus "hat", unless it stands in quotation marks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from retrievals import retrieval

import fsearch
from fsearch.diagnoser.complement import complemented, interval_of_opposite
from fsearch.diagnoser.evidence import Design, group_means
from fsearch.diagnoser.verdict import Verdict, VerdictInputs, decide
from fsearch.search.hypotheses import Hypothesis, read_hypotheses
from fsearch.search.negation import literal, notes, positive
from fsearch.search.workspace import Workspace

SCALE = 100.0


@pytest.mark.parametrize(
    ("text", "of"),
    [
        ("no hat", "hat"),
        ("Without a hat", "a hat"),
        ("not smiling", "smiling"),
        ("no  glasses or hat", "glasses or hat"),
        ('"no hat"', None),
        ("\u201cno hat\u201d", None),
        ("a hat", None),
        ("nothing", None),
        ("notable hat", None),
        ("a person without glasses", None),
        ("no", None),
    ],
)
def test_what_a_phrase_is_the_negation_of(text: str, of: str | None) -> None:
    assert positive(text) == of


def test_quotation_marks_are_not_read() -> None:
    assert [literal(t) for t in ('"no hat"', "\u201cno hat\u201d", '"a" or "b"', '"', '""', 'a "hat"')] == [
        *("no hat", "no hat", '"a" or "b"', '"', '""', 'a "hat"')
    ]
    assert Hypothesis('"no hat"', None, "a photo of {}").prompts() == ("a photo of no hat",)
    Path("h.txt").write_text('no hat\n"no hat"\n')
    Path("h.csv").write_text('text\nno hat\n"""no hat"""\n')
    for name in ("h.txt", "h.csv"):
        assert [h.text for h in read_hypotheses(Path(name))] == ["no hat", '"no hat"']


def test_notes_name_what_was_read_and_what_was_not() -> None:
    read, kept = notes(["no hat", "a hat", '"no cap"', "a man without a beard"])
    assert "'no hat' as all but 'hat'" in read
    assert "cap" not in read + kept
    assert "'a man without a beard'" in kept
    assert notes(["a hat", "a notable knot"]) == []


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_the_evidence_of_a_negation_is_that_of_its_positive_with_the_other_sign(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 300
    chances = np.clip(np.exp(-np.sort(rng.exponential(2.0, (2, n)))), 1e-9, 1.0)
    found = retrieval(chances, np.stack([rng.permutation(n) for _ in range(2)]), n)
    both = complemented(found, np.array([False, True]), n, SCALE)
    losses, groups = rng.gamma(1.0, 1.0, n), np.arange(n)
    before, after = (
        Design(r, groups).slope((losses - losses.mean())[r.neighbours], group_means(losses, groups))
        for r in (found, both)
    )
    np.testing.assert_allclose(after.value[0], before.value[0])
    np.testing.assert_allclose(after.value[1], -before.value[1], atol=1e-9)
    np.testing.assert_allclose(after.variance, before.variance)
    np.testing.assert_allclose(both.quality.prevalence[1], 1 - found.quality.prevalence[1])
    twice = complemented(both, np.array([False, True]), n, SCALE)
    order = np.argsort(twice.neighbours[1]), np.argsort(found.neighbours[1])
    np.testing.assert_allclose(twice.memberships[1][order[0]], found.memberships[1][order[1]], atol=1e-9)


def test_a_negation_begins_with_what_is_least_like_the_positive_and_ends_with_what_stands_for_nothing() -> None:
    chances = np.array([[1.0, 0.5, 0.2, 0.01]])
    found = retrieval(chances, np.arange(4)[None], 10, np.array([[1, 1, 0, 8]]))
    found.similarities[:] = [[0.4, 0.3, 0.2, 0.1]]
    turned = complemented(found, np.array([True]), 10, SCALE)
    assert turned.neighbours.tolist() == [[3, 1, 0, 2]]
    assert turned.copies.tolist() == [[8, 1, 1, 0]]
    assert complemented(found, np.array([False]), 10, SCALE) is found


def inputs(**changes: object) -> VerdictInputs:
    plain = {
        "predicted_lift": 0.0, "lift": 0.0, "lo": -0.01, "hi": 0.01, "observed_lift": 0.0, "observed_error": 0.01,
        "n_effective": 900.0, "q_value": 1.0, "min_effect": 0.1, "shown": 900.0, "negates": "hat", "left": 100.0,
    }  # fmt: skip
    return VerdictInputs(**{**plain, **changes})  # type: ignore[arg-type]


def test_a_negation_of_what_is_not_there_is_unseen() -> None:
    verdict, reason = decide(inputs())
    assert (verdict, reason) == (Verdict.FINE, "a lift of 0.1 or more is ruled out; read as all but 'hat'")
    verdict, reason = decide(inputs(absent=True, doubtful=True, uncertain=True))
    assert verdict == Verdict.UNSEEN
    assert reason == "no image here seems to show 'hat', so that there is nothing to compare those without it with"
    verdict, reason = decide(inputs(left=3.0))
    assert verdict == Verdict.UNSEEN
    assert reason.startswith("only about 3 images here seem to show 'hat'")
    assert decide(inputs(uncertain=True))[0] == Verdict.UNCLEAR
    assert decide(inputs(shown=1.0, n_effective=1.0))[0] == Verdict.UNSEEN


def test_no_dark_skin_fails_where_light_skin_does(fitted: Path, planted: object, tmp_path: Path) -> None:
    """Losses are planted on what does not show dark skin."""
    values = [(0.2 if p.skin_tone >= 7 else 1.5) for p in planted.portraits]  # type: ignore[attr-defined]
    drawn = np.random.default_rng(3).gamma(2.0, np.array(values) / 2)
    Path("l.csv").write_text("image,loss\n" + "".join(f"{i:03d}.png,{v:.6f}\n" for i, v in enumerate(drawn)))
    ws = fsearch.open(tmp_path / "w")
    ws.index(planted.folder, "l.csv")  # type: ignore[attr-defined]
    ws.fit()
    answers = ws.query("not dark skin", "dark skin", "light skin", "no zebra", '"not dark skin"', top=12)
    negated, plain, _, unknown, stands = answers.answers
    assert negated.verdict == "fails"
    assert "read as all but 'dark skin'" in negated.reason
    assert negated.observed_lift == pytest.approx(-plain.observed_lift)
    assert negated.share == pytest.approx(1 - plain.share, abs=0.02)
    tones = {f"{i:03d}.png": p.skin_tone for i, p in enumerate(planted.portraits)}  # type: ignore[attr-defined]
    assert all(tones[n.key] < 7 for n in (*negated.failing, *negated.nearest))
    assert (unknown.verdict, unknown.reason) == ("unseen", "the encoder never saw 'zebra' in training")
    assert "read as" not in stands.reason
    assert sum("'not dark skin' as all but 'dark skin'" in note for note in answers.notes) == 1


def test_what_is_apart_from_a_negation_shows_the_positive(mine_or_none: Workspace) -> None:
    ranking = mine_or_none.rank(["not dark skin", "in dim light", "a hat"])
    assert ranking[0].text == "not dark skin"
    for a in ranking.hidden:
        assert a.within == "apart from not dark skin"
        assert a.baseline < mine_or_none.query("a hat")[0].baseline


@pytest.fixture
def mine_or_none(planted: object, tmp_path: Path) -> Workspace:
    """Images that do not show dark skin fail, and among dark skin those in dim light do."""
    rng = np.random.default_rng(5)
    lines = ["image,loss"]
    for i, p in enumerate(planted.portraits):  # type: ignore[attr-defined]
        dim = p.lighting == "dim"
        mean = (1.0 if dim else 0.05) if p.skin_tone >= 7 else (0.8 if dim else 2.0)
        lines.append(f"{i:03d}.png,{rng.gamma(2.0, mean / 2):.6f}")
    Path("l.csv").write_text("\n".join(lines) + "\n")
    ws = fsearch.open(tmp_path / "w")
    ws.index(planted.folder, "l.csv")  # type: ignore[attr-defined]
    ws.fit()
    return ws


@given(st.floats(-5.0, 5.0), st.floats(0.0, 3.0), st.floats(0.0, 3.0), st.floats(0.01, 0.9), st.floats(2 / 3, 1.5))
def test_the_interval_of_a_negation_holds_what_that_of_its_positive_allows(
    lift: float, below: float, above: float, share: float, off: float
) -> None:
    """Also where the odds of showing the positive are off by half."""
    lo, hi = interval_of_opposite(*(np.array([v]) for v in (lift - below, lift + above, share)))
    assert lo[0] - 1e-9 <= -lift * off * share / (1 - share) <= hi[0] + 1e-9


def test_the_interval_of_a_negation_is_about_its_lift_and_covers_that_of_all_others(fitted: Path) -> None:
    hat, none = fsearch.open(fitted).query(["a hat", "no hat"])
    odds = hat.share / (1 - hat.share)
    assert none.lo <= none.lift <= none.hi
    assert none.lo <= -hat.lift * odds <= none.hi
    assert none.hi - none.lo >= (hat.hi - hat.lo) * odds
