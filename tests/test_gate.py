"""The gate as a build server meets it: exit codes, files, annotations, and every way in which a pass would be a lie."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from tests.conftest import COUNT
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.workspace.store import Store
from fsearch.search.gate.files import as_json, as_junit, as_markdown, as_sarif
from fsearch.search.gate.outcome import Check, GateResult, Outcome
from fsearch.search.json_schema import schema
from fsearch.search.workspace import Workspace

FILES = ("gate.xml", "gate.sarif", "gate.md", "gate.json")


def run(*args: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def gate(rules: str, workspace: Path, *options: str | Path) -> tuple[int, str, str]:
    """The gate of some rules on the model `new`."""
    Path("h.csv").write_text("text,group\nvery dark skin,skin\nlight skin tone,skin\nbald,\na hat,\n")
    Path("gate.yaml").write_text(rules)
    return run("gate", "gate.yaml", "--model", "new", "-w", workspace, *options)


@pytest.fixture
def own(released: Path, tmp_path: Path) -> Workspace:
    """A copy of the workspace, to change at will."""
    shutil.copytree(released, tmp_path / "own.fsearch")
    return fsearch.open(tmp_path / "own.fsearch")


def test_a_bare_list_of_phrases_passes_fails_or_could_not_tell(released: Path) -> None:
    asked = ("--model", "new", "-w", released)
    for phrases, code, sentence in [
        ("light skin tone\n", 0, "the gate passes: of 1 checks on new, 1 passed, 0 failed, 0 could not be told"),
        ("light skin tone\nvery dark skin\n", 1, "the gate fails: of 2 checks on new, 1 passed, 1 failed"),
        (
            "light skin tone\na zebra\n",
            2,
            "the gate could not tell: of 2 checks on new, 1 passed, 0 failed, 1 could not",
        ),
        ("a zebra\nvery dark skin\n", 1, "the gate fails: "),
    ]:
        Path("h.txt").write_text(phrases)
        found, out, err = run("gate", "h.txt", *asked)
        assert (found, err) == (code, ""), out
        assert out.splitlines()[-1].startswith(sentence)
    Path("h.txt").write_text("light skin tone\n")
    assert run("gate", "h.txt", "--baseline", "old", *asked)[0] == 0
    Path("h.txt").write_text("light skin tone\nvery dark skin\n")
    code, out, _ = run("gate", "h.txt", "--baseline", "old", *asked)
    assert code == 1
    assert "no_worse_than old" in out
    assert "(all images)" in out  # better on the whole, and that is looked at too


def test_what_could_not_run_is_apart(released: Path) -> None:
    asked = ("-w", released)
    Path("h.txt").write_text("bald\n")
    Path("bad.yaml").write_text("rules: [{phrase: bald, max_lfit: 1}]\n")
    for args, message in [
        (("gate", "nowhere.txt", *asked), "no such hypothesis file: nowhere.txt"),
        (("gate", "bad.yaml", *asked), "unknown key 'max_lfit'; did you mean 'max_lift'?"),
        (("gate", "h.txt", *asked), "several models"),
        (("gate", "h.txt", "--model", "newer", *asked), "no losses of model 'newer'"),
        (("gate", "h.txt", "--model", "new", "--baseline", "newer", *asked), "no losses of model 'newer'"),
        (("gate", "h.txt", "--model", "new", "--baseline", "new", *asked), "would be its own baseline"),
        (("gate", "h.txt", "--model", "new", "--by", "colour", *asked), "--by colour"),
        (("gate", "h.txt", "--model", "new", "--out", "gate.pdf", *asked), "--out gate.pdf: use .xml"),
        (("gate", "h.txt", "--model", "new", "--report", "no/r.html", *asked), "no such folder: no"),
        (("gate", "h.txt", "--nonsense", *asked), "No such option"),
        (("gate", *asked), "Missing argument 'RULES'"),
        (("gate", "h.txt", "--seed", "x", *asked), "Invalid value for '--seed'"),
        (("gate", "h.txt"), "no workspace at .fsearch"),
    ]:
        code, out, err = run(*args)
        assert (code, out) == (3, ""), args
        assert message in err
        assert len(err.splitlines()) == 1


def test_a_bug_is_no_outcome(released: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python ends with 1 after a traceback: that would say that the gate fails."""
    Path("h.txt").write_text("bald\n")
    for error in (RuntimeError("CUDA error"), ZeroDivisionError(), RecursionError()):

        def broken(*_: object, raised: Exception = error, **__: object) -> None:
            raise raised

        monkeypatch.setattr(Workspace, "rank", broken)
        code, _, err = run("gate", "h.txt", "--model", "new", "-w", released)
        assert code == 3
        assert type(error).__name__ in err


