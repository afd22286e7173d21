"""Pages that come from the code must be what the code says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from fsearch.indexer.losses.functions.registry import TASKS
from fsearch.indexer.sources.archive import SUFFIXES as ARCHIVES
from fsearch.indexer.storage.schema import TABLES
from fsearch.indexer.storage.schema.__main__ import markdown
from fsearch.indexer.storage.schema.views import VIEWS
from fsearch.indexer.storage.tabular import SUFFIXES
from fsearch.search.workspace import Workspace

ROOT = Path(__file__).parents[1]


def test_the_schema_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "schema.md").read_text() == markdown()


def test_the_catalog_has_exactly_the_documented_tables_and_views(ws: Workspace) -> None:
    found = ws.sql("SELECT table_name FROM information_schema.tables").to_pylist()
    assert {r["table_name"] for r in found} == {t.name for t in TABLES} | {v.name for v in VIEWS}
    for view in VIEWS:
        assert ws.sql(f"SELECT * FROM {view.name} LIMIT 1") is not None


def test_the_page_of_data_names_every_task_kind_and_extra() -> None:
    page = (ROOT / "docs" / "data.md").read_text()
    for task in TASKS.values():
        about = task.about.replace("|", "\\|")
        assert f"| `{task.name}` | {about} | {', '.join(task.params)} |" in page
    for suffix in (*ARCHIVES[:3], *SUFFIXES):
        assert suffix in page
    for extra in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]:
        assert f"[{extra}]" in page


def test_each_promise_of_security_names_tests_that_exist() -> None:
    rows = re.findall(r"^\| (.*) \| (`test_.*) \|$", (ROOT / "docs" / "security.md").read_text(), re.M)
    assert rows
    for promise, held in rows:
        for name, test in re.findall(r"`(test_\w+\.py)::(test_\w+)`", held) or pytest.fail(promise):
            assert re.search(rf"^def {test}\(", (ROOT / "tests" / name).read_text(), re.M), f"{promise}: {test}"


def test_links_in_the_pages_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not target.startswith(("http", "mailto")):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_is_short_and_its_figures_are_those_of_the_benchmarks() -> None:
    readme, page = (ROOT / "README.md").read_text(), (ROOT / "docs" / "benchmarks.md").read_text()
    assert len(readme.splitlines()) <= 150
    heads = [line for line in page.splitlines() if line.startswith("|")]
    assert "| what | size | figure |" in heads
    assert any(line.startswith("| scorer | planted loss |") for line in heads)
    assert any(line.startswith("| setting | worlds |") for line in heads)
    for target in re.findall(r"^(bench[a-z-]*):", (ROOT / "Makefile").read_text(), re.M):
        assert f"`make {target}`" in page
    figures = re.search(r"## Figures\n(.*?)\n## ", readme, re.S)
    assert figures
    for row in re.findall(r"^\| .* \| (.*\d.*) \|$", figures[1], re.M):
        for number in re.findall(r"\d[\d.,]*\d|\d", row):
            assert number in page, row


def test_the_api_of_the_readme_is_there(ws: Workspace) -> None:
    answers = ws.query("dark skin tone")
    assert answers[0].verdict in str(answers).lower()
    ranking = ws.rank(["dark skin tone", "bald"])
    assert "rank" in str(ranking)
    assert "workspace" in str(ws.info())
    assert repr(ws).startswith("fsearch.open(")


def test_the_readme_opens_with_small_pictures_of_the_page_and_of_a_report() -> None:
    """Made by `make screenshots`, in light and dark."""
    opening = (ROOT / "README.md").read_text().split("## ")[0]
    named = re.findall(r'(?:src|srcset)="(docs/pictures/[a-z-]+\.webp)"', opening)
    assert named == [f"docs/pictures/{name}.webp" for name in ("page-dark", "page", "report-dark", "report")]
    assert {path.name for path in (ROOT / "docs" / "pictures").iterdir()} == {Path(name).name for name in named}
    for name in named:
        data = (ROOT / name).read_bytes()
        assert data[8:12] == b"WEBP"
        assert len(data) < 300_000
