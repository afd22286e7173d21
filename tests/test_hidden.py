"""Hidden by the worst failure: what fails among images that do not show it is found, stored and shown apart."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.test_cli import run

import fsearch
from fsearch.diagnoser.narrowing import narrowed
from fsearch.diagnoser.retrieval import EVERY, Retriever
from fsearch.indexer.vector_index.exact_search import ExactSearch
from fsearch.search.workspace import Workspace

PHRASES = ["dark skin tone", "in dim light", "a hat", "bald", "sunglasses", "at the beach"]
SCALE = 20.0


def directions(rng: np.random.Generator, n: int, dim: int = 8) -> np.ndarray:
    vectors = rng.normal(size=(n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(60, 300))
def test_a_narrowed_retrieval_is_what_the_index_would_give(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    retriever = Retriever(ExactSearch(directions(rng, n)), np.arange(n), SCALE)
    texts, kept = directions(rng, 3), rng.random(n) < 0.7
    whole = retriever.find(texts)
    asked = retriever.within(np.flatnonzero(kept)).find(texts, whole)
    found = narrowed(whole, kept, SCALE)
    np.testing.assert_array_equal(found.neighbours, asked.neighbours)
    np.testing.assert_array_equal(found.copies, asked.copies)
    np.testing.assert_allclose(found.memberships, asked.memberships)
    for part in ("precision", "prevalence", "count", "purity"):
        np.testing.assert_allclose(getattr(found.quality, part), getattr(asked.quality, part))


def test_past_the_images_that_are_all_judged_the_rest_is_stood_for() -> None:
    rng = np.random.default_rng(3)
    n = EVERY + 3000
    vectors = directions(rng, n)
    retriever = Retriever(ExactSearch(vectors), np.arange(n), SCALE)
    texts = directions(rng, 2)
    whole = retriever.find(texts)
    shows = retriever.memberships(whole, 0)
    kept = shows < 0.1
    found = narrowed(whole, kept, SCALE)
    np.testing.assert_allclose(found.copies.sum(axis=1), kept.sum(), rtol=1e-5)
    here = found.copies > 0
    assert kept[np.flatnonzero(kept)[found.neighbours[here]]].all()
    exact = retriever.memberships(whole, 1)[kept].sum()
    assert found.weights[1].sum() == pytest.approx(exact, rel=0.1)
    near = whole.neighbours[1, :50]
    np.testing.assert_allclose(retriever.memberships(whole, 1)[near], whole.memberships[1, :50], rtol=1e-4)


@pytest.fixture(scope="module")
def mine(planted: Any, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Dark skin fails; dim light fails on other skin, and helps on dark skin, so that it does not stand out."""
    root = tmp_path_factory.mktemp("hidden")
    rng = np.random.default_rng(4)
    with (root / "l.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["image", "loss", "eyewear"])
        for i, p in enumerate(planted.portraits):
            dim = p.lighting == "dim"
            mean = (0.5 if dim else 2.0) if p.skin_tone >= 7 else (0.9 if dim else 0.1)
            out.writerow([f"{i:03d}.png", f"{rng.gamma(2.0, mean / 2):.6f}", p.eyewear])
    ws = fsearch.open(root / "w")
    ws.index(planted.folder, root / "l.csv")
    ws.fit()
    return ws


def test_what_the_worst_failure_hides_stands_in_a_second_block(mine: Workspace) -> None:
    ranking = mine.rank(PHRASES)
    assert ranking[0].text == "dark skin tone"
    assert ranking["in dim light"].verdict not in ("fails", "suspect")
    (dim,) = (a for a in ranking.hidden if a.text == "in dim light")
    assert (dim.verdict, dim.within) == ("fails", "apart from dark skin tone")
    assert "a hat" not in [a.text for a in ranking.hidden if a.verdict == "fails"]
    assert ranking["in dim light [apart from dark skin tone]"] == dim
    light = mine.sql("SELECT avg(loss) AS m FROM examples WHERE loss < 1e9")["m"][0].as_py()
    assert dim.baseline < light  # of the images that do not show dark skin alone
    assert len(dim.failing) > 0
    assert len(ranking) == len(PHRASES)


def test_it_is_stored_read_back_and_handed_on(mine: Workspace) -> None:
    ranking = mine.rank(PHRASES, out="r.csv")
    stored = mine.runs.ranking(ranking.run_id)
    assert stored.answers == ranking.answers
    assert stored.hidden == ranking.hidden
    rows = mine.sql("SELECT rank, hypothesis, within FROM latest_ranking WHERE within IS NOT NULL").to_pylist()
    assert {"rank": 7, "hypothesis": "in dim light", "within": "apart from dark skin tone"} in rows
    table = ranking.to_arrow()
    assert table.num_rows == len(PHRASES) + len(ranking.hidden)
    assert table["within"].to_pylist()[:6] == [None] * 6
    assert Path("r.csv").read_text().count("apart from dark skin tone") == len(ranking.hidden)
    as_json = json.loads(json.dumps(ranking.as_dict()))
    assert [a["rank"] for a in as_json["ranking"]] == [1, 2, 3, 4, 5, 6]
    assert as_json["hidden"][0]["rank"] == 7
    listed = mine.runs.list().to_pylist()[0]
    assert (listed["hypotheses"], listed["fails"]) == (6, sum(a.verdict == "fails" for a in ranking))


def test_it_is_shown_wherever_a_ranking_is(mine: Workspace) -> None:
    from fsearch.search.notebook import table_html
    from fsearch.search.web.views import Views

    Path("h.txt").write_text("\n".join(PHRASES))
    _, out, _ = run("rank", "h.txt", "-w", mine.root)
    lines = out.splitlines()
    place = lines.index("apart from dark skin tone, which hides it:")
    assert place == len(PHRASES) + 1
    assert lines[place + 2].split()[0] == "7"
    assert lines[place + 2].split()[1:5] == ["in", "dim", "light", "fails"]
    assert "apart from dark skin tone" in str(mine.runs.ranking())
    assert "apart from dark skin tone, which hides it" in table_html(mine.runs.ranking())
    for kind in ("html", "md"):
        page = mine.runs.report(out=f"r.{kind}", format=kind).read_text()
        assert "Apart from dark skin tone" in page
        assert "2 of 6" not in page  # what is hidden is counted apart
    views = Views(fsearch.open(mine.root), None)
    shown = views.run(None, 7)
    assert shown["answer"].within == "apart from dark skin tone"
    assert views.ask("dark skin tone; in dim light; a hat", None, 4)["answer"].text == "in dim light"


def test_several_phrases_asked_at_once_have_it_too(mine: Workspace) -> None:
    _, out, _ = run("query", *PHRASES, "-w", mine.root)
    assert "in dim light [apart from dark skin tone]: FAILS" in out
    found = json.loads(run("query", *PHRASES, "--json", "-w", mine.root)[1])
    assert "in dim light" in [a["hypothesis"] for a in found["hidden"]]


def test_a_condition_is_kept(mine: Workspace) -> None:
    answers = mine.query(*PHRASES, where="eyewear = 'none'", top=50)
    (dim,) = (a for a in answers.hidden if a.text == "in dim light")
    worn = mine.sql("SELECT key, eyewear FROM examples").to_pylist()
    bare = {row["key"] for row in worn if row["eyewear"] == "none"}
    assert {n.key for n in (*dim.failing, *dim.passing, *dim.nearest)} <= bare


def test_where_nothing_fails_or_a_column_is_asked_nothing_is_apart(mine: Workspace) -> None:
    assert mine.query("light skin tone", "bald", "a hat").hidden == ()
    assert mine.query(*PHRASES, by="eyewear").hidden == ()
    assert mine.query("dark skin tone").hidden == ()


def test_a_gate_does_not_pass_what_the_worst_failure_hides(mine: Workspace) -> None:
    """The worst failure is borne; what it hides is not, though among all images nothing is wrong with it."""
    Path("gate.yaml").write_text("rules:\n  - {phrase: dark skin tone, max_lift: 9}\n  - {phrase: in dim light}\n")
    found = mine.gate("gate.yaml")
    assert found.outcome == "fails"
    (check,) = (c for c in found.checks if c.outcome == "fails")
    assert check.subject == "in dim light [apart from dark skin tone]"
