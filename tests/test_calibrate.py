"""`fsearch calibrate`: labels are learnt from, kept, used, said, dropped with the encoder, or refused."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import Planted
from tests.support.made_encoders import OWN_ENCODER
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app
from fsearch.data.portraits import CONCEPTS
from fsearch.indexer.errors import BadInputError, WorkspaceError
from fsearch.indexer.storage.rows import write_settings
from fsearch.indexer.workspace.calibration import SETTING
from fsearch.indexer.workspace.store import Store
from fsearch.search.query import NEVER_CALIBRATED


@pytest.fixture
def copied(fitted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fitted, tmp_path / "w.fsearch"))


@pytest.fixture(scope="module")
def labels(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A column of yes and no for each concept of the portraits."""
    path = tmp_path_factory.mktemp("labels") / "shows.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["image", *(c.wordings[0] for c in CONCEPTS)])
        for i, portrait in enumerate(planted.portraits):
            out.writerow([f"{i:03d}.png", *(int(c.holds(portrait)) for c in CONCEPTS)])
    return path


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 2
    assert len(result.output.splitlines()) == 1
    return result.output


def test_labels_are_learnt_from_kept_used_and_said(copied: Path, labels: Path, planted: Planted) -> None:
    printed = run("calibrate", "--labels", labels, "-w", copied)
    assert f"calibrated with {len(planted.portraits)} labelled images and " in printed
    assert "unseen       below centred similarity" in printed
    assert f"labels of {labels}" in printed
    assert f"calibrated  with {len(planted.portraits)} labelled images" in run("info", "-w", copied)
    answered = json.loads(run("query", "dark skin tone", "a hat", "--json", "-w", copied))
    assert any(note.startswith("this encoder was calibrated with ") for note in answered["notes"])
    assert NEVER_CALIBRATED not in answered["notes"]
    first = answered["answers"][0]
    assert first["verdict"] == "fails"
    assert first["centred_similarity"] > first["centred_threshold"]
    assert "centred similarity" in run("query", "dark skin tone", "--explain", "-w", copied)
    ws = fsearch.open(copied)
    ws.rank(["dark skin tone", "a hat"])
    (stored,) = ws.sql("SELECT calibration FROM runs").to_pylist()
    assert json.loads(stored["calibration"])["labels"] == str(labels)
    assert ws.runs.ranking(1)[0].centred_threshold == first["centred_threshold"]


def test_a_label_that_negates_teaches_what_its_positive_does(copied: Path, planted: Planted, tmp_path: Path) -> None:
    learnt = []
    for word, shows in (("hat", True), ("no hat", False)):
        path = tmp_path / f"{word}.csv"
        rows = [f"{i:03d}.png,{int((p.hat != 'none') == shows)}" for i, p in enumerate(planted.portraits)]
        path.write_text("\n".join([f"image,{word}", *rows]) + "\n")
        learnt.append(fsearch.open(copied).calibrate(path).learnt)
    assert learnt[0] == learnt[1]
    assert learnt[0].auroc > 0.9


def test_a_label_that_every_image_shows_to_the_encoder_costs_nothing(copied: Path, planted: Planted) -> None:
    lines = [
        f"{i:03d}.png,{int(p.hair_style != 'bald')},{int(p.hat != 'none')}" for i, p in enumerate(planted.portraits)
    ]
    Path("hair.csv").write_text("\n".join(["image,hair,hat", *lines]) + "\n")
    learnt = fsearch.open(copied).calibrate("hair.csv").learnt
    assert np.isfinite([learnt.slope, learnt.slope_error]).all()
    assert fsearch.open(copied).query("a hat").answers[0].verdict != "unseen"


def test_a_calibration_outlives_another_index_run_and_fit(copied: Path, labels: Path, planted: Planted) -> None:
    ws = fsearch.open(copied)
    before = ws.query("a hat", "dark skin tone")
    learnt = ws.calibrate(labels).calibration
    after = ws.query("a hat", "dark skin tone")
    assert [a.lift for a in after] != [a.lift for a in before]
    run("index", planted.folder, "--losses", planted.losses, "--model", "planted", "-w", copied)
    again = fsearch.open(copied)
    assert Store.open(copied).calibration == learnt
    assert [a.as_row() for a in again.query("a hat", "dark skin tone")] == [a.as_row() for a in after]
    again.fit()  # which keeps the lifts of the reference phrases as read by the calibration
    assert [a.as_row() for a in again.query("a hat", "dark skin tone")] == [a.as_row() for a in after]
    assert "forgotten" in run("calibrate", "--forget", "-w", copied)
    assert "it was not calibrated" in run("calibrate", "--forget", "-w", copied)
    assert [a.as_row() for a in fsearch.open(copied).query("a hat", "dark skin tone")] == [a.as_row() for a in before]


