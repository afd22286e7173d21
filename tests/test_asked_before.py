"""The question box of the page: what was asked before is offered again, and a file of phrases can be dropped on it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from tests.conftest import own_copy
from tests.support.pages import TOKEN, Served, serving, tab_on, violations

uvicorn = pytest.importorskip("uvicorn")
SMILING = "label = 'smiling'"


@pytest.fixture(scope="module")
def asked(fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a run, of which the command line asked one question."""
    ws = own_copy(fitted, tmp_path_factory.mktemp("asked") / "w")
    ws.rank(["dark skin tone", "bald"])
    ws.query("Very Dark Skin")
    return ws.root


@pytest.fixture
def served(asked: Path) -> Iterator[Served]:
    with serving(asked) as page:
        yield page


def past(page: Served, path: str = "/worst") -> list[tuple[str, str]]:
    """What a page offers to ask again: address and words."""
    found = re.search(r'<details class="more past">(.*?)</details>', page.get(path)[2].decode(), re.S)
    links = re.findall(r'<a href="([^"]+)">(.*?)</a>', found[1] if found else "", re.S)
    return [(unescape(href), unescape(re.sub("<[^>]+>", "", text))) for href, text in links]


def offered(page: Served) -> list[str]:
    """What the question box completes."""
    return [unescape(text) for text in re.findall(r'<option value="([^"]+)">', page.get("/worst")[2].decode())]


def test_what_was_asked_is_offered_again_the_last_first(served: Served, asked: Path) -> None:
    assert [text for _, text in past(served)] == ["very dark skin"]
    for query in ({"q": "A <Straw> Hat"}, {"q": "a zeppelin"}, {"q": "bald", "where": SMILING}, {"q": "a  zeppelin"}):
        assert served.get(f"/ask?{urlencode(query)}")[0] == 200
    assert served.get("/ask?q=x&where=nonsense+(")[0] == 400
    texts = [text for _, text in past(served)]
    assert texts == ["a zeppelin", f"bald where {SMILING}", "A <Straw> Hat", "very dark skin"]
    assert offered(served)[:3] == ["a zeppelin", "A <Straw> Hat", "very dark skin"]
    assert "dark skin tone" in offered(served)
    for href, text in past(served):
        status, _, body = served.get(href)
        assert (status, text.split(" where ")[0] in unescape(body.decode())) == (200, True)
    with serving(asked) as later:  # the catalog keeps what was tested, in lower case
        texts = [text for _, text in past(later)]
        assert {"very dark skin", f"bald where {SMILING}"} <= set(texts)


@pytest.mark.slow
def test_a_question_is_asked_again_by_keyboard(browser: Any, served: Served) -> None:
    from playwright.sync_api import expect

    with tab_on(browser, served) as tab:
        for text in ("a straw hat", "sunglasses"):
            tab.keyboard.press("/")
            tab.keyboard.type(text)
            tab.keyboard.press("Enter")
            expect(tab.locator("#phrase h2")).to_have_text(text)
        tab.locator(".past summary").focus()
        tab.keyboard.press("Enter")
        assert violations(tab) == []
        tab.keyboard.press("Tab")
        tab.keyboard.press("Tab")
        tab.keyboard.press("Enter")
        expect(tab.locator("#phrase h2")).to_have_text("a straw hat")
        expect(tab.locator("#q")).to_have_value("a straw hat")


DROP = """([name, text]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name, { type: "text/plain" }));
  document.getElementById("q").dispatchEvent(
    new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
}"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "text"), [("list.txt", "a beard\nsunglasses\n"), ("LIST.CSV", 'text,group\n"a beard",\nsunglasses,eyes\n')]
)
def test_a_file_dropped_on_the_question_is_a_list_to_rank(browser: Any, served: Served, name: str, text: str) -> None:
    from playwright.sync_api import expect

    with tab_on(browser, served) as tab:
        tab.goto(f"{served.address}/worst")
        tab.evaluate(DROP, [name, text])
        expect(tab.locator("#list")).to_have_value(text)
        expect(tab.locator("#list")).to_be_focused()
        assert violations(tab) == []
        tab.keyboard.press("Tab")
        tab.keyboard.press("Enter")
        tab.wait_for_url("**/run/*", wait_until="commit")
        expect(tab.locator("h1").first).to_contain_text("of 2 kinds of image fail")


@pytest.mark.slow
def test_what_is_typed_after_a_dropped_file_was_deleted_is_no_table(browser: Any, served: Served) -> None:
    from playwright.sync_api import expect

    with tab_on(browser, served) as tab:
        tab.goto(f"{served.address}/worst")
        tab.evaluate(DROP, ["list.csv", "text\n"])
        tab.locator("#list").fill("")
        tab.locator("#list").fill("a beard\nsunglasses\n")
        tab.get_by_role("button", name="Rank them").click()
        tab.wait_for_url("**/run/*", wait_until="commit")
        expect(tab.locator("h1").first).to_contain_text("of 2 kinds of image fail")


@pytest.mark.slow
def test_a_workspace_without_a_run_says_what_to_begin_with(browser: Any, fitted: Path, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    ws = own_copy(fitted, tmp_path / "w")
    with serving(ws.root) as page:
        tab = browser.new_page()
        answer = tab.goto(f"{page.address}/?token={TOKEN}")
        assert answer.status == 200
        assert tab.evaluate("document.activeElement.id") == "q"
        assert tab.locator("#list").is_visible()
        assert violations(tab) == []
        tab.get_by_role("button", name="Rank portraits").click()
        tab.wait_for_url("**/run/1", wait_until="commit")
        expect(tab.locator("h1").first).to_contain_text("kinds of image fail")
        tab.close()
    assert ws.runs.show(1).settings["source"] == "portraits"
