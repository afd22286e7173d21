"""`fsearch discover` on real portraits and the real encoder: what was planted is found though nobody lists it."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import Planted
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app
from fsearch.data.portraits import Portrait
from fsearch.diagnoser.discovery.halves import proposing
from fsearch.indexer.errors import BadInputError, NotReadyError
from fsearch.search.discovery.result import Discovery
from fsearch.search.workspace import Workspace


@pytest.fixture(scope="module")
def mine(fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A copy of the fitted workspace, for runs to be stored in; losses are planted on dark skin."""
    root = tmp_path_factory.mktemp("discovery") / "w"
    shutil.copytree(fitted, root)
    return fsearch.open(root)


@pytest.fixture(scope="module")
def found(mine: Workspace) -> Discovery:
    return mine.discover(model="planted")


def judged(ws: Workspace, model: str, values: np.ndarray, folder: Path, **columns: list[Any]) -> Discovery:
    """The discovery for a model of other losses on the same portraits."""
    file = folder / f"{model}.csv"
    with file.open("w", newline="", encoding="utf-8") as text:
        out = csv.writer(text)
        out.writerow(["image", "loss", *columns])
        out.writerows([f"{i:03d}.png", f"{v:.6f}", *(c[i] for c in columns.values())] for i, v in enumerate(values))
    ws.losses.add(model, losses=file)
    ws.fit(model)
    return ws.discover(model=model)


def sides(ws: Workspace) -> np.ndarray:
    """(n,) bool, in order of key: images of the half that proposes."""
    rows = ws.sql("SELECT i.key, g.sha256 FROM images i JOIN images g ON g.image_id = i.group_id ORDER BY i.key")
    return proposing(rows["sha256"].to_pylist())


def test_dark_skin_is_found_though_nobody_listed_it(found: Discovery) -> None:
    head = found.concepts[0].head
    assert (head.text, head.verdict, head.origin) == ("dark skin", "fails", "vocabulary")
    assert "a dark skin tone" in [w.text for w in found.concepts[0].wordings]
    assert head.lo > 0
    assert {w.wording_of for w in found.concepts[0].wordings} == {"dark skin"}
    failing = [c.head.text for c in found.concepts if c.head.verdict == "fails"]
    assert all("dark" in t or "black skin" in t or t.startswith("skin_tone =") for t in failing), failing


@pytest.mark.parametrize(
    ("name", "holds", "words"),
    [
        ("dim", lambda p: p.lighting == "dim", ("dim", "dark", "low light", "poor light", "underexposed")),
        ("hats", lambda p: p.hat != "none", ("hat", "head")),
    ],
)
def test_dim_light_and_hats_are_found_too(
    mine: Workspace, planted: Planted, tmp_path: Path, name: str, holds: Callable[[Portrait], bool], words: tuple[str]
) -> None:
    rng = np.random.default_rng(5)
    values = rng.gamma(2.0, np.where([holds(p) for p in planted.portraits], 0.8, 0.1))
    head = judged(mine, name, values, tmp_path).concepts[0].head
    assert head.verdict == "fails"
    assert any(word in head.text for word in words), head.text


def test_it_is_a_stored_run_like_any_other(mine: Workspace, found: Discovery, tmp_path: Path) -> None:
    assert mine.runs.show(found.run_id).settings["source"] == "discover"
    again = mine.runs.ranking(found.run_id)
    assert [(a.text, a.verdict, a.origin, a.wording_of) for a in again] == [
        (a.text, a.verdict, a.origin, a.wording_of) for a in found
    ]
    assert again[0].wordings == found[0].wordings
    rows = mine.sql(
        "SELECT hypothesis, d.concept, d.origin, d.proposed_lift, verdict FROM discoveries d "
        f"JOIN rankings r USING (run_id, rank) WHERE run_id = {found.run_id} ORDER BY rank"
    ).to_pylist()
    assert [r["hypothesis"] for r in rows] == [a.text for a in found]
    assert rows[0]["concept"] == rows[1]["concept"] == 1
    assert rows[0]["proposed_lift"] > 0
    for kind in ("html", "md"):
        out = tmp_path / f"report.{kind}"
        mine.runs.report(found.run_id, out=out, format=kind)
        assert "dark skin" in out.read_text()
    assert "(a wording of dark skin)" in (tmp_path / "report.md").read_text()
    html = (tmp_path / "report.html").read_text()
    assert "Nobody listed it" in html
    assert "or " + ", ".join(found[0].wordings) in html


