"""Hypothesis files: five kinds that read alike, and the one line for each kind of wrong one."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsearch.indexer.errors import BadInputError
from fsearch.search.hypotheses import Hypothesis, contrasted, from_phrases, read_hypotheses

STARTERS = Path(__file__).parents[1] / "data" / "hypotheses"
WANTED = [Hypothesis("bald", "hair", "a photo of {}"), Hypothesis("a hat", None, None)]


def test_every_kind_reads_alike() -> None:
    rows = {"text": ["bald", "a hat"], "group": ["hair", None], "template": ["a photo of {}", None]}
    pq.write_table(pa.table(rows), "h.parquet")
    Path("h.csv").write_text("text,group,template\nbald,hair,a photo of {}\na hat,,\n")
    Path("h.jsonl").write_text('{"text": "bald", "group": "hair", "template": "a photo of {}"}\n{"text": "a hat"}\n')
    Path("h.yaml").write_text("- {text: bald, group: hair, template: 'a photo of {}'}\n- a hat\n")
    for name in ("h.parquet", "h.csv", "h.jsonl", "h.yaml"):
        assert read_hypotheses(Path(name)) == WANTED, name
    Path("h.txt").write_text("# a comment\n\nbald\n  a hat  \n")
    assert [h.text for h in read_hypotheses(Path("h.txt"))] == ["bald", "a hat"]


def test_a_template_wraps_the_phrase_and_its_own_goes_before_the_workspace_s() -> None:
    assert WANTED[0].prompts(("a drawing of {}",)) == ("a photo of bald",)
    assert WANTED[1].prompts(("a drawing of {}", "{} in a picture")) == ("a drawing of a hat", "a hat in a picture")
    assert WANTED[1].prompts() == ("a hat",)


def test_vs_makes_two_phrases_of_one_group() -> None:
    found = contrasted(["bald", "dark skin", "vs", "light skin", "a hat"])
    group = "dark skin vs light skin"
    assert found == ["bald", Hypothesis("dark skin", group), Hypothesis("light skin", group), "a hat"]
    for wrong in (["vs"], ["vs", "a"], ["a", "vs"], ["a", "vs", "vs", "b"][:2]):
        with pytest.raises(BadInputError, match="vs stands between two phrases"):
            contrasted(wrong)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("h.txt", "", "is empty"),
        ("h.txt", "# only a comment\n\n", "is empty"),
        ("h.txt", "bald\n\nBald\n", "line 3: 'Bald' repeats h.txt line 1"),
        ("h.txt", "x" * 5_000, "line 1: 5,000 characters; a hypothesis is a phrase of at most 1,200"),
        ("h.txt", "word " * 10_000, "line 1: 10,000 words; a hypothesis is a phrase of at most 60"),
        ("h.csv", "phrases\nbald\n", r"no column 'text' \(seen: phrases\)"),
        ("h.csv", "text,group\nbald,a\n   ,b\n", "row 2: the phrase is blank"),
        ("h.csv", "text,template\nbald,a photo\n", r"the template 'a photo' must hold \{\} once"),
        ("h.csv", "text,template\nbald,{} {x}\n", "must hold"),
        ("h.jsonl", "{not json\n", "row 1 is no JSON"),
        ("h.yaml", "text: bald\n", "must be a list"),
        ("h.yaml", "- [a, b\n", "is not YAML"),
        ("h.yaml", "- {phrase_x: bald}\n", "has no 'text'"),
        ("h.docx", "bald", r"use \.txt"),
    ],
)
def test_a_wrong_file_is_one_line(name: str, text: str, message: str) -> None:
    Path(name).write_text(text)
    with pytest.raises(BadInputError, match=message) as caught:
        read_hypotheses(Path(name))
    assert "\n" not in str(caught.value)


def test_missing_file() -> None:
    with pytest.raises(BadInputError, match="no such hypothesis file"):
        read_hypotheses(Path("nowhere.txt"))


def test_phrases_on_the_command_line_are_checked_too() -> None:
    with pytest.raises(BadInputError, match="phrase 1: the phrase is blank"):
        from_phrases(["  "])
    with pytest.raises(BadInputError, match="repeats phrase 1"):
        from_phrases(["bald", "bald"])


@pytest.mark.parametrize("path", [p for p in STARTERS.iterdir() if p.name != "reference.txt"], ids=lambda p: p.name)
def test_the_starter_files_read(path: Path) -> None:
    assert len(read_hypotheses(path)) >= 10


@given(st.text(max_size=300))
def test_no_text_file_gives_a_traceback(text: str) -> None:
    Path("fuzz.txt").write_text(text, encoding="utf-8", errors="replace")
    try:
        assert read_hypotheses(Path("fuzz.txt"))
    except BadInputError as error:
        assert str(error)
