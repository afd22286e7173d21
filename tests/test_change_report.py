"""The report of a comparison: one file that says what got worse, better, unclear and unseen, and shows the images."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import own_copy
from tests.test_cli import run
from tests.test_report import Page

import fsearch
from fsearch.search.compare.result import Comparison
from fsearch.search.workspace import Workspace

PHRASES = ["very dark skin", "light skin tone", "bald", "a hat", 'a <b>bold</b> "beard"', "a zebra"]


@pytest.fixture(scope="module")
def ws(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("compared") / "w"
    return own_copy(released, root)


@pytest.fixture(scope="module")
def compared(ws: Workspace) -> Comparison:
    return ws.compare("old", "new", PHRASES, top=4)


def page(ws: Workspace, number: int, **options: Any) -> tuple[str, Page]:
    html = ws.runs.report(comparison=number, out="c.html", **options).read_text()
    return html, Page(html)


def part(html: str, heading: str) -> str:
    """The text of a section of the half page for those who read no further."""
    return Page(html.split(f"<h2>{heading}</h2>")[1].split("</section>")[0].split("<h2>")[0]).text


def test_the_half_page_says_what_got_worse_better_unclear_and_unseen(ws: Workspace, compared: Comparison) -> None:
    html, found = page(ws, compared.comparison_id)
    of = {word: [a for a in compared.answers if a.verdict == word] for word in ("worse", "better", "unclear", "unseen")}
    assert of["worse"] and of["better"] and of["unseen"]  # noqa: PT018
    assert f"{len(of['worse'])} of {len(PHRASES)} kinds of image got worse" in found.text
    assert f"On the whole it is {compared.whole.verdict}" in found.text
    for word, heading in (("worse", "What got worse"), ("better", "What got better")):
        told = part(html, heading)
        assert all(a.text in told and f"{a.change:+.2f}".replace("-", "\u2212") in told for a in of[word])
        assert not [a.text for a in compared.answers if a.text in told and a.verdict != word]
    told = part(html, "What could not be told")
    assert all(a.text in told for a in (*of["unclear"], *of["unseen"]))
    assert "against the whole" in part(html, "What got worse")
    assert "at most one in 10" in part(html, "How sure")


def test_every_change_is_there_with_its_numbers_and_its_images(ws: Workspace, compared: Comparison) -> None:
    html, found = page(ws, compared.comparison_id, images=4)
    for rank, answer in enumerate((compared.whole, *compared.answers)):
        own = html.split(f'id="k{rank}"')[1].split("</article>" if answer.verdict == "worse" else "</details>\n")[0]
        assert answer.reason[1:] in Page(own).text
        images = getattr(answer, "images", ())
        if answer.verdict != "unseen":
            assert f"{answer.lo:+.3f}".replace("-", "\u2212") in own
        if rank:
            losses = re.findall(r"<b>(.*?)</b> to <b>(.*?)</b></figcaption>", own)
            assert losses == [(f"{i.before:.2f}", f"{i.after:.2f}") for i in images if answer.verdict != "unseen"]
    assert "one-sided p adjusted for all phrases" in found.text  # of every number, what it means
    assert "fsearch compare old new" in found.text


def test_the_file_needs_nothing_else(ws: Workspace, compared: Comparison) -> None:
    _, found = page(ws, compared.comparison_id)
    assert not {"script", "link", "iframe", "object", "b>bold"} & {tag for tag, _ in found.elements}
    assert all((image["src"] or "").startswith("data:image/webp;base64,") for image in found.all("img"))
    assert found.all("img")
    targets = {attrs["id"] for _, attrs in found.elements if "id" in attrs}
    links = [a["href"] or "" for a in found.all("a") + found.all("use")]
    assert all(to.startswith(("#", "file:///")) for to in links)
    assert {to[1:] for to in links if to.startswith("#")} <= targets


def test_what_is_redacted_is_nowhere_in_the_file(ws: Workspace, compared: Comparison) -> None:
    html, found = page(ws, compared.comparison_id, redact=True)
    assert not found.all("img")
    assert ".png" not in html
    assert "file:" not in html
    assert "very dark skin" in found.text


def test_markdown_has_the_same_table(ws: Workspace, compared: Comparison) -> None:
    text = ws.runs.report(comparison=compared.comparison_id, out="c.md", format="md").read_text()
    rows = [line.split("|") for line in text.splitlines() if re.match(r"\| \d+ \|", line)]
    assert [row[2].strip() for row in rows] == [compared.whole.verdict, *(a.verdict for a in compared.answers)]
    assert 'a <b>bold</b> "beard"' in text


def test_a_comparison_outlives_the_losses_of_its_models(ws: Workspace, compared: Comparison, tmp_path: Path) -> None:
    shutil.copytree(ws.root, tmp_path / "w")
    own = fsearch.open(tmp_path / "w")
    own.losses.remove("old")
    _, found = page(own, compared.comparison_id)
    assert not found.all("img")
    assert "the losses of 'old' are gone" in found.text


def test_the_command_writes_and_refuses(ws: Workspace, compared: Comparison) -> None:
    number = compared.comparison_id
    code, out, _ = run("report", "--comparison", number, "-o", "r.html", "--images", "1", "-w", ws.root)
    assert (code, bool(re.fullmatch(r"r\.html, \d\.\d MB\n", out))) == (0, True)
    for words, said in (
        (("1", "--comparison", number), "give one number"),
        (("--comparison", "99"), "no comparison 99"),
    ):
        code, _, err = run("report", *words, "-w", ws.root)
        assert (code, len(err.splitlines())) == (2, 1)
        assert said in err


def test_the_report_of_a_gate_shows_what_got_worse_since_the_baseline(ws: Workspace) -> None:
    Path("h.txt").write_text("very dark skin\na hat\n")
    code, _, err = run("gate", "h.txt", "--model", "new", "--baseline", "old", "--report", "g.html", "-w", ws.root)
    assert code == 1, err
    html = Path("g.html").read_text()
    found = Page(html)
    assert "From old to new, 1 of 2 kinds of image got worse: very dark skin" in found.text
    links = {(a["href"] or "")[1:] for a in found.all("a") if (a["href"] or "").startswith("#")}
    targets = [attrs["id"] for _, attrs in found.elements if "id" in attrs]
    assert links <= set(targets)
    assert len(targets) == len(set(targets))
    assert run("gate", "h.txt", "--model", "new", "--baseline", "old", "--report", "g.md", "-w", ws.root)[0] == 1
    assert "## From old to new: 1 of 2 kinds of image got worse" in Path("g.md").read_text()