def test_the_same_is_found_again(mine: Workspace, found: Discovery) -> None:
    again = mine.discover(model="planted")
    assert [(a.text, a.q_value) for a in again] == [(a.text, a.q_value) for a in found]


def test_who_judges_has_no_say_in_what_is_proposed(mine: Workspace, planted: Planted, tmp_path: Path) -> None:
    """With other losses of the judging half, the same is proposed, by the same evidence."""
    proposes = sides(mine)
    assert 0.3 < proposes.mean() < 0.7
    values = planted.values.copy()
    values[~proposes] = np.random.default_rng(8).permutation(values[~proposes])
    before = judged(mine, "before", planted.values, tmp_path)
    after = judged(mine, "after", values, tmp_path)
    lifts = [
        mine.sql(
            "SELECT hypothesis, proposed_lift FROM discoveries JOIN rankings USING (run_id, rank) "
            f"WHERE run_id = {run.run_id} ORDER BY hypothesis"
        ).to_pylist()
        for run in (before, after)
    ]
    assert lifts[0] == lifts[1]
    assert [a.verdict for a in before if a.text == "dark skin"] == ["fails"]
    assert "fails" not in [a.verdict for a in after]


def test_nothing_is_found_where_nothing_fails(mine: Workspace, tmp_path: Path) -> None:
    values = np.random.default_rng(11).gamma(2.0, 0.2, 320)
    assert "fails" not in [a.verdict for a in judged(mine, "null", values, tmp_path)]


def test_where_nothing_can_be_proposed_the_run_says_so(mine: Workspace, tmp_path: Path) -> None:
    """The proposing half's losses are all equal; a single image of the other half loses more."""
    values = np.full(320, 0.5)
    values[np.flatnonzero(~sides(mine))[0]] = 1.0
    found = judged(mine, "flat", values, tmp_path)
    assert len(found) == 0
    assert mine.runs.show(found.run_id).rows.num_rows == 0
    for kind in ("html", "md"):
        mine.runs.report(found.run_id, out=tmp_path / f"empty.{kind}", format=kind)
        assert "No phrase asked about is shown to fail" in (tmp_path / f"empty.{kind}").read_text()
    result = CliRunner().invoke(app, ["discover", "--model", "flat", "-w", str(mine.root)])
    assert result.stdout.startswith("nothing was proposed: no kind of image loses more than the rest")