def test_a_reader_that_has_seen_enough_changes_no_outcome(released: Path) -> None:
    Path("h.txt").write_text("very dark skin\n")
    command = [sys.executable, "-m", "fsearch.cli", "gate", "h.txt", "--model", "new", "-w", str(released)]
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen(command, stdout=write, stderr=subprocess.PIPE, text=True) as process:
        os.close(write)
        assert process.communicate(timeout=300)[1] == ""
        assert process.returncode == 1


def test_every_kind_of_rule(released: Path) -> None:
    code, out, _ = gate(
        "baseline: old\nhypotheses: h.csv\nrules:\n"
        "  - {phrase: very dark skin, name: dark, max_lift: 0.5, max_upper: 9}\n"
        "  - {group: skin, max_gap: 0.3}\n"
        "  - {phrase: [bald, a hat], max_gap: 5}\n"
        "  - {file: h.csv, no_worse_than: baseline}\n"
        "  - {all: images, no_worse_than: baseline, max_change: 0}\n"
        "  - {phrase: a zebra, allow: unseen}\n"
        "  - {by: skin_tone, max_gap: 0.5}\n"
        "  - {by: eyewear, max_upper: 0.5, allow: unclear}\n",
        released,
        "--json",
    )
    found = json.loads(out)
    jsonschema.Draft202012Validator(schema() | {"anyOf": [{"$ref": "#/$defs/gate"}]}).validate(found)
    assert (code, found["exit_code"], found["outcome"]) == (1, 1, "fails")
    told = {(c["subject"], c["check"].split()[0]): c["outcome"] for c in found["checks"]}
    assert told["very dark skin", "max_lift"] == "fails"
    assert told["very dark skin", "max_upper"] == "passes"
    assert told["skin", "max_gap"] == "fails"
    assert told["very dark skin", "no_worse_than"] == "fails"
    assert told["light skin tone", "no_worse_than"] == "passes"
    assert told["(all images)", "no_worse_than"] == "passes"
    assert told["a zebra", "verdict"] == "passes"
    assert told["skin_tone", "max_gap"] == "fails"
    assert told["none", "max_upper"] == "passes"
    assert [c["outcome"] for c in found["checks"]] == sorted(
        (c["outcome"] for c in found["checks"]), key=["fails", "could not tell", "passes"].index
    )
    rows = {row["value"]: row for row in found["tables"]["skin_tone"]}
    assert sum(row["images"] for row in rows.values()) == COUNT
    assert rows["9"]["mean_lo"] < rows["9"]["mean_loss"] < rows["9"]["mean_hi"]
    assert rows["9"]["verdict"] == "fails"
    assert {c["line"] for c in found["checks"]} == set(range(4, 12))
    number = fsearch.open(released).sql("SELECT max(comparison_id) AS n FROM comparisons").to_pylist()[0]["n"]
    assert found["comparisons"] == [number]  # one for all rules of one baseline


def test_a_negation_is_a_sibling_of_its_positive(released: Path) -> None:
    """Very dark skin loses most; a gap of the phrase with itself would pass."""
    code, out, _ = gate("rules: [{phrase: [very dark skin, not very dark skin], max_gap: 0.2}]", released, "--json")
    (check,) = json.loads(out)["checks"]
    assert (code, check["outcome"]) == (1, "fails"), check
    assert "very dark skin loses" in check["reason"]
    assert check["value"] > 0.2


