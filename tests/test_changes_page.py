"""Stored comparisons of two models on the page, in a real browser: what changed, how surely, and on which images."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import own_copy
from tests.support.pages import Served, serving, tab_on, violations

import fsearch
from fsearch.search.compare.result import Comparison

pytest.importorskip("uvicorn")
PHRASES = ["very dark skin", "light skin tone", "bald", "a hat", "a zebra"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compared") / "w"


@pytest.fixture(scope="module")
def compared(released: Path, root: Path) -> Comparison:
    """The second of two comparisons that are stored in a workspace of their own."""
    ws = own_copy(released, root)
    ws.rank(["a hat"], model="old")
    ws.compare("old", "new", PHRASES, where="skin_tone >= 0", top=16)
    return ws.compare("old", "new", PHRASES, top=16)


@pytest.fixture(scope="module")
def served(compared: Comparison, root: Path) -> Iterator[Served]:
    with serving(root) as page:
        yield page


def test_a_comparison_has_an_address_and_shows_what_was_found(served: Served, compared: Comparison) -> None:
    assert b"old to new" in served.get("/compare")[2]
    status, _, body = served.get("/comparison/2")
    page = body.decode()
    assert status == 200
    for answer in compared.answers:
        assert answer.text in page
        assert f'v-{answer.verdict}"' in page
    worst = compared.answers[0]
    assert f"change {worst.change:+.3f}, 90% interval {worst.lo:+.3f} to {worst.hi:+.3f}" in page
    assert "On the whole it is better".lower() in page.lower()
    assert page.count('href="#m-worse"') == page.count('href="#m-worse" x=') + 2  # row and heading, then the plot
    assert served.get("/comparison/2/1")[2].decode().count("<img") == page.count("<img")


def test_the_images_are_those_that_the_comparison_gave(served: Served, compared: Comparison) -> None:
    for rank, answer in enumerate(compared.answers, start=1):
        page = served.get(f"/comparison/2/{rank}")[2].decode()
        assert shown(page) == ([] if answer.verdict == "unseen" else [i.image_id for i in answer.images])
    assert len(shown(served.get("/comparison/2/0")[2].decode())) == 16  # all images are a change, too
    assert shown(served.get("/comparison/1/1")[2].decode()) == [i.image_id for i in compared.answers[0].images]


def test_the_images_of_a_negation_do_not_show_its_positive(served: Served, tmp_path: Path) -> None:
    shutil.copytree(served.root, tmp_path / "w")
    found = fsearch.open(tmp_path / "w").compare("old", "new", ["no beard"], top=16)
    with serving(tmp_path / "w") as page:
        body = page.get(f"/comparison/{found.comparison_id}/1")[2].decode()
    assert found.answers[0].verdict != "unseen"
    assert shown(body) == [i.image_id for i in found.answers[0].images]


def shown(page: str) -> list[int]:
    return [int(part.split('"')[0]) for part in page.split('<img src="/thumb/')[1:]]


@pytest.mark.parametrize("path", ["/comparison/3", "/comparison/2/6", "/compare?a=1", "/compare?a=1&b=9"])
def test_a_comparison_that_is_not_there_is_said_in_a_line(served: Served, path: str) -> None:
    status, _, body = served.get(path)
    assert status == 400
    assert b"That cannot be shown" in body


def test_a_comparison_outlives_the_losses_of_its_models(served: Served, compared: Comparison, tmp_path: Path) -> None:
    shutil.copytree(served.root, tmp_path / "w")
    fsearch.open(tmp_path / "w").losses.remove("old")
    with serving(tmp_path / "w") as page:
        body = page.get("/comparison/2/1")[2].decode()
    assert f"{compared.answers[0].change:+.3f}" in body
    assert "the losses of &#39;old&#39; are gone" in body
    assert not shown(body)


def test_several_models_need_not_be_chosen_from_before_a_page_is_shown(served: Served) -> None:
    for path in ("/", "/worst", "/sql", "/map", "/ask?q=a+hat"):
        assert served.get(path)[0] == 200, path
    assert b"--model old" in served.get("/ask?q=a+hat")[2]


@pytest.mark.slow
def test_changes_are_walked_by_keys_and_fit_any_width(browser: Any, served: Served, compared: Comparison) -> None:
    from playwright.sync_api import expect

    with tab_on(browser, served) as tab:
        tab.click("nav >> text=Compare")
        tab.locator("table a").first.click()
        heading = tab.locator("#phrase h2")
        expect(heading).to_have_text(compared.answers[0].text)
        assert tab.locator(".right .verdict").first.inner_text() == compared.answers[0].verdict
        tab.wait_for_load_state()  # with its scripts
        tab.keyboard.press("j")
        expect(heading).to_have_text(compared.answers[1].text)
        assert tab.url.endswith("/comparison/2/2")
        tab.reload()
        expect(heading).to_have_text(compared.answers[1].text)
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            for width in (360, 1280):
                tab.set_viewport_size({"width": width, "height": 900})
                for path in ("/compare", "/comparison/2", "/comparison/2/0"):
                    tab.goto(served.address + path)
                    assert (path, violations(tab)) == (path, [])
                    assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate("[...document.images].every(i => !i.complete || i.naturalWidth > 0)")
