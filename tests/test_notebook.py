"""Answers in Python: sequences looked up by phrase, tables that pandas, polars and DuckDB take, and notebook cells."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from fsearch.indexer.errors import BadInputError
from fsearch.search.answer import Answers
from fsearch.search.notebook import answer_html, table_html
from fsearch.search.workspace import Workspace

PHRASES = ["dark skin tone", "a <hat>", "a zeppelin"]


@pytest.fixture(scope="module")
def answers(fitted: Any) -> Answers:
    return Workspace(fitted).query(PHRASES, top=4)


def test_a_list_asks_as_several_phrases_do(ws: Workspace, answers: Answers) -> None:
    assert ws.query(*PHRASES, top=4) == answers


def test_answers_are_a_sequence_looked_up_by_phrase(answers: Answers) -> None:
    assert [a.text for a in answers] == PHRASES
    assert answers["a zeppelin"] == answers[2] == list(answers)[-1]
    assert answers[:2] == Answers(answers.model, answers.answers[:2], answers.notes, answers.images)
    assert "a zeppelin" in answers
    with pytest.raises(KeyError, match=r"'dark skin tones' was not asked; did you mean 'dark skin tone'\?"):
        answers["dark skin tones"]


def test_others_take_them_as_a_table(answers: Answers) -> None:
    table = pa.table(answers)
    assert table["hypothesis"].to_pylist() == PHRASES
    assert table.schema.field("lift").type == pa.float64()
    assert table.schema.field("contrast").type == pa.float64()  # though none has one
    assert table.schema.field("group").type == pa.string()
    assert answers.to_pandas().shape == (3, table.num_columns)
    con = duckdb.connect()
    con.register("answers", table)
    assert con.execute("SELECT count(*) FROM answers WHERE verdict = 'unseen'").fetchone() == (
        len([a for a in answers if a.verdict == "unseen"]),
    )
    con.close()
    polars = pytest.importorskip("polars")
    assert polars.DataFrame(answers).shape == answers.to_polars().shape == (3, table.num_columns)


class Tags(HTMLParser):
    """Every tag, opened and closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in ("img", "line", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("line", "circle"):
            return
        assert self.open.pop() == tag


def test_a_cell_shows_a_table_or_an_answer_with_its_images(answers: Answers) -> None:
    table, one = Tags(table_html(answers)), Tags(answer_html(answers[0]))
    assert not table.open
    assert not one.open
    assert table.seen.count("tr") == 4
    assert table.seen.count("svg") == len([a for a in answers if a.verdict != "unseen"])
    assert one.seen.count("img") == 8
    assert "<hat>" not in table_html(answers)
    assert not re.search("<script|<style|class=", table_html(answers) + answer_html(answers[0]))
    assert table_html(answers[:1]) == answer_html(answers[0])


def test_images_are_pictures(answers: Answers) -> None:
    first, second = answers[0].images(2)
    assert first.mode == second.mode == "RGB"
    assert len(answers[0].images(3, "passing")) == 3
    with pytest.raises(BadInputError, match="kind"):
        answers[0].images(1, "worst")