def test_only_what_the_rules_look_at_is_ranked(released: Path) -> None:
    """A comparison needs no ranking: q-values are over fewer phrases, and nothing is stored that nobody asked for."""
    before = len(fsearch.open(released).runs.list())
    code, out, _ = gate("rules: [{phrase: light skin tone, no_worse_than: old}, {by: eyewear}]", released, "--json")
    assert json.loads(out)["run_id"] is None
    assert code in (0, 2)
    assert len(fsearch.open(released).runs.list()) == before


def test_a_stored_run_of_the_model_itself_is_a_baseline_with_wide_intervals(own: Workspace) -> None:
    run_id = own.rank(["very dark skin", "light skin tone"], model="new").run_id
    rules = f"rules: [{{phrase: [very dark skin, light skin tone, bald], no_worse_than: {run_id}}}]"
    code, out, _ = gate(rules, own.root, "--json")
    found = json.loads(out)
    told = {c["subject"]: c for c in found["checks"]}
    assert told["bald"]["outcome"] == "could not tell"
    assert told["bald"]["reason"] == f"run {run_id} says nothing of it"
    assert told["very dark skin"]["value"] == pytest.approx(0.0, abs=1e-9)
    assert told["very dark skin"]["hi"] > 0.1
    assert code == 2
    assert any("answers are compared, not pairs of losses" in note for note in found["notes"])
    losses = own.sql("SELECT key, loss FROM examples WHERE model = 'new'").to_pylist()
    Path("w.csv").write_text("image,loss\n" + "".join(f"{r['key']},{r['loss'] * 5 + 2}\n" for r in losses))
    own.losses.add("new", losses=Path("w.csv"))
    own.fit("new")
    code, out, _ = gate(rules, own.root, "--json")
    assert code == 1
    assert {c["subject"]: c["outcome"] for c in json.loads(out)["checks"]}["light skin tone"] == "fails"
    other = own.rank(["bald"], model="new", where="image_id % 2 = 0").run_id
    code, _, err = gate(f"rules: [{{phrase: bald, no_worse_than: {other}}}]", own.root)
    assert (code, "it was made with another --where" in err) == (3, True)
    code, _, err = gate(f"rules: [{{all: images, no_worse_than: {run_id}}}]", own.root)
    assert (code, "has no losses to compare all images with" in err) == (3, True)


def test_a_stored_run_on_another_scale_or_of_other_readings_is_no_baseline(own: Workspace) -> None:
    """Losses that are a thousandth of what they were are no better, they are another loss."""
    phrases = ["very dark skin", "light skin tone"]
    run_id = own.rank(phrases, model="new").run_id
    rules = f"rules: [{{phrase: [{', '.join(phrases)}], no_worse_than: {run_id}}}]"
    losses = own.sql("SELECT key, loss FROM examples WHERE model = 'new'").to_pylist()
    Path("w.csv").write_text("image,loss\n" + "".join(f"{r['key']},{r['loss'] / 1000:.9f}\n" for r in losses))
    own.losses.add("new", losses=Path("w.csv"))
    own.fit("new")
    code, out, err = gate(rules, own.root)
    assert (code, out, "are hardly on one scale with those now" in err) == (3, "", True), err
    own.calibrate("eyewear")
    code, out, err = gate(rules, own.root)
    assert (code, out, f"run {run_id} read the images another way (calibration)" in err) == (3, "", True), err


def test_a_baseline_that_is_the_model_itself_under_another_name_is_noticed(own: Workspace) -> None:
    losses = own.sql("SELECT key, loss FROM examples WHERE model = 'new'").to_pylist()
    Path("w.csv").write_text("image,loss\n" + "".join(f"{r['key']},{r['loss']!r}\n" for r in losses))
    own.losses.add("again", losses=Path("w.csv"))
    own.fit("again")
    code, out, _ = gate("rules: [{all: images, no_worse_than: again}]", own.root)
    assert code == 0
    assert "all losses of 'again' and 'new' are the same: is it one model under two names?" in out


