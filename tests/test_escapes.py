"""What others wrote reaches a terminal as text: no escape sequence is obeyed, nothing ends in a traceback."""

from __future__ import annotations

import ast
import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app
from fsearch.search.terminal.printable import printable

ROOT = Path(__file__).parents[1]
EVIL = "a\x1b]0;title\x07\x1b[31m\x9b2J\u202ered\x7f"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace whose keys, labels, columns and reasons hold escape sequences."""
    root = tmp_path_factory.mktemp("hostile")
    names = [f"{i}{EVIL}.png" for i in range(5)]
    for i, name in enumerate(names):
        Image.new("RGB", (8, 8), (50 * i, 0, 0)).save(root / name)
    (root / f"broken{EVIL}.png").write_bytes(b"no image")
    with (root / "losses.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "loss", "label", f"col{EVIL}"])
        writer.writerows([name, i, f"label{EVIL}", EVIL] for i, name in enumerate(names))
    fsearch.open(root / "w").index(root, root / "losses.csv")
    return root / "w"


def raw(text: str) -> list[str]:
    """The control characters in what was printed."""
    return [c for c in text if c in "\x1b\x07\x9b\x7f\u202e"]


@pytest.mark.parametrize(
    "words",
    [
        ["info"],
        ["sql", "SELECT * FROM examples"],
        ["sql", "SELECT * FROM rejected", "--format", "json"],
        ["sql", f'SELECT 1 AS "{EVIL}"'],
        ["sql", f"SELECT no_such_{EVIL}"],
        ["losses"],
        ["check"],
        ["query", EVIL],
        ["rank", f"no{EVIL}.txt"],
        ["losses", "remove", "--model", EVIL],
        ["index", f"nowhere{EVIL}"],
    ],
    ids=lambda w: " ".join(w).encode("unicode_escape").decode()[:40],
)
def test_no_control_character_reaches_a_terminal(hostile: Path, words: list[str]) -> None:
    found: Any = CliRunner().invoke(app, [*words, "-w", str(hostile)])
    assert not raw(found.output), found.output
    assert found.exception is None or isinstance(found.exception, SystemExit)


def test_printable_text_stays_as_it_is() -> None:
    assert printable("naïve 日本 +0.3\n\tline") == "naïve 日本 +0.3\n\tline"
    assert printable("\x1b[31m\ud800") == "\\x1b[31m\\ud800"


def test_everything_that_is_printed_passes_one_function() -> None:
    for path in [*(ROOT / "search").rglob("*.py"), ROOT / "cli.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            if path.name == "printable.py" or (path.name == "app.py" and "json.dumps" in ast.unparse(node)):
                continue
            assert name not in ("typer.echo", "print", "click.echo", "sys.stdout.write", "sys.stderr.write"), path
            if name == "Text" and path.name == "render.py" and not isinstance(node.args[0], ast.Constant):
                said = ast.unparse(node.args[0])
                assert said.startswith(("printable(", "f'[{a.lo", "a.verdict")), said


@pytest.mark.parametrize("language", [{"PYTHONIOENCODING": "ascii"}, {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_a_terminal_of_few_characters_is_no_traceback(hostile: Path, language: dict[str, str]) -> None:
    command = [sys.executable, "-m", "fsearch.cli", "sql", "SELECT 'é 日本' AS a", "-w", str(hostile)]
    environment = {**os.environ, **language}
    done = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert b"Traceback" not in done.stderr, done.stderr
    assert len(done.stdout.splitlines()) + len(done.stderr.splitlines()) in (1, 2)


def test_standard_input_that_is_closed_or_no_text_is_one_line(hostile: Path) -> None:
    command = [sys.executable, "-m", "fsearch.cli", "sql", "-w", str(hostile)]
    done = subprocess.run(command, input=b"SELECT '\xff'", capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [b"fsearch: standard input is no UTF-8: invalid start byte at byte 8"]
    closed = subprocess.run(["sh", "-c", f"{' '.join(command)} <&-"], capture_output=True, check=False)
    assert closed.returncode == 2
    assert len(closed.stderr.splitlines()) == 1