def test_other_templates_or_another_encoder_drop_it_and_every_answer_says_so(
    copied: Path, labels: Path, planted: Planted
) -> None:
    ws = fsearch.open(copied)
    before = ws.query("dark skin tone")
    learnt = ws.calibrate(labels).calibration
    with Store.open(copied).writer(), Store.open(copied).catalog.write() as con:
        other = learnt.as_json().replace(json.dumps(learnt.encoder), json.dumps("another"))
        write_settings(con, {SETTING: other})
    found = fsearch.open(copied).query("dark skin tone")
    assert [n for n in found.notes if "made with another encoder or other templates, so it is not used" in n]
    assert found[0].as_row() == before[0].as_row()
    assert "of another encoder or other templates" in run("info", "-w", copied)
    ws.calibrate(labels)
    ws.index(planted.folder, templates=["a person with {}"])
    assert [n for n in ws.query("dark skin tone").notes if "so it is not used" in n]


def test_a_column_of_values_calibrates_too_and_few_phrases_leave_unseen_as_it_was(copied: Path) -> None:
    printed = run("calibrate", "--labels", "eyewear", "-w", copied)
    assert "of eyewear" in printed
    assert "unseen       as before: 8 labels" in printed
    (note,) = [n for n in fsearch.open(copied).query("a hat").notes if "calibrated" in n]
    assert "too few to learn from which phrases no image shows" in note


def test_every_answer_of_an_encoder_that_was_not_calibrated_says_so(
    few: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("colours13.py").write_text(OWN_ENCODER)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    ws = fsearch.open("w", encoder="colours13:colours")
    ws.index(few.folder, few.losses, encoder="colours13:colours")
    ws.fit()
    assert NEVER_CALIBRATED in ws.query("something red").notes
    assert "calibrated  not: fsearch calibrate" in str(ws.info())


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["image,label", *(f"{i:03d}.png,dark skin" for i in range(60))], "every image with a label shows the same"),
        (["image,label", *(f"{i:03d}.png,{'ab'[i % 2]}" for i in range(30))], "30 images have a label; at least 50"),
        (["image,label", "x.png,a hat", "y.png,bald"], "2 of 2 keys match no image"),
        (
            ["image,a zeppelin", *(f"{i:03d}.png,{i % 2}" for i in range(60))],
            "no label in words that the encoder knows is shown by 3 images, with 3 others that do not show it",
        ),
        (
            ["image,dark skin,a hat", *(f"{i:03d}.png,{i % 2},{i % 3 % 2}" for i in range(300))],
            "the encoder cannot tell which images show what its labels say",
        ),
    ],
)
def test_labels_that_teach_nothing_are_refused_in_one_line(
    copied: Path, tmp_path: Path, lines: list[str], message: str
) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(lines))
    assert message in refused("calibrate", "--labels", path, "-w", copied)
    assert Store.open(copied).calibration is None


def test_labels_must_be_named_and_a_workspace_must_be_able_to_embed_them(copied: Path, few: Planted) -> None:
    assert "say what the images show: --labels COLUMN" in refused("calibrate", "-w", copied)
    rng = np.random.default_rng(0)
    np.save("v.npy", rng.normal(size=(60, 8)))
    Path("v.keys.txt").write_text("\n".join(f"{i:03d}.png" for i in range(60)))
    ws = fsearch.open("none")
    ws.index(few.folder, few.losses, embeddings="v.npy", no_text_encoder=True)
    with pytest.raises(BadInputError, match="no text encoder to embed the labels"):
        ws.calibrate("label")


def test_a_calibration_of_nonsense_in_a_received_workspace_is_refused(copied: Path, labels: Path) -> None:
    learnt = fsearch.open(copied).calibrate(labels).calibration
    with Store.open(copied).writer(), Store.open(copied).catalog.write() as con:
        write_settings(con, {SETTING: json.dumps(json.loads(learnt.as_json()) | {"slope": 1e300})})
    with pytest.raises(WorkspaceError, match=r"are not fsearch's: calibration\.slope is 1e\+300"):
        fsearch.open(copied).query("a hat")
