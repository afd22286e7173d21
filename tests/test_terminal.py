"""Tables on a terminal: the verdict, the lift and q stay where it is narrow, and other columns go."""

from __future__ import annotations

import io
import os
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console
from tests.conftest import Planted
from tests.test_cli import run

import fsearch
from fsearch.search.answer import Ranking
from fsearch.search.hypotheses import shipped
from fsearch.search.terminal.answers import answer_text
from fsearch.search.terminal.render import fitting_rows, ranking_table

KEPT = ["rank", "hypothesis", "verdict", "lift", "q"]


@pytest.fixture(scope="module")
def ranking(fitted: Path) -> Ranking:
    """A ranking with every column: adjusted lifts and contrasts with a group too."""
    ws = fsearch.open(fitted)
    found = ws.rank(["a bald person with a full beard and sunglasses", "dark skin tone", "a wheelchair"])
    return replace(found, answers=tuple(replace(a, adjusted_lift=0.1, contrast=-0.2) for a in found.answers))


def drawn(ranking: Ranking, width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(ranking_table(ranking, width))
    return out.getvalue().splitlines()


@pytest.mark.parametrize(
    ("width", "more"),
    [
        (60, []),
        (80, ["90% interval", "n eff"]),
        (120, ["90% interval", "observed", "adjusted", "vs group", "n eff"]),
    ],
)
def test_a_narrow_terminal_keeps_verdict_lift_and_q(ranking: Ranking, width: int, more: list[str]) -> None:
    head, *lines = drawn(ranking, width)
    found = re.sub(" +", " ", head).strip()
    for name in KEPT + more:
        assert name in found
    for name in {"90% interval", "observed", "adjusted", "vs group", "n eff"} - set(more):
        assert name not in found
    assert all(len(line) <= width for line in [head, *lines])
    text = "\n".join(lines)
    assert "…" not in text
    shown = [a for a in ranking.answers if a.verdict != "unseen"]
    assert shown
    assert all(f"{a.lift:+.3f}" in text for a in shown)


def test_other_tables_leave_out_what_matters_least() -> None:
    rows = pa.table(
        {"run_id": [1], "created_at": ["2026-01-01 00:00:00.000000"], "bridge": ["membership"], "fails": [3]}
    )
    assert fitting_rows(rows, 200, ["bridge", "created_at"]).column_names == rows.column_names
    assert fitting_rows(rows, 40, ["bridge", "created_at"]).column_names == ["run_id", "created_at", "fails"]
    assert fitting_rows(rows, 20, ["bridge", "created_at"]).column_names == ["run_id", "fails"]


def test_rank_says_its_run_and_knows_the_files_that_come_along(fitted: Path) -> None:
    code, out, _ = run("rank", "--list")
    assert code == 0
    assert out.split()[::2] == ["people", "photographs", "portraits"]
    assert all(os.path.isfile(path) for path in out.split()[1::2])
    assert run("rank", "-w", fitted)[2].startswith("fsearch: name a file of hypotheses, or one that comes with fsearch")
    code, out, _ = run("rank", "photographs", "-w", fitted)
    assert code == 0
    number = re.search(r"stored as run (\d+); all of it: fsearch runs show \1 --json", out)
    assert number
    assert run("runs", "show", number[1], "-w", fitted)[0] == 0
    assert "reference" not in shipped()


def test_a_file_goes_before_a_shipped_name(fitted: Path) -> None:
    Path("people").write_text("a hat\n")
    assert "use .txt" in run("rank", "people", "-w", fitted)[2]


def test_what_changed_most_comes_first(fitted: Path) -> None:
    ws = fsearch.open(fitted)
    one, two = (ws.rank(["dark skin tone", "bald", "a hat"], where=where) for where in (None, "skin_tone > 2"))
    rows = ws.runs.diff(one.run_id, two.run_id).rows
    assert rows.column_names[:3] == ["hypothesis", "verdict_before", "verdict_after"]
    changes = [
        (r["verdict_before"] != r["verdict_after"], abs(r["lift_after"] - r["lift_before"])) for r in rows.to_pylist()
    ]
    assert changes == sorted(changes, reverse=True)


def test_images_are_links_on_a_terminal_and_plain_words_in_a_pipe(ranking: Ranking) -> None:
    answer = replace(next(a for a in ranking.answers if a.verdict != "unseen"), contrast=None)
    path = Path("a folder/x.png").absolute()
    shown = replace(answer.failing[0], key="x.png", path=str(path))
    hostile = replace(shown, key="y.png", path="/tmp/\x1b]8;;evil")
    text = answer_text(replace(answer, failing=(shown, hostile), passing=()))
    printed = {}
    for terminal in (True, False):
        out = io.StringIO()
        Console(file=out, force_terminal=terminal, color_system="truecolor" if terminal else None, width=200).print(
            text
        )
        printed[terminal] = out.getvalue()
    assert f";{path.as_uri()}\x1b\\" in printed[True]
    assert "evil" not in printed[True]
    assert "x.png" in printed[False]
    assert "\x1b" not in printed[False]


def test_quiet_commands_print_errors_alone(few: Planted) -> None:
    assert run("index", few.folder, "--quiet", "-w", "w") == (0, "", "")
    assert run("losses", "add", "--model", "m", "--losses", few.losses, "--quiet", "-w", "w") == (0, "", "")
    assert run("fit", "--quiet", "-w", "w") == (0, "", "")
    code, printed, err = run("fit", "--model", "nothing", "--quiet", "-w", "w")
    assert (code, printed, len(err.splitlines())) == (2, "", 1)
