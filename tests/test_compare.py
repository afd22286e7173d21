"""Two models on the same images, as a user meets them: the command, Python, SQL, and every pairing that would lie."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import fields
from pathlib import Path

import jsonschema
import numpy as np
import pyarrow as pa
import pytest
from tests.conftest import COUNT, Planted
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app
from fsearch.diagnoser.changes import Change
from fsearch.indexer.errors import BadInputError, NotReadyError
from fsearch.indexer.storage.schema import columns_of
from fsearch.indexer.workspace.store import Store
from fsearch.search.json_schema import schema
from fsearch.search.workspace import Workspace

PHRASES = ["very dark skin", "light skin tone", "bald", "a hat", "a zebra"]


def run(*args: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def own(released: Path, tmp_path: Path) -> Workspace:
    """A copy of the workspace, to change at will."""
    shutil.copytree(released, tmp_path / "own.fsearch")
    return fsearch.open(tmp_path / "own.fsearch")


def assert_documented(kind: str, found: object) -> None:
    """What is printed is as docs/schema.json says."""
    jsonschema.Draft202012Validator(schema() | {"anyOf": [{"$ref": f"#/$defs/{kind}"}]}).validate(found)


def write_losses(path: Path, losses: dict[int, float]) -> Path:
    path.write_text("image,loss\n" + "".join(f"{i:03d}.png,{loss:.6f}\n" for i, loss in losses.items()))
    return path


def old_losses(planted: Planted) -> dict[int, float]:
    with planted.losses.open() as file:
        return {i: float(row["loss"]) for i, row in enumerate(csv.DictReader(file))}


def test_better_on_the_whole_and_worse_on_dark_skin(released: Path, planted: Planted) -> None:
    """Simpson's case is shown as one, and both changes are what the losses say."""
    found = fsearch.open(released).compare("old", "new", PHRASES)
    assert (found.whole.verdict, found["very dark skin"].verdict) == ("better", "worse")
    assert found.answers[0].text == "very dark skin"
    assert found["very dark skin"].simpson
    assert found["very dark skin"].reason.endswith("on the whole it is better")
    assert found["light skin tone"].verdict == "better"
    assert not found["light skin tone"].simpson
    assert found["a zebra"].verdict == "unseen"
    assert found.answers[-1].text == "a zebra"
    old, new = (fsearch.open(released).sql(f"SELECT loss FROM losses WHERE model = '{m}'") for m in ("old", "new"))
    change = np.mean(new["loss"].to_numpy()) - np.mean(old["loss"].to_numpy())
    assert found.whole.change == pytest.approx(change, abs=1e-3)
    dark = np.array([p.skin_tone >= 9 for p in planted.portraits])
    assert found["very dark skin"].lo <= 0.5 <= found["very dark skin"].hi
    assert found["very dark skin"].shown == pytest.approx(dark.sum(), rel=0.25)


def test_a_phrase_sees_the_images_that_a_ranking_sees(released: Path) -> None:
    ws = fsearch.open(released)
    found, asked = ws.compare("old", "new", PHRASES), ws.query(PHRASES, model="old")
    for answer in asked:
        change = found[answer.text]
        assert (change.share, change.purity, change.shown) == (answer.share, answer.purity, answer.shown)
        assert change.n_effective == answer.n_effective
        assert (change.verdict == "unseen") == (answer.verdict == "unseen")