def test_a_column_with_one_value_tells_nothing(released: Path) -> None:
    code, out, _ = gate("where: eyewear = 'none'\nrules: [{by: eyewear}]", released)
    assert code == 2
    assert "unclear: the only value there is" in out


def test_few_images_of_a_value_are_no_pass(own: Workspace) -> None:
    """Three images of a value, on all of which the loss is low."""
    keys = [r["key"] for r in own.sql("SELECT key, loss FROM examples WHERE model = 'new' ORDER BY loss").to_pylist()]
    rows = [f"{key},{'rare' if i < 3 else 'common'},{0.1 if i < 3 else 0.3 + i / 1000}" for i, key in enumerate(keys)]
    Path("few.csv").write_text("image,kind,loss\n" + "\n".join(rows) + "\n")
    own.losses.add("new", losses=Path("few.csv"))
    own.fit("new")
    code, out, _ = gate("rules: [{by: kind}, {by: kind, max_gap: 5}]", own.root, "--json")
    told = {(c["subject"], c["check"].split()[0]): c["outcome"] for c in json.loads(out)["checks"]}
    assert code == 2, out
    assert told["rare", "verdict"] == told["kind", "max_gap"] == "could not tell"
    assert gate("rules: [{by: kind, max_gap: 5, allow: small}]", own.root)[0] in (0, 2)


def test_a_fit_of_other_losses_could_not_run(own: Workspace) -> None:
    losses = own.sql("SELECT key, loss FROM examples WHERE model = 'new'").to_pylist()
    Path("w.csv").write_text("image,loss\n" + "".join(f"{r['key']},{r['loss'] * 2}\n" for r in losses))
    own.losses.add("new", losses=Path("w.csv"))
    for rules in ("rules: [{phrase: light skin tone}]", "rules: [{phrase: light skin tone, no_worse_than: old}]"):
        code, out, err = gate(rules, own.root)
        assert (code, out) == (3, "")
        assert "changed since the fit of model 'new', which does not know of it; run: fsearch fit" in err
    assert own.compare("old", "new", ["bald"]).stale == ("new",)


def test_images_that_the_model_failed_on_are_no_pass(own: Workspace) -> None:
    with Store.open(own.root).catalog.write() as con:
        con.execute("INSERT INTO prediction_errors SELECT 'new', image_id, 'NaN' FROM images LIMIT 5")
    rules = "rules: [{phrase: light skin tone}]"
    code, out, _ = gate(rules, own.root)
    assert code == 2
    assert "5 images have no loss, since the model gave none that counts" in out
    assert gate(f"max_errors: 5\n{rules}", own.root)[0] == 0


def test_conditions_hold_for_every_kind(released: Path) -> None:
    rules = "where: eyewear = 'none'\nrules:\n  - {phrase: light skin tone}\n  - {by: eyewear, allow: unclear}\n"
    code, out, _ = gate(f"{rules}  - {{phrase: light skin tone, no_worse_than: old}}", released, "--json")
    found = json.loads(out)
    assert code == 0, out
    assert [row["value"] for row in found["tables"]["eyewear"]] == ["none"]
    for more in (", no_worse_than: old", ""):  # chosen by their losses, images are good or bad by choice
        code, _, err = gate(f"where: loss < 1\nrules: [{{phrase: bald{more}}}]", released)
        assert (code, "not by a model's loss or prediction" in err) == (3, True)


def test_columns_of_the_command_line_are_rules_too(released: Path) -> None:
    Path("h.txt").write_text("light skin tone\n")
    code, out, _ = run("gate", "h.txt", "--by", "skin_tone", "--by", "eyewear", "--model", "new", "-w", released)
    assert code == 1
    assert out.count("over the mean") > 2  # in reasons, and as the head of both tables
    with pytest.raises(BadInputError, match="values; a group table is of 1 to 100"):
        fsearch.open(released).gate("h.txt", model="new", by=["key"])