def test_columns_that_tell_the_loss_are_said_and_left_out(mine: Workspace, planted: Planted, tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    values = planted.values
    found = judged(
        mine,
        "leaking",
        values,
        tmp_path,
        again=[f"{v * 2:.3f}" for v in values],
        correct=["yes" if v < 0.5 else "no" for v in values],
        serial=[f"id-{i}" for i in range(320)],
        number=list(range(320)),
        chance=rng.integers(0, 3, 320).tolist(),
    )
    texts = " ".join(a.text for a in found)
    assert not any(name in texts for name in ("again", "correct", "serial"))
    said = [n for n in found.notes if "tells the loss by itself" in n]
    assert len(said) == 2
    assert all("it was left out (--column " in n for n in said)
    asked = mine.discover(model="leaking", columns=["correct"])
    assert "correct = 'no'" in [a.text for a in asked]
    assert any("may repeat it" in n for n in asked.notes)
    with pytest.raises(BadInputError, match="--column nothing: no such column of the images; there are: label"):
        mine.discover(model="leaking", columns=["nothing"])


def test_captions_are_read_for_keywords_and_obeyed_in_nothing(
    mine: Workspace, planted: Planted, tmp_path: Path
) -> None:
    hostile = "\x1b[2J\x1b]0;owned\x07 someone wearing"
    captions = [
        f"{hostile} {'a woolly hat' if p.hat != 'none' else 'no hat'} before {i} {'; DROP TABLE images' * (i % 2)}"
        for i, p in enumerate(planted.portraits)
    ]
    values = np.random.default_rng(5).gamma(2.0, [0.8 if p.hat != "none" else 0.1 for p in planted.portraits])
    judged(mine, "captioned", values, tmp_path, caption=captions)
    result = CliRunner().invoke(app, ["discover", "--model", "captioned", "-w", str(mine.root)])
    assert result.exit_code == 0, result.output
    assert "keywords of captions" in result.stdout
    assert "\x1b" not in result.stdout
    assert mine.info().images == 320


def test_a_condition_holds_for_both_halves(mine: Workspace) -> None:
    found = mine.discover(model="planted", where="eyewear = 'none'")
    count = mine.sql("SELECT count(*) AS n FROM examples WHERE model = 'planted' AND eyewear = 'none'")["n"][0].as_py()
    (said,) = [n for n in found.notes if n.startswith("tried")]
    proposed, judging = (int(re.search(rf"(\d+) {words}", said)[1]) for words in ("images proposed", "other images"))
    assert proposed + judging == count


def test_two_groups_of_images_are_no_evidence(planted: Planted, tmp_path: Path) -> None:
    text = planted.losses.read_text().splitlines()
    file = tmp_path / "losses.csv"
    file.write_text("\n".join([f"{text[0]},clip", *(f"{row},{i % 2}" for i, row in enumerate(text[1:]))]))
    ws = fsearch.open("two")
    ws.index(planted.folder, file, group_by="clip")
    ws.fit()
    with pytest.raises(NotReadyError, match="in 25 groups of repeats to propose and as many to judge"):
        ws.discover()


def test_it_needs_a_fit(few: Planted) -> None:
    ws = fsearch.open("w")
    ws.index(few.folder, few.losses)
    with pytest.raises(NotReadyError, match="run: fsearch fit"):
        ws.discover()


def test_the_command_prints_concepts_and_json(mine: Workspace, tmp_path: Path) -> None:
    where = ["--model", "planted", "-w", str(mine.root)]
    result = CliRunner().invoke(app, ["discover", *where, "--top", "1", "--out", "found.csv"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[1].split()[1:4] == ["dark", "skin", "fails"]
    assert lines[2].split()[1] == "or:"
    assert any(line.startswith("stored as run ") for line in lines)
    assert "dark skin" in Path("found.csv").read_text()
    result = CliRunner().invoke(app, ["discover", *where, "--json"])
    first = json.loads(result.stdout)["ranking"][0]
    assert (first["hypothesis"], first["origin"], first["wording_of"]) == ("dark skin", "vocabulary", None)
    result = CliRunner().invoke(app, ["discover", *where, "--send-images"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "name its server with --llm" in result.stderr


def test_without_a_text_encoder_regions_and_columns_are_found(planted: Planted, fitted: Path, tmp_path: Path) -> None:
    """Vectors that a user has, with no words for them: what fails is shown, unnamed."""
    from fsearch.indexer.workspace.store import Store

    store = Store.open(fitted)
    rows = fsearch.open(fitted).sql("SELECT key, row FROM images ORDER BY row")
    np.save(tmp_path / "vectors.npy", store.vectors()[rows["row"].to_numpy()].astype(np.float32))
    (tmp_path / "vectors.keys.txt").write_text("\n".join(rows["key"].to_pylist()))
    lines = [line.split(",")[:2] for line in planted.losses.read_text().splitlines()]
    (tmp_path / "losses.csv").write_text("\n".join(",".join(line) for line in lines))
    ws = fsearch.open("vectors")
    ws.index(planted.folder, tmp_path / "losses.csv", embeddings=tmp_path / "vectors.npy", no_text_encoder=True)
    ws.fit()
    found = ws.discover()
    head = found.concepts[0].head
    assert head.text.startswith("unnamed: these ")
    assert (head.verdict, head.origin) == ("fails", "region")
    images = ws.sql("SELECT key FROM discovered_images JOIN images USING (image_id) WHERE rank = 1")["key"].to_pylist()
    inside = np.isin(np.arange(len(planted.portraits)), [int(key[:3]) for key in images])
    means = np.array([1.5 if p.skin_tone >= 7 else 0.2 for p in planted.portraits])
    gap = means[inside].mean() - means[~inside].mean()  # of the means that losses were drawn with
    assert max(head.lo, 0) < gap < head.hi
