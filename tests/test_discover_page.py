"""The page about discovery is run as it stands: its program, its commands, and what they find."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fsearch.cli import app
from fsearch.search.discovery.vocabulary import shipped_phrases

PAGE = Path(__file__).parents[1] / "docs" / "discover.md"


@pytest.mark.slow
def test_the_story_of_discovery_happens_as_told() -> None:
    text = PAGE.read_text()
    (program,) = re.findall(r"```python\n(.*?)```", text, re.S)
    Path("portraits.py").write_text(program)
    subprocess.run([sys.executable, "portraits.py"], check=True, capture_output=True)
    told = re.findall(r"^    \$ (fsearch .*)\n((?:    (?!\$).*\n)*)", text, re.M)
    assert [command.split()[1] for command, _ in told] == ["index", "fit", "discover"]
    for command, _ in told:
        result = CliRunner().invoke(app, shlex.split(command)[1:])
        assert result.exit_code == 0, result.output
    found = [row for row in told[-1][1].splitlines() if " fails " in row]
    assert len(found) >= 2
    for row in found:  # numbers differ between machines, and lines below the failing ones may
        concept = re.split(r"  +", row.strip())[1]
        assert re.search(rf"^ *\d+ +{re.escape(concept)} +fails ", result.stdout, re.M), result.stdout


def test_the_page_says_how_many_phrases_come_with_fsearch() -> None:
    (said,) = re.findall(r"([\d,]+) phrases that come with fsearch", PAGE.read_text())
    assert round(len(shipped_phrases()), -2) == int(said.replace(",", ""))
