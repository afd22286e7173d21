"""The report: one file that needs nothing else, says what the run says, and leaves out what it is told to."""

from __future__ import annotations

import base64
import io
import re
import shlex
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tests.conftest import own_copy
from tests.support.pages import chromium_program
from tests.test_cli import run

import fsearch
from fsearch.search.web.plots import Axis
from fsearch.search.workspace import Workspace

PHRASES = ["dark skin tone", "very dark skin", "a hat", "bald", 'a <b>bold</b> "hat" & more', "a zeppelin"]


@pytest.fixture(scope="module")
def ranked(fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a stored run; tests only read it."""
    root = tmp_path_factory.mktemp("report") / "w"
    ws = own_copy(fitted, root)
    ws.rank(PHRASES, top=4)
    return ws


class Page(HTMLParser):
    """The elements of a page, with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]


def page(ws: Workspace, **options: Any) -> tuple[str, Page]:
    html = ws.runs.report(out="r.html", **options).read_text()
    return html, Page(html)


def test_a_stored_run_is_read_back_as_it_was_ranked(ranked: Workspace, fitted: Path, tmp_path: Path) -> None:
    shutil.copytree(fitted, tmp_path / "own")
    ws = fsearch.open(tmp_path / "own")
    ws.trust()
    asked = ws.rank(PHRASES, by="label", top=3)
    stored = ws.runs.ranking(asked.run_id)
    assert stored.answers == asked.answers
    assert (stored.run_id, stored.created_at) == (asked.run_id, asked.created_at)


def test_the_file_needs_nothing_else(ranked: Workspace) -> None:
    html, found = page(ranked)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in found.elements}
    assert not [name for _, attrs in found.elements for name in attrs if name.startswith("on") or name == "style"]
    assert all((image["src"] or "").startswith("data:image/webp;base64,") for image in found.all("img"))
    assert not re.search(r"url\(|@import", html)
    assert all((a["href"] or "").startswith(("#", "file:///")) for a in found.all("a") + found.all("use"))
    targets = {attrs["id"] for _, attrs in found.elements if "id" in attrs}
    links = {(a["href"] or "")[1:] for a in found.all("a") + found.all("use") if (a["href"] or "").startswith("#")}
    assert links <= targets
    first = base64.b64decode((found.all("img")[0]["src"] or "").split(",")[1])
    with Image.open(io.BytesIO(first)) as thumbnail:
        assert thumbnail.format == "WEBP"


def test_it_says_what_the_run_says(ranked: Workspace) -> None:
    _, found = page(ranked)
    ranking = ranked.runs.ranking()
    fails = sum(a.verdict == "fails" for a in ranking.answers)
    assert fails
    assert f"{fails} of {len(PHRASES)} kinds of image fail" in found.text
    for answer in ranking.answers:
        assert answer.text in found.text
        assert answer.reason[1:] in found.text
    assert "expected loss" in found.text
    assert "smallest lift that matters (minimum effect)" in found.text  # of every column, what it means
    assert "How it was made" in found.text
    assert all(image.get("alt") is not None for image in found.all("img"))


def test_what_is_redacted_is_nowhere_in_the_file(ranked: Workspace, planted: Any) -> None:
    html, found = page(ranked, redact=True)
    assert not found.all("img")
    assert ".png" not in html
    assert str(planted.folder) not in html
    assert "file:" not in html
    assert "dark skin tone" in found.text


def test_fifty_phrases_fit_in_five_megabytes(ranked: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsearch.search.web import inlined

    full = ranked.runs.report(out="full.html").stat().st_size
    monkeypatch.setattr(inlined, "MAX_IMAGE_BYTES", 30_000)
    small = ranked.runs.report(out="small.html")
    assert small.stat().st_size < full
    assert len(re.findall("data:image/webp", small.read_text())) == len(
        re.findall("data:image/webp", Path("full.html").read_text())
    )


def test_an_image_that_is_gone_is_said_so(few: Any) -> None:
    ws = fsearch.open("w")
    ws.index(few.folder, few.losses)
    ws.fit()
    ws.rank(["a hat", "bald"], top=3)
    for path in few.folder.iterdir():
        path.unlink()
    _, found = page(ws)
    assert "no picture" in found.text
    assert not found.all("img")


def test_markdown_has_the_same_table(ranked: Workspace) -> None:
    text = ranked.runs.report(out="r.md", format="md").read_text()
    rows = [line for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    assert len(rows) == len(PHRASES)
    assert 'a <b>bold</b> "hat" & more' in text


def test_the_command_writes_and_refuses(ranked: Workspace) -> None:
    code, out, _ = run("report", "-o", "r.html", "--images", "1", "-w", ranked.root)
    assert code == 0
    assert re.fullmatch(r"r\.html, \d\.\d MB\n", out)
    for arguments, said in (
        (("-o", "r.pdf"), "use .html or .md"),
        (("-o", "no/r.html"), "no such folder: no"),
        (("99999",), "no run 99999; list them with: fsearch runs"),
    ):
        code, _, err = run("report", *arguments, "-w", ranked.root)
        assert (code, len(err.splitlines())) == (2, 1)
        assert said in err


def test_an_axis_has_round_ticks_and_holds_every_interval(ranked: Workspace) -> None:
    answers = [a for a in ranked.runs.ranking().answers if a.verdict != "unseen"]
    axis = Axis.of(answers)
    assert all(0 < axis.at(v) < 100 for a in answers for v in (a.lo, a.hi))
    assert 3 <= len(axis.ticks) <= 11
    assert (axis.at(0), "0") in axis.ticks


@pytest.mark.slow
def test_a_browser_prints_it_on_a4_as_the_page_of_reports_says(ranked: Workspace) -> None:
    docs = (Path(__file__).parents[1] / "docs" / "report.md").read_text()
    (line,) = re.findall(r"^    chromium (.*--print-to-pdf.*)$", docs, re.M)
    browser = chromium_program()
    found = {}
    for redact in (False, True):
        ranked.runs.report(out="report.html", redact=redact)
        subprocess.run([browser, "--no-sandbox", *shlex.split(line)], check=True, capture_output=True, timeout=300)
        found[redact] = Path("report.pdf").read_bytes()
    for data in found.values():
        sizes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", data)
        assert sizes
        assert all(abs(float(w) - 595.3) < 1 and abs(float(h) - 841.9) < 1 for w, h in sizes)  # points of A4
    images = [data.count(b"/Subtype /Image") for data in found.values()]
    assert images[0] > images[1] == 0
