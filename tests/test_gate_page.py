"""The gate's place on the page: rules are pasted, judged as the command judges them, and shown as its table."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from tests.conftest import own_copy
from tests.support.pages import Served, chromium, serving, tab_on, violations
from tests.test_gate import run

from fsearch.indexer.errors import BadInputError
from fsearch.search.gate.read import given_rules, read_rules

uvicorn = pytest.importorskip("uvicorn")
RULES = """\
model: new
rules:
  - phrase: very dark skin
    no_worse_than: old
  - phrase: bald
    verdict: [fine, unclear]
    name: bald people
  - phrase: a zebra
"""


@pytest.fixture(scope="module")
def served(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("gates") / "w"
    own_copy(released, root).rank(["a hat"], model="new")  # without a run the first page is an error
    with serving(root) as page:
        yield page


def post(served: Served, **form: str) -> tuple[int, dict[str, str], bytes]:
    own = {"Origin": served.address, "Content-Type": "application/x-www-form-urlencoded"}
    return served.get("/judge", "POST", urlencode(form).encode(), **own)


def judged(served: Served, **form: str) -> str:
    """The page of the outcome, once the work is done."""
    status, headers, _ = post(served, **form)
    assert status == 303
    while True:
        body = served.get(headers["location"])[2].decode()
        if found := re.search(r'url=(/gate/\d+)"', body):
            return served.get(found[1])[2].decode()
        assert "Judging by the rules" in body, body
        time.sleep(0.1)


def test_before_anything_is_judged_the_page_offers_a_form(released: Path, tmp_path: Path) -> None:
    shutil.copytree(released, tmp_path / "w")
    with serving(tmp_path / "w") as page:
        status, headers, body = page.get("/gate")
    assert status == 200
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert b'action="/judge"' in body
    assert b"fsearch gate rules.yaml" in body


def test_the_table_is_that_of_the_command(served: Served) -> None:
    body = judged(served, rules=RULES)
    Path("rules.yaml").write_text(RULES)
    code, out, _ = run("gate", "rules.yaml", "--json", "-w", served.root)
    told = json.loads(out)
    assert code == told["exit_code"] == 1
    rows = re.findall(r"<tr><td>\s*<span class=\"verdict.*?</tr>", body, re.S)
    assert len(rows) == len(told["checks"]) == 3
    for row, check in zip(rows, told["checks"], strict=True):
        cells = [re.sub(r"<[^>]*>", "", c).strip() for c in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S)]
        assert cells[:4] == [check["outcome"], check["subject"], check["rule"], check["check"]]
        assert bool(cells[4]) == (check["value"] is not None)
    shapes = [re.search(r'v-(\w+)"><svg.*?#m-(\w+)"', row, re.S).groups() for row in rows]  # type: ignore[union-attr]
    assert shapes == [("fails", "fails"), ("unclear", "unclear"), ("better", "fine")]
    assert "The gate fails: of 3 checks on new" in body
    assert 'data-copy="fsearch gate rules.yaml --model new' in body
    assert "<style" not in body
    assert " style=" not in body
    assert body.count("/comparison/") == 1


def test_phrases_alone_are_rules_and_a_baseline_can_be_named(served: Served) -> None:
    body = judged(served, rules="very dark skin\nbald\n", baseline="old")
    assert "no_worse_than old" in body
    assert "all images" in body
    assert "fsearch gate hypotheses.txt --model " in body
    assert "--baseline old" in body
    judged(served, rules="bald\n")
    assert "Earlier, while this page is served" in served.get("/gate")[2].decode()


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("rules:\n  - phrse: bald\n", "rules.yaml line 2: unknown key"),
        ("rules: [", "rules.yaml is no YAML"),
        ("rules:\n  - file: /etc/passwd\n", "here a file can only be one that comes with fsearch"),
        ("hypotheses: ../h.txt\nrules:\n  - phrase: bald\n", "here a file can only be one that comes with fsearch"),
        ("rules:\n  - phrase: bald\n    no_worse_than: baseline\n", "no baseline is named"),
        ("  \n", "give rules, or phrases"),
    ],
)
def test_wrong_rules_are_said_in_a_line(served: Served, rules: str, said: str) -> None:
    status, _, body = post(served, rules=rules)
    assert (status, said in body.decode()) == (400, True), body.decode()


def test_what_cannot_run_is_said_where_it_was_asked(served: Served) -> None:
    status, headers, _ = post(served, rules="model: gone\nrules:\n  - phrase: bald\n")
    assert status == 303
    for _ in range(600):
        body = served.get(headers["location"])[2].decode()
        if "That did not work" in body:
            break
        time.sleep(0.1)
    assert "gone" in body
    assert served.get("/gate/999")[0] == 400


def test_only_the_page_itself_may_judge(served: Served) -> None:
    for origin in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert served.get("/judge", "POST", b"rules=bald", **origin)[0] == 403
    big = {"Origin": served.address}
    assert served.get("/judge", "POST", b"x" * (2 << 20), **big)[0] == 413


def test_what_was_written_is_shown_as_text(served: Served) -> None:
    body = judged(served, rules='rules:\n  - phrase: "<script>alert(1)</script>"\n')
    assert "<script>alert" not in body


def test_given_rules_are_those_of_a_file_with_the_same_text(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    assert given_rules(RULES).rules == read_rules(tmp_path / "rules.yaml").rules
    assert given_rules("rules:\n  - file: people\n").rules[0].phrases
    with pytest.raises(BadInputError, match="more than"):
        given_rules("rules: " + "[" * 40)


@pytest.mark.slow
def test_rules_are_judged_in_a_browser(served: Served) -> None:
    with chromium() as browser, tab_on(browser, served) as tab:
        tab.get_by_role("link", name="Gate", exact=True).click()
        tab.get_by_label("Rules as YAML").fill(RULES)
        tab.get_by_role("button", name="Judge").click()
        tab.wait_for_url("**/gate/*", timeout=120_000)
        assert tab.locator("table.checks tbody tr").count() == 3
        assert violations(tab) == []
