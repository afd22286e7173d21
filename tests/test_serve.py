"""The page in a real browser and by hand-made requests: the story, keys, themes, broken images, and who is let in."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import numpy as np
import pytest
from tests.conftest import own_copy
from tests.support.pages import TOKEN, Served, serving, tab_on, violations
from tests.test_cli import run

import fsearch
from fsearch.indexer.workspace.store import Store
from fsearch.search.labels import read_labels
from fsearch.search.web.endpoints import STATIC
from fsearch.search.web.work import Jobs

uvicorn = pytest.importorskip("uvicorn")
PHRASES = ["dark skin tone", "very dark skin", "a hat", "bald", "a zeppelin"]
MAPS = ("/map", "/map?by=label&q=a+hat", "/map?area=-1,-1,1,-1,0,1")


class Ranked(NamedTuple):
    root: Path
    run_id: int


@pytest.fixture(scope="module")
def ranked(fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Ranked:
    """Of PHRASES, in a workspace of these tests that may hold other rankings."""
    root = tmp_path_factory.mktemp("serve") / "w"
    ws = own_copy(fitted, root)
    return Ranked(root, ws.rank(PHRASES, top=8).run_id)


@pytest.fixture(scope="module")
def served(ranked: Ranked) -> Iterator[Served]:
    with serving(ranked.root) as page:
        yield page


def test_only_the_token_opens_the_page_and_then_a_cookie_does(served: Served) -> None:
    for cookie in ("", "fsearch=guess", "fsearch=; x", "\x7f=;;"):
        status, _, body = served.get("/", Cookie=cookie)
        assert (status, b"dark" in body) == (403, False)
    assert served.get("/?token=guess", Cookie="")[0] == 403
    status, headers, _ = served.get(f"/ask?token={TOKEN}&q=a+hat", Cookie="")
    assert (status, headers["location"]) == (303, "/ask?q=a+hat")
    assert "HttpOnly" in headers["set-cookie"]
    assert "SameSite" in headers["set-cookie"]
    assert served.get("/")[0] == 200
    assert served.get(f"//elsewhere.example/?token={TOKEN}", Cookie="")[1]["location"] == "/elsewhere.example/"


def test_another_host_or_origin_is_refused(served: Served) -> None:
    assert served.get("/", Host="evil.example")[0] == 421
    assert served.get("/", Host=f"localhost:{served.port}")[0] == 200
    for origin in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert served.get("/rank", "POST", b"phrases=x", **origin)[0] == 403
    big = {"Origin": served.address, "Host": f"127.0.0.1:{served.port}"}
    assert served.get("/rank", "POST", b"x" * (2 << 20), **big)[0] == 413


def test_the_policy_is_strict_and_no_page_has_a_script_or_style_of_its_own(served: Served) -> None:
    for path in (
        "/",
        "/worst",
        "/map",
        "/map?by=label&q=a+hat",
        "/sql?q=SELECT+1",
        "/made",
        "/compare?a=1&b=1",
        "/gate",
        "/ask?q=a+hat",
    ):
        status, headers, body = served.get(path)
        assert status == 200, path
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert b"<style" not in body
        assert b" style=" not in body
        assert b"https://" not in body.replace(b"https://www.w3.org", b"")


@pytest.mark.parametrize(
    "path",
    [
        "/run/99",
        "/map?by=nothing",
        "/map?area=1,2,3",
        "/run/1/99",
        "/ask?q=",
        "/worst?page=x",
        "/compare?a=1&b=77",
        "/ask?q=x&where=nonsense+(",
    ],
)
def test_what_cannot_be_shown_is_said_in_a_line(served: Served, path: str) -> None:
    status, _, body = served.get(path)
    assert status == 400
    assert b"That cannot be shown" in body


def test_no_file_but_the_page_and_the_images_is_served(served: Served) -> None:
    for path in (
        "/static/../views.py",
        "/static/%2e%2e%2fviews.py",
        "/static/server.py",
        "/image/999999",
        "/etc/passwd",
    ):
        assert served.get(path)[0] == 404
    status, headers, body = served.get("/thumb/1")
    assert (status, headers["content-type"], body[8:12]) == (200, "image/webp", b"WEBP")


def test_files_of_others_are_as_they_were_published() -> None:
    table = (STATIC / "VENDORED.md").read_text()
    rows = re.findall(r"^\| (\S+\.js) .* \| (\w{64}) \|$", table, re.M)
    assert {name for name, _ in rows} == {p.name for p in STATIC.glob("*.js")} - {"page.js", "map.js", "work.js"}
    for name, digest in rows:
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == digest


def test_what_the_user_wrote_is_shown_as_text(served: Served) -> None:
    status, _, body = served.get("/ask?q=" + quote("<script>alert(1)</script>"))
    assert status == 200
    assert b"<script>alert" not in body
    assert b"SQL: " in served.get("/sql?q=" + quote("DROP TABLE images"))[2]
    assert b"SQL: " in served.get("/sql?q=" + quote("SELECT * FROM read_csv('/etc/passwd')"))[2]


def events(served: Served, place: str) -> list[dict[str, Any]]:
    """Every event of a piece of work, to its end."""
    status, headers, body = served.get(f"{place}/events")
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    return [json.loads(line.removeprefix("data: ")) for line in body.decode().split("\n\n") if line]


def listed(page: bytes) -> list[str]:
    """The phrases that a page of a run lists, in the order of the page."""
    return re.findall(r'data-rank="\d+"[^>]*>([^<]+)</a>', page.decode())


def test_a_run_is_narrowed_to_a_verdict_a_group_or_a_slice(ranked: Ranked, tmp_path: Path) -> None:
    shutil.copytree(ranked.root, tmp_path / "w")
    ws = fsearch.open(tmp_path / "w")
    Path("h.csv").write_text("text,group\ndark skin tone,skin\nlight skin tone,skin\na hat,\na zeppelin,\n")
    run_id = ws.rank("h.csv", by="label").run_id
    ranking = ws.runs.ranking(run_id)
    with serving(tmp_path / "w") as page:

        def texts(**query: str) -> list[str]:
            return sorted(listed(page.get(f"/run/{run_id}?{urlencode(query)}")[2]))

        every = [*ranking.answers, *ranking.hidden]
        assert texts() == sorted(a.text for a in every)
        for verdict in {a.verdict for a in every}:
            assert texts(verdict=verdict) == sorted(a.text for a in every if a.verdict == verdict)
        assert set(texts(group="skin")) == {"dark skin tone", "light skin tone"}
        for within in {a.within for a in ranking.answers if a.within}:
            assert texts(slice=within) == sorted(a.text for a in every if a.within == within)
        assert texts(verdict="fine<b>", group="x", nothing="y") == []
        body = page.get(f"/run/{run_id}?group=skin&verdict=unseen")[2]
        assert b"No phrase of this run is so" in body
        body = page.get(f"/run/{run_id}?group=skin")[2].decode()
        assert all(f"/{rank}?group=skin" in body for rank in re.findall(r'data-rank="(\d+)"[^>]*hx-get', body))
        assert re.search(r"<option selected>skin</option>", body)


def test_groups_of_repeated_images_are_shown(few: Any) -> None:
    for copy in ("a", "b"):
        shutil.copy(few.folder / "000.png", few.folder / f"copy-{copy}.png")
    losses = few.losses.read_text().splitlines()
    few.losses.write_text("\n".join([*losses, *(f"copy-{c},{losses[1].split(',', 1)[1]}" for c in ("a.png", "b.png"))]))
    ws = fsearch.open("w")
    ws.index(few.folder, few.losses)
    (first, *_) = found = ws.sql("FROM image_groups").to_pylist()
    with serving(ws.root) as page:
        body = page.get("/worst")[2].decode()
    assert first["images"] == 3
    assert f"<b>{first['images']}</b> images like this" in body
    assert body.count("images like this") == len(found)


def test_phrases_are_ranked_from_the_page(served: Served) -> None:
    headers = {"Origin": served.address, "Host": f"127.0.0.1:{served.port}"}
    status, found, _ = served.get("/rank", "POST", b"phrases=a+hat%0Abald%0A", **headers)
    assert status == 303
    assert served.get(found["location"])[0] == 200
    last = events(served, found["location"])[-1]
    assert (last["state"], last["said"]) == ("done", "")
    assert f"url=/run/{last['run']}".encode() in served.get(found["location"])[2]
    assert b"a hat" in served.get(f"/run/{last['run']}")[2]
    assert served.get("/work/999/events")[0] == 404
    assert served.get("/rank", "POST", b"phrases=%0A", **headers)[0] == 400


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"phrases=%0A", b"hypothesis file phrases.txt is empty"),
        (b"phrases=hat&file=a.exe", b"a.exe: drop a file of .txt, .csv"),
        (b"phrases=%5B%22hat%22%5D&file=a.json", b"a.json: drop a file of .txt, .csv, .tsv, .yaml, .yml, .jsonl;"),
        (b"phrases=a,b%0A1,2&file=..%2F..%2Fmine.csv", b"mine.csv has no column"),
        (b"phrases=hat%0Ahat&file=mine.txt", b"mine.txt line 2"),
        (b"phrases=%5B&file=mine.yaml", b"mine.yaml is not YAML"),
        (b"starter=..%2Fpeople", b"no list is called"),
        (b"phrases=" + b"%0A".join(b"a%d" % i for i in range(2001)), b"2,001 phrases; here 2,000 at most"),
    ],
)
def test_a_list_that_cannot_be_ranked_is_refused_by_its_own_name(served: Served, body: bytes, said: bytes) -> None:
    headers = {"Origin": served.address, "Host": f"127.0.0.1:{served.port}"}
    status, _, page = served.get("/rank", "POST", body, **headers)
    assert status == 400
    assert said in page
    assert b"/tmp" not in page


def test_a_dropped_table_is_read_as_one(fitted: Path, tmp_path: Path) -> None:
    ws = own_copy(fitted, tmp_path / "w")
    body = b"file=mine.csv&phrases=text%2Cgroup%0Aa+straw+hat%2Chats%0Aa+beanie%2Chats%0A"
    with serving(ws.root) as page:
        headers = {"Origin": page.address, "Host": f"127.0.0.1:{page.port}"}
        _, found, _ = page.get("/rank", "POST", body, **headers)
        run = events(page, found["location"])[-1]["run"]
    assert {(a.text, a.group) for a in ws.runs.ranking(run)} == {("a straw hat", "hats"), ("a beanie", "hats")}


def test_work_that_is_stopped_stores_nothing() -> None:
    jobs, begun, go_on = Jobs(), threading.Event(), threading.Event()

    def work(progress: Any) -> int:
        progress("asking", 1, 3)
        begun.set()
        assert go_on.wait(60)
        progress("asking", 2, 3)
        raise AssertionError("it went on")

    job = jobs.start(work)
    assert begun.wait(60)
    assert (job.state, job.done, job.total) == ("working", 1, 3)
    job.stop.set()
    go_on.set()
    while job.state == "working":
        time.sleep(0.01)
    assert (job.state, job.run) == ("stopped", None)


def test_work_that_fails_says_why(served: Served) -> None:
    job = Jobs().start(lambda progress: fsearch.open(served.root).rank([]).run_id)
    while job.state == "working":
        time.sleep(0.01)
    assert job.state == "failed"
    assert job.said


def test_votes_are_stored_listed_taken_back_and_read_as_labels(served: Served) -> None:
    headers = {"Origin": served.address, "Host": f"127.0.0.1:{served.port}"}
    text = quote("dark skin tone")
    for image in range(60):
        said = b"yes" if image % 2 else b"no"
        body = f"text={text}&image={image}&back=/run/1/2&shows=".encode() + said
        status, found, _ = served.get("/vote", "POST", body, **headers)
        assert (status, found["location"]) == (303, "/run/1/2")
    ws = fsearch.open(served.root)
    query = "SELECT image_id, shows FROM votes WHERE text = 'dark skin tone' ORDER BY image_id"
    assert ws.sql(query).to_pylist() == [{"image_id": i, "shows": bool(i % 2)} for i in range(60)]
    out = served.root.parent / "votes.csv"
    assert run("export", out, "--votes", "-w", served.root)[0] == 0
    labels = read_labels(Store.open(served.root), str(out))
    assert (labels.names, labels.known.sum(), labels.shows.sum()) == (("dark skin tone",), 60, 30)
    assert (
        served.get("/vote", "POST", f"text={text}&image=3&shows=&back=//evil.example".encode(), **headers)[1][
            "location"
        ]
        == "/"
    )
    assert ws.sql("SELECT count(*) AS n FROM votes")["n"].to_pylist() == [59]


@pytest.mark.parametrize(
    "body", [b"text=&image=1&shows=no", b"text=x&image=99999&shows=no", b"text=x&image=1&shows=perhaps", b""]
)
def test_a_vote_on_nothing_is_refused(served: Served, body: bytes) -> None:
    headers = {"Origin": served.address, "Host": f"127.0.0.1:{served.port}"}
    before = fsearch.open(served.root).sql("FROM votes ORDER BY ALL")
    assert served.get("/vote", "POST", body, **headers)[0] in (400, 413)
    assert served.get("/vote", "POST", b"text=x&image=1&shows=no", Origin="http://evil.example")[0] == 403
    assert served.get("/vote", "POST", b"text=x&image=1&shows=no", Cookie="", **headers)[0] == 403
    assert fsearch.open(served.root).sql("FROM votes ORDER BY ALL") == before


def test_the_map_lights_a_negation_where_its_positive_is_dark(served: Served) -> None:
    lit, dark = (
        np.frombuffer(served.get(f"/map/points?q={q}")[2], "<f4").reshape(-1, 4)[:, 3] for q in ("no+hat", "hat")
    )
    assert dark.max() > 0.9
    np.testing.assert_allclose(lit, 1 - dark, atol=1e-6)


def test_the_map_has_every_image_and_a_part_of_it_is_counted(served: Served) -> None:
    ws = fsearch.open(served.root)
    points = np.frombuffer(served.get("/map/points?by=skin_tone&q=dark+skin+tone")[2], "<f4").reshape(-1, 4)
    tones = ws.sql("SELECT skin_tone, loss FROM examples ORDER BY embedding_row").to_pylist()
    assert points[:, 2].tolist() == [row["skin_tone"] for row in tones]
    assert np.abs(points[:, :2]).max() == 1
    dark = points[:, 2] >= 7
    assert points[dark, 3].mean() > 2 * points[~dark, 3].mean()
    right = points[:, 0] > 0
    _, _, body = served.get("/map/selection?area=0,-2,2,-2,2,2,0,2")
    assert f"<h2>{right.sum()} images</h2>".encode() in body
    mean = np.mean([row["loss"] for row, inside in zip(tones, right, strict=True) if inside])
    assert f"{mean:.3f}".encode() in body
    assert b"No image lies there" in served.get("/map/selection?area=5,5,6,5,6,6")[2]


def test_the_map_offers_only_columns_of_which_some_image_has_a_value(served: Served) -> None:
    body = served.get("/map")[2].decode()
    form = body[body.index('name="by"') :]
    columns = re.findall(r"<option[^>]*>([^<]+)</option>", form[: form.index("</select>")])
    assert {"loss", "label", "eyewear", "skin_tone", "width"} <= set(columns)
    assert "prediction" not in columns  # losses were given, and no prediction with them
    for column in columns:
        points = np.frombuffer(served.get(f"/map/points?by={column}")[2], "<f4").reshape(-1, 4)
        assert np.isfinite(points[:, 2]).any(), column
    assert b"no column &#39;prediction&#39; with a value" in served.get("/map?by=prediction")[2]


def test_phrases_that_are_unclear_or_unseen_alone_have_no_empty_plot(served: Served) -> None:
    for question, plotted in (("a zeppelin", False), ("a zeppelin; dark skin tone", True)):
        body = served.get(f"/ask?{urlencode({'q': question})}")[2]
        assert (b'class="forest"' in body) == plotted
        assert b"a zeppelin" in body


def test_ten_browsers_at_once_are_all_answered(served: Served, ranked: Ranked) -> None:
    paths = ["/", "/ask?q=a+hat", f"/run/{ranked.run_id}/3", "/worst", "/thumb/2"] * 2
    with ThreadPoolExecutor(10) as pool:
        answers = [a for several in pool.map(lambda path: [served.get(path) for _ in range(5)], paths) for a in several]
    refused = [body.decode()[-600:] for status, _, body in answers if status != 200]
    assert not refused


@pytest.fixture
def tab(browser: Any, served: Served) -> Iterator[Any]:
    with tab_on(browser, served) as opened:
        yield opened


@pytest.mark.slow
def test_the_story_by_keyboard_alone(tab: Any, served: Served) -> None:
    from playwright.sync_api import expect

    assert "token" not in tab.url
    heading = tab.locator("#phrase h2")
    first = heading.inner_text()
    tab.keyboard.press("j")
    expect(heading).not_to_have_text(first)
    assert tab.url.endswith("/run/1/2") or "/run/" in tab.url
    tab.keyboard.press("k")
    expect(heading).to_have_text(first)
    tab.keyboard.press("/")
    tab.keyboard.type("a straw hat")
    tab.keyboard.press("Enter")
    expect(heading).to_have_text("a straw hat")
    tab.reload()
    expect(heading).to_have_text("a straw hat")
    assert tab.locator(".shot img").count() > 0
    assert tab.evaluate("[...document.images].every(i => !i.complete || i.naturalWidth > 0)")
    tab.keyboard.press("?")
    expect(tab.locator("dialog")).to_be_visible()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_violates_the_guidelines_that_axe_checks(tab: Any, served: Served, scheme: str) -> None:
    tab.emulate_media(color_scheme=scheme)
    for path in ("/", *MAPS, "/worst", "/sql?q=SELECT+1", "/made", "/compare?a=1&b=1", "/gate", "/ask?q=a+hat"):
        tab.goto(served.address + path)
        assert (path, violations(tab)) == (path, [])


@pytest.mark.slow
def test_a_line_round_points_lists_what_they_are(tab: Any, served: Served) -> None:
    from playwright.sync_api import expect

    tab.goto(f"{served.address}/map?by=skin_tone&q=dark+skin+tone")
    canvas = tab.locator("canvas[data-drawn='320']")
    expect(canvas).to_be_visible()
    box = canvas.bounding_box()
    corners = [(0, 0), (0.999, 0), (0.999, 0.999), (0, 0.999)]
    tab.mouse.move(box["x"], box["y"])
    tab.mouse.down()
    for x, y in corners:
        tab.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=3)
    tab.mouse.up()
    expect(tab.locator("#selection h2")).to_have_text("320 images")
    assert "area=" in tab.url
    tab.reload()
    expect(tab.locator("#selection h2")).to_have_text("320 images")


@pytest.mark.slow
def test_a_browser_may_send_the_forms_of_the_page(tab: Any) -> None:
    """A page that sends no referrer would send its forms with the Origin "null", which is refused."""
    tab.locator(".paste summary").click()
    tab.locator("#list").fill("a beard\nsunglasses")
    before = tab.url
    tab.locator(".paste button").click()
    tab.wait_for_url("**/run/*", wait_until="commit")
    assert tab.url != before
    assert "of 2 kinds of image fail" in tab.locator("h1").first.inner_text()


@pytest.mark.slow
def test_a_vote_is_kept(tab: Any, served: Served) -> None:
    from playwright.sync_api import expect

    no = tab.locator("#phrase .vote button[data-word=no]").first
    no.click()
    expect(no).to_have_attribute("aria-pressed", "true")
    tab.reload()
    expect(no).to_have_attribute("aria-pressed", "true")
    no.click()
    expect(no).to_have_attribute("aria-pressed", "false")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark"), (2560, "light")])
def test_it_fits_any_width_in_light_and_dark(tab: Any, width: int, scheme: str) -> None:
    tab.emulate_media(color_scheme=scheme)
    tab.set_viewport_size({"width": width, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    back = tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    light = sum(map(int, back.removeprefix("rgb(").rstrip(")").split(","))) > 380
    assert light == (scheme == "light")


@pytest.mark.slow
def test_an_image_that_is_gone_leaves_a_blank(few: Any, browser: Any) -> None:
    ws = fsearch.open("w")
    ws.index(few.folder, few.losses)
    ws.fit()
    ws.rank(["a hat", "bald"])
    for path in few.folder.iterdir():
        path.unlink()
    with serving(Path("w").resolve()) as page:
        tab = browser.new_page()
        tab.goto(f"{page.address}/?token={TOKEN}")
        tab.wait_for_selector(".shot .gone")
        assert tab.locator("#phrase h2").count() == 1
        tab.close()