def test_a_negation_is_read_as_a_ranking_reads_it(released: Path, planted: Planted) -> None:
    """What does not show very dark skin got better, as an encoder that finds it where the words stand would not say."""
    ws, phrases = fsearch.open(released), ["very dark skin", "not very dark skin", "no zebra", '"no hat"']
    found, asked = ws.compare("old", "new", phrases), ws.query(phrases, model="old")
    for answer in asked:
        change = found[answer.text]
        assert (change.share, change.purity, change.shown) == (answer.share, answer.purity, answer.shown)
        assert (change.verdict == "unseen") == (answer.verdict == "unseen")
    dark, rest = found["very dark skin"], found["not very dark skin"]
    assert (dark.verdict, rest.verdict) == ("worse", "better")
    assert rest.share == pytest.approx(1 - dark.share)
    assert rest.reason.endswith("read as all but 'very dark skin'")
    truth = np.array([p.skin_tone < 9 for p in planted.portraits])
    assert rest.shown == pytest.approx(truth.sum(), rel=0.1)
    assert found["no zebra"].verdict == "unseen"
    assert any("'not very dark skin' as all but 'very dark skin'" in note for note in found.notes)
    named = {image.key for image in rest.images}
    assert named <= {f"{i:03d}.png" for i in np.flatnonzero(truth)}


def test_wordings_of_one_concept_have_one_vote(released: Path) -> None:
    ws = fsearch.open(released)
    alone = ws.compare("old", "new", ["bald", "a hat"])
    words = ws.compare("old", "new", ["bald", "a hat", "a person with a hat", "someone with a hat", "wearing a hat"])
    assert words["bald"].q_value == pytest.approx(alone["bald"].q_value)


def test_what_labels_taught_holds_for_changes_too(own: Workspace) -> None:
    """The chances that images show a phrase, and how far they are trusted, are those of the calibrated encoder."""
    own.calibrate("eyewear")
    found, asked = own.compare("old", "new", PHRASES), own.query(PHRASES, model="old")
    for answer in asked:
        change = found[answer.text]
        assert (change.share, change.purity, change.shown) == (answer.share, answer.purity, answer.shown)
    assert (
        [n for n in found.notes if "calibrated with" in n] == [n for n in asked.notes if "calibrated with" in n] != []
    )


def test_the_command_prints_and_stores_a_comparison(released: Path) -> None:
    Path("h.txt").write_text("\n".join(PHRASES))
    code, out, err = run("compare", "old", "new", "h.txt", "--explain", "-w", released)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split()[:4] == ["rank", "hypothesis", "verdict", "change"]
    assert lines[1].split()[:3] == ["(all", "images)", "better"]
    assert lines[2].split()[:5] == ["1", "very", "dark", "skin", "worse"]
    assert lines[2].rstrip().endswith("against the whole")
    assert "very dark skin: why worse" in out
    assert "fsearch report --comparison " in out
    number = int(out.split("stored as comparison ")[1].split(";")[0])
    rows = fsearch.open(released).sql(f"FROM changes WHERE comparison_id = {number} ORDER BY rank").to_pylist()
    assert [row["hypothesis"] for row in rows][:2] == ["(all images)", "very dark skin"]
    assert rows[0]["hypothesis_id"] is None
    latest = fsearch.open(released).sql("FROM latest_comparison").to_pylist()
    assert [row["verdict"] for row in latest] == [row["verdict"] for row in rows]
    assert {row["after_model"] for row in latest} == {"new"}
    head = fsearch.open(released).sql(f"FROM comparisons WHERE comparison_id = {number}").to_pylist()[0]
    assert (head["source"], head["images"], head["either"], head["seed"]) == ("h.txt", COUNT, COUNT, 0)


def test_columns_are_declared_once() -> None:
    found = {"origin", "concept", "proposed_change"}  # of what nobody listed: the discovery's, no change's
    stored = set(columns_of("changes")) - {"comparison_id", "rank", "hypothesis_id"} - found
    assert {f.name for f in fields(Change)} == stored


