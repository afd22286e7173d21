"""Parts of the map that are kept under a name: on the page, in SQL and `--where`, and when their images go."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
from tests.support.pages import TOKEN, Served, serving, tab_on, violations
from tests.test_cli import run

import fsearch
from fsearch.indexer.errors import BadInputError, WorkspaceError
from fsearch.indexer.workspace.store import Store
from fsearch.search import selections

pytest.importorskip("uvicorn")
RIGHT = "0,-2,2,-2,2,2,0,2"


@pytest.fixture(scope="module")
def served(fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("selections") / "w"
    shutil.copytree(fitted, root)
    ws = fsearch.open(root)
    ws.trust()
    ws.rank(["a hat", "very dark skin"])
    with serving(root) as page:
        yield page


def post(served: Served, path: str, **fields: str) -> tuple[int, str]:
    """Send a form of the page: the status, and where it goes on."""
    headers = {"Origin": served.address, "Host": f"127.0.0.1:{served.port}"}
    status, found, _ = served.get(path, "POST", urlencode(fields).encode(), **headers)
    return status, found.get("location", "")


def kept(served: Served, name: str) -> list[int]:
    query = f"SELECT image_id FROM examples WHERE {selections.condition(name)} ORDER BY image_id"
    return fsearch.open(served.root).sql(query)["image_id"].to_pylist()


def test_a_part_of_the_map_is_kept_listed_used_and_forgotten(served: Served) -> None:
    ws = fsearch.open(served.root)
    points = np.frombuffer(served.get("/map/points")[2], "<f4").reshape(-1, 4)
    ids = ws.sql("SELECT image_id FROM examples ORDER BY embedding_row")["image_id"].to_numpy()
    name = "the right 'half', <b>"
    assert post(served, "/map/keep", name=f"  {name} ", area=RIGHT)[0] == 303
    assert kept(served, name) == sorted(ids[points[:, 0] > 0].tolist())
    status, _, body = served.get("/map?" + urlencode({"s": name}))
    assert (status, f"<h2>{(points[:, 0] > 0).sum()} images</h2>".encode() in body) == (200, True)
    assert b"<b>" not in body.split(b"Kept selections")[1].split(b"</section>")[0]
    lit = np.frombuffer(served.get("/map/points?" + urlencode({"s": name}))[2], "<f4").reshape(-1, 4)[:, 3]
    assert np.array_equal(lit, points[:, 0] > 0)
    where = selections.condition(name)
    assert len(ws.query("a hat", where=where)) == 1
    assert run("query", "a hat", "--where", where, "-w", served.root)[0] == 0
    assert post(served, "/map/forget", name=name) == (303, "/map")
    assert kept(served, name) == []
    assert b"Kept selections" not in served.get("/map")[2]


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "", "area": RIGHT},
        {"name": "x" * 101, "area": RIGHT},
        {"name": "a\x07b", "area": RIGHT},
        {"name": "nothing", "area": "5,5,6,5,6,6"},
        {"name": "no polygon", "area": "1,2,3"},
        {"name": "taken", "area": RIGHT},
        {},
    ],
)
def test_what_cannot_be_kept_is_refused_and_stores_nothing(served: Served, fields: dict[str, str]) -> None:
    post(served, "/map/keep", name="taken", area=RIGHT)
    before = fsearch.open(served.root).sql("FROM selections ORDER BY ALL")
    assert post(served, "/map/keep", **fields)[0] in (400, 413)
    assert fsearch.open(served.root).sql("FROM selections ORDER BY ALL") == before
    assert before.num_rows
    assert served.get("/map?s=unheard+of")[0] == 400
    assert served.get("/map/points?s=unheard+of")[0] == 400


def test_only_the_page_itself_may_keep_or_forget(served: Served) -> None:
    post(served, "/map/keep", name="mine", area=RIGHT)
    own = {"Host": f"127.0.0.1:{served.port}"}
    for path in ("/map/keep", "/map/forget"):
        body = urlencode({"name": "mine", "area": RIGHT}).encode()
        assert served.get(path, "POST", body, Origin="http://evil.example", **own)[0] == 403
        assert served.get(path, "POST", body, **own)[0] == 403
        assert served.get(path, "POST", body, Origin=served.address, Cookie="", **own)[0] == 403
        assert served.get(path, Cookie=f"fsearch={TOKEN}")[0] == 405
    assert kept(served, "mine")


def test_there_are_not_ever_more_of_them(few: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selections, "MAX_SELECTIONS", 3)
    fsearch.open("w").index(few.folder, few.losses)
    store, rows = Store.open(Path("w")), np.arange(5)
    for number in range(3):
        selections.keep(store, f"number {number}", rows)
    with pytest.raises(BadInputError, match="3 selections already"):
        selections.keep(store, "one more", rows)
    selections.forget(store, "number 1")
    assert selections.keep(store, "one \n more", rows) == "one more"
    with store.writer(), pytest.raises(WorkspaceError):  # another writer is at work, and goes on
        selections.keep(Store.open(Path("w")), "in vain", rows, patience=0.1)


def test_a_selection_loses_the_images_that_go_or_change(few: Any) -> None:
    ws = fsearch.open("w")
    ws.index(few.folder, few.losses)
    selections.keep(Store.open(Path("w")), "all", np.arange(ws.info().images))
    first, second, *_ = sorted(few.folder.iterdir())
    shutil.copyfile(second, first)
    before = ws.sql("FROM selections").num_rows
    ws.index(few.folder, few.losses)
    gone = ws.sql("SELECT image_id FROM images WHERE image_id NOT IN (SELECT image_id FROM selections)")
    assert ws.sql("FROM selections").num_rows == before - 1
    assert ws.sql(f"SELECT key FROM images WHERE image_id = {gone['image_id'][0]}")["key"].to_pylist() == [first.name]


@pytest.mark.slow
def test_a_line_is_drawn_kept_and_found_again(browser: Any, served: Served) -> None:
    from playwright.sync_api import expect

    with tab_on(browser, served) as tab:
        tab.goto(f"{served.address}/map")
        expect(tab.locator("canvas[data-drawn='320']")).to_be_visible()
        box = tab.locator("canvas").bounding_box()
        tab.mouse.move(box["x"], box["y"])
        tab.mouse.down()
        for x, y in [(0.999, 0), (0.999, 0.999), (0, 0.999)]:
            tab.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=3)
        tab.mouse.up()
        tab.fill("#keep-name", "all of it")
        tab.keyboard.press("Enter")
        expect(tab.locator("#selection h2")).to_have_text("320 images")
        expect(tab.locator(".kept tr[aria-current] a")).to_have_text("all of it")
        assert violations(tab) == []
        tab.set_viewport_size({"width": 360, "height": 800})
        assert tab.evaluate("document.documentElement.scrollWidth") <= 360
        tab.click("[aria-label='Forget all of it']")
        tab.wait_for_url("**/map")
        assert tab.locator("text=all of it").count() == 0
