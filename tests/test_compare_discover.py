"""`fsearch compare --discover`: what got worse is found though nobody lists it, and who proposes it does not judge."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import COUNT, Planted, own_copy
from tests.support.pages import serving
from tests.test_compare import assert_documented, run
from tests.test_discovery import sides

from fsearch.indexer.errors import NotReadyError
from fsearch.search.compare.result import Comparison
from fsearch.search.workspace import Workspace

NUMBERS = ("change", "before", "after", "p_value", "shown", "n_effective", "min_effect")


@pytest.fixture(scope="module")
def mine(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of the workspace, for comparisons to be stored in."""
    root = tmp_path_factory.mktemp("unlisted") / "w"
    return own_copy(released, root)


@pytest.fixture(scope="module")
def found(mine: Workspace) -> Comparison:
    return mine.compare("old", "new", discover=True)


def losses(ws: Workspace, model: str) -> np.ndarray:
    """(n,) by key."""
    rows = ws.sql(f"SELECT loss FROM losses JOIN images USING (image_id) WHERE model = '{model}' ORDER BY key")
    return rows["loss"].to_numpy()


def add(ws: Workspace, model: str, values: np.ndarray, folder: Path) -> None:
    """A fitted model with these losses."""
    file = folder / f"{model}.csv"
    file.write_text("image,loss\n" + "".join(f"{i:03d}.png,{v!r}\n" for i, v in enumerate(values.tolist())))
    ws.losses.add(model, losses=file)
    ws.fit(model)


def test_what_got_worse_is_found_though_nobody_listed_it(found: Comparison) -> None:
    head = found.answers[0]
    assert (head.verdict, head.wording_of) == ("worse", None)
    assert re.search(r"very dark|black|skin_tone = (9|10)", " ".join((head.text, *head.wordings))), head
    assert head.lo > 0
    assert head.simpson
    assert head.reason.endswith("on the whole it is better")
    assert all(a.origin for a in found)
    assert any("other images judged them" in note for note in found.notes)
    whole = found.whole
    assert (whole.verdict, round(whole.shown)) == ("better", COUNT)


def test_other_wordings_stand_below_what_heads_them(found: Comparison) -> None:
    head = next(a for a in found if a.wordings)
    place = found.answers.index(head)
    below = found.answers[place + 1 : place + 1 + len(head.wordings)]
    assert tuple(a.text for a in below) == head.wordings
    assert {a.wording_of for a in below} == {head.text}
    assert f"  or: {head.wordings[0]}" in str(found)
    assert str(found).splitlines()[2].endswith("  found")


def test_all_of_it_is_stored_printed_and_shown(mine: Workspace, found: Comparison, tmp_path: Path) -> None:
    number = found.comparison_id
    rows = mine.sql(f"FROM changes WHERE comparison_id = {number} ORDER BY rank").to_pylist()
    assert [r["origin"] for r in rows] == [None, *(a.origin for a in found)]
    heads = {rank: a.text for rank, a in enumerate(found, start=1)}
    assert [a.wording_of or a.text for a in found] == [heads[r["concept"]] for r in rows[1:]]
    assert rows[1]["proposed_change"] > 0
    assert [r["origin"] for r in mine.sql("FROM latest_comparison").to_pylist()] == [r["origin"] for r in rows]
    sets = [r["rank"] for r in rows if r["origin"] in ("region", "conjunction")]
    kept = mine.sql(f"SELECT DISTINCT rank FROM changed_images WHERE comparison_id = {number} ORDER BY rank")
    assert set(kept["rank"].to_pylist()) <= set(sets)
    told = next(rank for rank in kept["rank"].to_pylist() if rows[rank]["verdict"] != "unseen")
    for kind in ("html", "md"):
        mine.runs.report(comparison=number, out=tmp_path / f"c.{kind}", format=kind)
        text = (tmp_path / f"c.{kind}").read_text()
        assert "--discover" in text
        assert "found" in text
    assert "Nobody listed it" in (tmp_path / "c.html").read_text()
    with serving(mine.root) as page:
        for rank in (1, told, next(i for i, a in enumerate(found, start=1) if a.origin == "column")):
            status, _, body = page.get(f"/comparison/{number}/{rank}")
            assert status == 200
            assert b"Nobody listed it" in body
            assert b"/thumb/" in body