def test_json_and_tables_for_programs(released: Path) -> None:
    Path("h.csv").write_text("text,group\nvery dark skin,skin\nlight skin tone,skin\na zebra,\n")
    code, out, _ = run("compare", "old", "new", "h.csv", "--json", "--top", "3", "-w", released)
    assert code == 0
    found = json.loads(out)
    assert_documented("comparison", found)
    assert (found["before"], found["after"], found["whole"]["verdict"]) == ("old", "new", "better")
    worst = found["changes"][0]
    assert (worst["hypothesis"], worst["group"], len(worst["images"])) == ("very dark skin", "skin", 3)
    assert all(image["after"] > image["before"] and image["membership"] >= 0.5 for image in worst["images"])
    assert all(Path(image["path"]).is_file() for image in worst["images"])
    unseen = found["changes"][-1]
    assert (unseen["hypothesis"], unseen["verdict"], unseen["change"], unseen["q_value"]) == (
        "a zebra",
        "unseen",
        None,
        None,
    )
    table = fsearch.open(released).compare("old", "new", ["bald"]).to_arrow()
    assert table.schema.field("change").type == pa.float64()
    assert table.schema.field("simpson").type == pa.bool_()
    assert table["hypothesis"].to_pylist() == ["bald"]


def test_the_same_seed_gives_the_same_comparison(released: Path) -> None:
    ws = fsearch.open(released)
    first, second = (ws.compare("old", "new", PHRASES, seed=4).answers for _ in range(2))
    assert first == second


def test_phrases_come_from_runs_where_no_file_names_them(own: Workspace) -> None:
    with Store.open(own.root).catalog.write() as con:
        named = "SELECT table_name FROM duckdb_columns() WHERE column_name = 'run_id' AND table_name IN ({})"
        tables = "SELECT table_name FROM duckdb_tables()"
        for (table,) in con.execute(named.format(tables)).fetchall():
            con.execute(f"DELETE FROM {table}")  # the runs of other tests
    with pytest.raises(BadInputError, match="name a file of hypotheses: no run of either model is stored"):
        own.compare("old", "new")
    runs = [own.rank(["bald", "a hat"], model="old").run_id, own.rank(["a hat", "in dim light"], model="new").run_id]
    assert {a.text for a in own.compare("old", "new")} == {"a hat", "in dim light"}
    found = own.compare(*runs)
    assert {a.text for a in found} == {"bald", "a hat", "in dim light"}
    assert (found.before, found.after) == ("old", "new")
    assert any("compared as they are now" in note for note in found.notes)


def test_what_cannot_be_paired_is_refused(own: Workspace) -> None:
    runs = [own.rank(["bald"], model="old").run_id for _ in range(2)]
    for names, message in [
        (("old", "old"), "'old' would be compared with itself; .* fsearch rank FILE --by source"),
        ((str(runs[0]), "old"), "'old' would be compared with itself"),
        (runs, f"runs .* are both of model 'old'.*nothing can be paired; .*fsearch runs diff {runs[0]} {runs[1]}"),
        (("old", "newer"), "no losses of model 'newer'; this workspace has: new, old"),
        (("old", "999"), "no model and no run 999"),
    ]:
        with pytest.raises(BadInputError, match=message):
            own.compare(*names, ["bald"])
    gone = own.rank(["bald"], model="new").run_id
    own.losses.remove("new")
    with pytest.raises(BadInputError, match=f"run {gone} is of model 'new', whose losses are gone"):
        own.compare("old", gone)


def test_two_scales_are_refused_or_standardised(own: Workspace, planted: Planted) -> None:
    thousandfold = {i: 1000 * loss for i, loss in old_losses(planted).items()}
    own.losses.add("percent", losses=write_losses(Path("p.csv"), thousandfold))
    own.fit("percent")
    code, out, err = run("compare", "old", "percent", "-w", own.root)
    assert (code, out) == (2, "")
    assert "hardly on one scale" in err or "name a file of hypotheses" in err
    with pytest.raises(BadInputError, match=r"hardly on one scale: .*--standardise"):
        own.compare("old", "percent", ["very dark skin"])
    found = own.compare("old", "percent", ["very dark skin"], standardise=True)
    assert found.standardised
    assert found["very dark skin"].change == pytest.approx(0.0, abs=1e-6)
    assert found["very dark skin"].verdict == "same"
    assert any(note.startswith("standardised: ") for note in found.notes)