def test_files_and_report(released: Path) -> None:
    outs = [option for name in FILES for option in ("--out", name)]
    url = "https://ci.example/run/7?a=b c"
    code, out, _ = gate(
        "hypotheses: h.csv\nrules:\n  - {phrase: very dark skin}\n  - {phrase: a zebra}\n"
        "  - {phrase: light skin tone}\n",
        released,
        *outs,
        "--report",
        "report.html",
        "--report-url",
        url,
        "--github",
    )
    assert code == 1
    assert "very dark skin" in Path("report.html").read_text()
    assert out.splitlines()[0].startswith("::error file=gate.yaml,line=3,title=fsearch gate%3A very dark skin fails::")
    assert out.splitlines()[1].startswith(
        "::warning file=gate.yaml,line=4,title=fsearch gate%3A a zebra could not tell::"
    )
    suite = ElementTree.parse("gate.xml").getroot().find("testsuite")
    assert suite is not None
    assert {k: suite.get(k) for k in ("tests", "failures", "errors")} == {"tests": "3", "failures": "1", "errors": "1"}
    assert suite.find(".//property[@name='report']").get("value") == url  # type: ignore[union-attr]
    sarif = json.loads(Path("gate.sarif").read_text())
    check_sarif(sarif)
    assert [r["level"] for r in sarif["runs"][0]["results"]] == ["error", "warning"]
    lines = [r["locations"][0]["physicalLocation"]["region"]["startLine"] for r in sarif["runs"][0]["results"]]
    assert lines == [3, 4]
    assert json.loads(Path("gate.json").read_text())["report"] == url
    text = Path("gate.md").read_text()
    assert text.startswith("## \u274c the gate fails")
    assert "(<https://ci.example/run/7?a=b%20c>)" in text


def check_sarif(log: dict[str, object]) -> None:
    """The essentials of SARIF 2.1.0 (OASIS, sections 3.13 to 3.28): what must be there, of which kind."""
    assert log["version"] == "2.1.0"
    assert str(log["$schema"]).endswith("sarif-2.1.0.json")
    (found,) = log["runs"]  # type: ignore[misc]
    driver = found["tool"]["driver"]
    assert isinstance(driver["name"], str)
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(set(ids)) == len(ids)
    for invocation in found["invocations"]:
        assert isinstance(invocation["executionSuccessful"], bool)
        assert isinstance(invocation["exitCode"], int)
    for result in found["results"]:
        assert ids[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in ("none", "note", "warning", "error")
        assert isinstance(result["message"]["text"], str)
        assert all(isinstance(v, str) for v in result["partialFingerprints"].values())
        for location in result["locations"]:
            uri = location["physicalLocation"]["artifactLocation"]["uri"]
            assert " " not in uri
            assert not uri.startswith("/")
            assert location["physicalLocation"]["region"]["startLine"] >= 1


NASTY = "a|b `c` <img src=x> @all [x](http://y) ::error::z \x1b[31m \u202e %0A\n\ud800 </failure>&"


def test_texts_of_others_stay_texts() -> None:
    """Phrases, values and reasons with the marks of every format, and control characters."""
    check = Check(rule=NASTY, line=3, subject=NASTY, check=NASTY, outcome=Outcome.FAILS, reason=NASTY, lo=float("nan"))
    result = GateResult(f"a b/{NASTY}", NASTY, (check,), None, (), {}, (NASTY,), None)
    root = ElementTree.fromstring(as_junit(result).encode())
    assert "::error::z" in root.find(".//failure").get("message")  # type: ignore[union-attr,operator]
    assert "\\x1b[31m" in root.find(".//failure").text  # type: ignore[union-attr,operator]
    check_sarif(json.loads(as_sarif(result)))
    assert json.loads(as_json(result))["checks"][0]["lo"] is None
    text = as_markdown(result)
    for mark in ("<img", "@all", "[x](http", "`c`", "\x1b", "\u202e"):
        assert mark not in text
    rows = [line for line in text.splitlines() if line.startswith("| a")]
    assert [row.replace("\\|", "").count("|") for row in rows] == [4]
    from fsearch.search.gate import annotations

    (line,) = annotations.lines(result)
    assert "\n" not in line
    assert line.startswith("::error file=a b/a|b")
    properties = line.removeprefix("::error ").split("::")[0]
    assert len(properties.split(",")) == 3