def test_the_command_finds_beside_what_is_listed(mine: Workspace) -> None:
    Path("h.txt").write_text("very dark skin\na hat\n")
    code, out, err = run("compare", "old", "new", "h.txt", "--discover", "--json", "-w", mine.root)
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert_documented("comparison", told)
    listed = [c for c in told["changes"] if c["origin"] is None]
    assert sorted(c["hypothesis"] for c in listed) == ["a hat", "very dark skin"]
    texts = [c["hypothesis"] for c in told["changes"]]
    assert len(texts) == len(set(texts)) > 2
    assert {c["verdict"] for c in listed if c["hypothesis"] == "very dark skin"} == {"worse"}
    code, out, _ = run("compare", "old", "new", "h.txt", "--discover", "-w", mine.root)
    lines = [line.rstrip() for line in out.splitlines()]
    assert lines[0].split()[-2:] == ["q", "found"]
    assert any(re.search(r"yes +against the whole$", line) for line in lines)
    assert any("  or: " in line for line in lines)
    assert [line for line in lines if re.match(r" *\d+  a hat +[a-z]+ .*\d$", line)]


def test_the_numbers_are_of_the_judging_half_alone(mine: Workspace, found: Comparison, tmp_path: Path) -> None:
    """Where every change of the proposing half is twice as large, the same is proposed, and judged by the same."""
    proposes = sides(mine)
    old, new = losses(mine, "old"), losses(mine, "new")
    add(mine, "loud", old + np.where(proposes, 2.0, 1.0) * (new - old), tmp_path)
    again = mine.compare("old", "loud", discover=True)
    words = {a.text: a for a in found if a.origin == "vocabulary"}
    told = {a.text: a for a in again if a.origin == "vocabulary"}
    both = words.keys() & told.keys()
    assert both
    for text in both:
        for name in NUMBERS:
            assert getattr(told[text], name) == pytest.approx(getattr(words[text], name), rel=1e-6, abs=1e-9)
    assert again.whole.change != pytest.approx(found.whole.change)


def test_what_got_worse_than_all_images_did_comes_first(mine: Workspace, planted: Planted, tmp_path: Path) -> None:
    """Where all images lose more, what most of them show is surest to, and says nothing."""
    noise = np.random.default_rng(9).uniform(0.85, 1.15, COUNT)
    very_dark = np.array([p.skin_tone >= 9 for p in planted.portraits])
    add(mine, "slump", losses(mine, "old") * noise + np.where(very_dark, 0.9, 0.3), tmp_path)
    told = {a.text: a for a in mine.compare("old", "slump", ["no hat", "very dark skin", "smiling"])}
    assert next(iter(told)) == "very dark skin"
    assert told["no hat"].verdict == told["very dark skin"].verdict == "worse"
    sure = {text: a.change / a.standard_error for text, a in told.items()}
    assert sure["no hat"] > sure["very dark skin"]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_nothing_is_found_between_models_that_differ_by_noise(mine: Workspace, tmp_path: Path, seed: int) -> None:
    noise = np.random.default_rng(seed).uniform(0.7, 1.3, COUNT)
    add(mine, f"noise-{seed}", losses(mine, "old") * noise, tmp_path)
    verdicts = {a.verdict for a in mine.compare("old", f"noise-{seed}", discover=True)}
    assert verdicts & {"worse", "better"} == set()


def test_a_column_that_one_model_brought_is_no_property_of_an_image(
    mine: Workspace, planted: Planted, tmp_path: Path
) -> None:
    """Sure answers of one model are those that another is worse on: that is regression to the mean, and no finding."""
    values = losses(mine, "new")
    sure = np.where(values > np.median(values), "no", "yes")
    told = zip(values.tolist(), sure, planted.portraits, strict=True)
    lines = [f"{i:03d}.png,{v!r},{word},{p.skin_tone}" for i, (v, word, p) in enumerate(told)]
    (tmp_path / "sure.csv").write_text("\n".join(["image,loss,sure,skin_tone", *lines]) + "\n")
    mine.losses.add("sure", losses=tmp_path / "sure.csv")
    mine.fit("sure")
    for names in (("old", "sure"), ("sure", "old")):
        columns = [a.text for a in mine.compare(*names, discover=True) if a.origin == "column"]
        assert [text for text in columns if text.startswith("skin_tone")]
        assert not [text for text in columns if text.startswith("sure")]


def test_two_halves_need_images_enough(mine: Workspace) -> None:
    with pytest.raises(NotReadyError, match="discovery needs 50 images in 25 groups"):
        mine.compare("old", "new", discover=True, where="skin_tone >= 9")