def test_images_that_one_model_lost_are_not_hidden(own: Workspace, planted: Planted) -> None:
    """The second model gives no loss for most images of dark skin: what is left looks better, and is not called so."""
    kept = {
        i: max(loss - 0.5, 0.0)
        for i, loss in old_losses(planted).items()
        if planted.portraits[i].skin_tone < 9 or i % 5 == 0
    }
    own.losses.add("lossy", losses=write_losses(Path("l.csv"), kept))
    own.fit("lossy")
    found = own.compare("old", "lossy", ["very dark skin", "light skin tone"])
    dark = found["very dark skin"]
    assert dark.paired < 0.5
    assert dark.verdict in ("unclear", "unseen")
    assert "lack a loss of one of the models" in dark.reason
    assert found.whole.verdict == "unclear"
    assert found["light skin tone"].paired > 0.9
    assert any(f"{COUNT - len(kept)} images have a loss of one of the models alone" in note for note in found.notes)
    other = own.compare("lossy", "old", ["very dark skin"])["very dark skin"]
    assert other.paired == pytest.approx(dark.paired)
    assert other.verdict == "worse" or "lack a loss" in other.reason


def test_a_phrase_that_only_one_model_has_images_of_is_unseen(own: Workspace, planted: Planted) -> None:
    light = {i: loss for i, loss in old_losses(planted).items() if planted.portraits[i].skin_tone < 5}
    own.losses.add("light", losses=write_losses(Path("l.csv"), light))
    own.fit("light")
    for names in (("old", "light"), ("light", "old")):
        assert own.compare(*names, ["very dark skin"])["very dark skin"].verdict in ("unseen", "unclear")


def test_a_model_without_mistakes_needs_no_fit(own: Workspace) -> None:
    own.losses.add("perfect", losses=write_losses(Path("p.csv"), dict.fromkeys(range(COUNT), 0.0)))
    found = own.compare("old", "perfect", ["very dark skin", "bald"])
    assert found.whole.verdict == "better"
    assert found["very dark skin"].verdict == "better"
    assert found["very dark skin"].after == pytest.approx(0.0, abs=1e-9)
    assert own.compare("perfect", "old", ["very dark skin"])["very dark skin"].verdict == "worse"
    own.losses.add("perfect2", losses=Path("p.csv"))
    with pytest.raises(BadInputError, match="all losses of 'perfect', and all of 'perfect2', are equal"):
        own.compare("perfect", "perfect2", ["bald"])


def test_the_same_losses_under_another_name_are_the_same(own: Workspace, planted: Planted) -> None:
    own.losses.add("copy", losses=planted.losses)
    with pytest.raises(NotReadyError, match="no ensemble for model 'copy' yet; run: fsearch fit"):
        own.compare("old", "copy", ["very dark skin"])
    own.fit("copy")
    found = own.compare("old", "copy", ["very dark skin", "bald"])
    assert {found.whole.verdict, *(a.verdict for a in found)} == {"same"}
    assert [a.p_value for a in found] == [1.0, 1.0]
    assert "all losses of 'old' and 'copy' are the same: is it one model under two names?" in found.notes


def test_a_condition_may_not_choose_by_what_a_model_said(released: Path) -> None:
    """Images on which the old model lost most have lower losses by any other: regression to the mean."""
    ws = fsearch.open(released)
    found = ws.compare("old", "new", ["very dark skin"], where="eyewear = 'none'")
    assert 50 < found.images < COUNT
    assert found.either == found.images
    for column in ("loss", "prediction", "predicted_loss"):
        with pytest.raises(BadInputError, match="chosen here by what they are, not by a model's loss or prediction"):
            ws.compare("old", "new", ["bald"], where=f"{column} IS NOT NULL")
    with pytest.raises(BadInputError, match="only 0 images fulfil the condition"):
        ws.compare("old", "new", ["bald"], where="eyewear = 'monocle'")
