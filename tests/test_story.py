"""The story in docs is run as it stands: its program, its commands, its output."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fsearch.cli import app

PAGE = Path(__file__).parents[1] / "docs" / "digits.md"


def commands() -> list[tuple[str, str]]:
    """Each indented command of the page with the lines printed below it."""
    found: list[tuple[str, list[str]]] = []
    for line in PAGE.read_text().splitlines():
        if line.startswith("    $ "):
            found.append((line.removeprefix("    $ "), []))
        elif line.startswith("    ") and found:
            found[-1][1].append(line.removeprefix("    "))
    return [(command, "\n".join(lines)) for command, lines in found]


def words(text: str) -> str:
    """What is left when numbers, which differ between machines, are masked."""
    return re.sub(r" +", " ", re.sub(r"-?\d[\d.]*", "#", text)).strip()


@pytest.mark.slow
def test_the_story_of_the_digits_happens_as_told(tmp_path: Path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    Path("train.py").write_text(program)
    subprocess.run([sys.executable, "train.py"], check=True, capture_output=True)
    told = commands()
    assert len(told) == 7
    for command, printed in told[1:]:
        result = CliRunner().invoke(app, shlex.split(command)[1:])
        assert result.exit_code == 0, result.output
        rows = slice(0, 2) if " sql " in command else slice(None)  # further rows may change places
        ours, theirs = ([words(line) for line in text.splitlines()][rows] for text in (result.stdout, printed))
        assert ours == theirs, command
    worst = CliRunner().invoke(app, ["sql", "SELECT label FROM examples GROUP BY 1 ORDER BY avg(loss) DESC LIMIT 1"])
    assert worst.stdout.split() == ["label", "8"]
