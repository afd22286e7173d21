"""Files of rules: what is understood, what is refused and how it is said; and what a bare hypothesis file asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsearch.indexer.errors import BadInputError
from fsearch.search.gate.read import read_rules
from fsearch.search.gate.rules import Rule

HYPOTHESES = "text,group\ndark skin,skin\nlight skin,skin\nbald,\n"


def read(text: str, **options: str) -> tuple[Rule, ...]:
    Path("h.csv").write_text(HYPOTHESES)
    Path("gate.yaml").write_text(text)
    return read_rules(Path("gate.yaml"), **options).rules  # type: ignore[arg-type]


def test_a_whole_file_is_understood() -> None:
    Path("h.csv").write_text(HYPOTHESES)
    Path("gate.yaml").write_text(
        "model: new\nbaseline: old\nwhere: eyewear = 'none'\nhypotheses: h.csv\nmax_errors: 3\nrules:\n"
        "  - phrase: dark skin\n    name: on dark skin\n    verdict: [fine, suspect]\n    max_upper: 0.2\n"
        "  - group: skin\n    max_gap: 0.1\n    min_support: 50\n"
        "  - file: h.csv\n    no_worse_than: baseline\n    max_change: 0.05\n    allow: [unseen, small]\n"
        "  - by: skin_tone\n    max_lift: -0.1\n"
        "  - all: images\n    no_worse_than: baseline\n"
        "  - phrase: [yes, 12:30, bald]\n"
    )
    found = read_rules(Path("gate.yaml"))
    assert (found.model, found.where, found.max_errors) == ("new", "eyewear = 'none'", 3)
    dark, skin, file, by, every, odd = found.rules
    assert (dark.title, dark.verdicts, dark.max_upper) == ("on dark skin", {"fine", "suspect"}, 0.2)
    assert dark.phrases[0].group == "skin"  # as the file of hypotheses has it
    assert (skin.title, skin.max_gap, skin.min_support, skin.verdicts) == ("group skin", 0.1, 50, None)
    assert [h.text for h in skin.siblings()["skin"]] == ["dark skin", "light skin"]
    assert (file.no_worse_than, file.max_change, file.allow) == ("old", 0.05, {"unseen", "small"})
    assert (by.kind, by.subject, by.max_lift) == ("by", "skin_tone", -0.1)
    assert (every.kind, every.no_worse_than) == ("all", "old")
    assert ([h.text for h in odd.phrases], odd.verdicts) == (["yes", "12:30", "bald"], {"fine"})
    assert [rule.line for rule in found.rules] == [7, 11, 14, 18, 20, 22]
    assert [h.text for h in found.phrases] == ["dark skin", "light skin", "bald", "yes", "12:30"]


def test_a_bare_hypothesis_file_asks_for_fine_or_for_no_worse() -> None:
    Path("h.csv").write_text(HYPOTHESES)
    (rule,) = read_rules(Path("h.csv")).rules
    assert (rule.kind, rule.verdicts, rule.min_support, rule.allow) == ("file", {"fine"}, 10, frozenset())
    file, every, by = read_rules(Path("h.csv"), baseline="old", by=["skin_tone"]).rules
    assert (file.verdicts, file.no_worse_than, every.kind, every.no_worse_than) == (None, "old", "all", "old")
    assert (by.kind, by.subject, by.verdicts) == ("by", "skin_tone", {"fine"})
    Path("list.yaml").write_text("- dark skin\n- bald\n")
    assert [h.text for h in read_rules(Path("list.yaml")).phrases] == ["dark skin", "bald"]
    assert len(read_rules(Path("people")).phrases) == 16  # one that comes with fsearch


def test_the_command_line_replaces_the_baseline_of_the_file() -> None:
    text = (
        "baseline: old\nrules:\n  - {phrase: bald, no_worse_than: baseline}\n  - {phrase: bald, no_worse_than: other}\n"
    )
    assert [rule.no_worse_than for rule in read(text)] == ["old", "other"]
    assert [rule.no_worse_than for rule in read(text, baseline="3")] == ["3", "other"]


TOP = "hypotheses: h.csv\nrules:\n"
REFUSED = [
    ("modle: new\nrules: [{phrase: bald}]", "line 1: unknown key 'modle'; did you mean 'model'?"),
    (TOP + "  - phrase: bald\n    max_lfit: 1", "line 3: unknown key 'max_lfit'; did you mean 'max_lift'?"),
    (TOP + "  - phrase: bald\n    max_upper: 1\n    max_upper: 9", "'max_upper' is given twice"),
    ("rules: [{phrase: bald}]\nrules: [{phrase: a hat}]", "'rules' is given twice"),
    ("model: new", "'rules' must be a list of one rule or more"),
    ("rules: []", "'rules' must be a list of one rule or more"),
    ("rules: [bald]", "rule 1 must be a mapping"),
    ("rules: [{max_lift: 1}]", "a rule is about one of phrase, group, file, by, all; this has none"),
    ("rules: [{phrase: bald, by: label}]", "this has phrase, by"),
    ("rules: [{phrase: []}]", "ask about something"),
    ("rules: [{phrase: }]", "'phrase' is empty"),
    ("rules: [{phrase: [bald, bald]}]", "repeats phrase 1"),
    (TOP + "  - group: sknn\n    max_gap: 1", "no phrase of 'hypotheses' is of group 'sknn'; did you mean 'skin'?"),
    ("rules: [{group: skin}]", "no phrase of 'hypotheses' is of group 'skin'"),
    ("rules: [{file: none.txt}]", "no such hypothesis file: none.txt"),
    ("rules: [{phrase: bald, verdict: fien}]", "not 'fien'; did you mean 'fine'?"),
    ("rules: [{phrase: bald, allow: fails}]", "'allow' is of unseen, unclear, small"),
    ("rules: [{phrase: bald, allow: []}]", "'allow' is empty"),
    ("rules: [{phrase: bald, max_lift: .nan}]", "'max_lift' must be a number; not '.nan'"),
    ("rules: [{phrase: bald, max_upper: inf}]", "'max_upper' must be a number; not 'inf'"),
    ("rules: [{phrase: [bald, a hat], max_gap: -1}]", "'max_gap' must be a number from 0 on; not '-1'"),
    ("rules: [{phrase: bald, max_gap: 1}]", "'max_gap' needs siblings"),
    ("rules: [{phrase: bald, max_change: 1}]", "'max_change' needs 'no_worse_than'"),
    ("rules: [{phrase: bald, no_worse_than: baseline}]", "no baseline is named"),
    ("rules: [{all: images}]", "a rule about all images needs 'no_worse_than'"),
    ("rules: [{all: pictures, no_worse_than: old}]", "write 'all: images'"),
    ("rules: [{all: images, no_worse_than: old, max_lift: 1}]", "'max_lift' says nothing of a rule about 'all'"),
    ("rules: [{by: label, no_worse_than: old}]", "'no_worse_than' says nothing of a rule about 'by'"),
    ("a: &a {phrase: bald}\nrules: [*a]", "an alias (*name) is refused"),
    ("rules: [!!python/object/apply:os.getcwd []]", "is no YAML"),
    ("rules: " + "[" * 50 + "]" * 50, "brackets are nested more than 32 deep"),
    ("rules: [{phrase: {bald: yes}}]", "'phrase' must be a text"),
    ("", "is empty"),
    ("# rules: [{phrase: bald}]", "is empty"),
    ("rules:", "'rules' must be a list of one rule or more"),
    ("rules: [{phrase: bald}]\n---\nrules: [{phrase: a hat}]", "expected a single document"),
    ("rules:\n  - <<: {max_lift: 9}\n    phrase: bald", "line 2: unknown key '<<'"),
    ("rules: [{phrase: !!binary aGk=}]", "'phrase' must be a text"),
    ("rules: [{phrase: bald, max_lift: !!float 3}]", "'max_lift' must be a text"),
    ("rules: [{phrase: bald, verdict: }]", "'verdict' is empty"),
    ("rules: " + "- " * 100_000, "gate.yaml is no YAML"),
    ("# " + "x" * 2**20, "it has more than 1,048,576 bytes"),
    ("- phrase: bald\n  max_upper: 0.1", "line 1: 'max_upper' is of a rule, and this is a list of hypotheses"),
    ("- bald\n- {phrase: a hat, no_worse_than: old}", "line 2: 'no_worse_than' is of a rule"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_what_is_wrong_is_one_line_that_names_it(text: str, message: str) -> None:
    with pytest.raises(BadInputError) as error:
        read(text)
    assert message in str(error.value)
    assert "gate.yaml" in str(error.value) or "none.txt" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_paths_are_beside_the_rules() -> None:
    Path("sub").mkdir()
    Path("sub/h.txt").write_text("bald\n")
    Path("sub/gate.yaml").write_text("rules: [{file: h.txt}, {file: people}]\n")
    first, second = read_rules(Path("sub/gate.yaml")).rules
    assert [h.text for h in first.phrases] == ["bald"]
    assert len(second.phrases) == 16
