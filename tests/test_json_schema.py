"""What --json prints is what docs/schema.json says, and an unseen phrase carries no numbers that look like findings."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from fsearch.cli import app
from fsearch.search.answer import FOUND
from fsearch.search.json_schema import document, schema

PAGE = Path(__file__).parents[1] / "docs" / "schema.json"
PHRASES = ["dark skin tone", "a hat", "a wheelchair"]


def printed(*args: object) -> dict:
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def documents(fitted: Path, tmp_path: Path) -> dict[str, dict]:
    """One of each, with a phrase in it that is unseen, and one in a group."""
    asked = tmp_path / "asked.csv"
    asked.write_text("text,group\n" + "".join(f"{p},{'' if i else 'skin'}\n" for i, p in enumerate(PHRASES)))
    ranking = printed("rank", asked, "--json", "-w", fitted)
    return {
        "answers": printed("query", *PHRASES, "--json", "-w", fitted),
        "ranking": ranking,
        "run": printed("runs", "show", ranking["run_id"], "--json", "-w", fitted),
    }


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == document()
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("kind", ["answers", "ranking", "run"])
def test_what_is_printed_is_as_the_schema_says(documents: dict[str, dict], kind: str) -> None:
    of = schema() | {"anyOf": [{"$ref": f"#/$defs/{kind}"}]}
    check = jsonschema.Draft202012Validator(of, format_checker=jsonschema.FormatChecker())
    check.validate(documents[kind])
    rows = documents[kind]["answers" if kind == "answers" else "ranking"]
    assert rows[0].pop("lift") is not None
    assert not check.is_valid(documents[kind])


@pytest.mark.parametrize("kind", ["answers", "ranking", "run"])
def test_an_unseen_phrase_carries_no_findings(documents: dict[str, dict], kind: str) -> None:
    rows = documents[kind]["answers" if kind == "answers" else "ranking"]
    (unseen,) = [row for row in rows if row["verdict"] == "unseen"]
    assert unseen["hypothesis"] == "a wheelchair"
    assert {name for name in FOUND if unseen[name] is not None} == set()
    assert unseen["reason"]
    seen = next(row for row in rows if row["hypothesis"] == "dark skin tone")
    assert {"lift", "lo", "hi", "q_value"} <= {name for name, value in seen.items() if value is not None}
