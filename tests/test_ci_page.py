"""The worked example of docs/ci.md is run as it stands: its program, commands, rules, workflow and hook."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from fsearch.cli import app
from fsearch.search.gate.read import read_rules

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "ci.md").read_text()
EXAMPLE = PAGE.split("## A worked example")[1]


def block(kind: str, text: str) -> str:
    """The first fenced block of a kind."""
    found = re.search(rf"```{kind}\n(.*?)```", text, re.S)
    assert found
    return found[1]


def commands() -> list[tuple[str, str]]:
    """Each command of the example with the lines that the page prints below the last one."""
    lines = [
        line.removeprefix("    ") for line in EXAMPLE.split("### GitHub")[0].splitlines() if line.startswith("    ")
    ]
    found: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith("$ "):
            found.append((line.removeprefix("$ "), []))
        elif found:
            found[-1][1].append(line)
    return [(command, "\n".join(printed)) for command, printed in found]


def words(text: str) -> list[str]:
    """What is left of each line when numbers, which differ between machines, are masked."""
    return [re.sub(r" +", " ", re.sub(r"[-+<]?\d?[\d.]+(e-\d+)?", "#", line)).strip() for line in text.splitlines()]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the example after its program, with `fsearch` on the path."""
    folder = tmp_path_factory.mktemp("example")
    (folder / "make_portraits.py").write_text(block("python", EXAMPLE))
    (folder / "release.yaml").write_text(block("yaml", EXAMPLE))
    (folder / "bin").mkdir()
    program = folder / "bin" / "fsearch"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m fsearch.cli "$@"\n')
    program.chmod(0o755)
    subprocess.run([sys.executable, "make_portraits.py"], check=True, cwd=folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
        yield folder


@pytest.fixture(scope="module")
def done(example: Path) -> list[Result]:
    """What each command of the example, but its program, gave."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(example)
        return [CliRunner().invoke(app, shlex.split(command)[1:]) for command, _ in commands()[1:]]


@pytest.mark.slow
def test_the_example_happens_as_told(done: list[Result]) -> None:
    told = commands()
    assert [command.split()[1] for command, _ in told] == [
        "make_portraits.py",
        "index",
        "losses",
        "fit",
        "fit",
        "gate",
    ]
    for (command, printed), result in zip(told[1:], done, strict=True):
        assert result.exit_code == (1 if " gate " in command else 0), result.output
        if printed.strip():
            assert words(result.stdout.rstrip()) == words(printed.rstrip()), result.stdout


@pytest.mark.slow
def test_the_workflow_stops_the_release(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each `run` of the workflow, by bash as GitHub runs it: what failed skips the rest, but for `if: always()`."""
    monkeypatch.chdir(example)
    text = EXAMPLE.split("### GitHub")[1]
    steps = yaml.safe_load(block("yaml", text))["jobs"]["gate"]["steps"]
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(example / "summary.md"))
    failed: list[str] = []
    for step in steps:
        if "run" not in step or step["run"].startswith("pip install"):
            continue
        if failed and step.get("if") != "always()":
            pytest.fail(f"skipped: {step['name']}")
        done = subprocess.run(["bash", "-e", "-c", step["run"]], capture_output=True, text=True)
        if done.returncode:
            failed.append(step["name"])
            assert (done.returncode, done.stderr) == (1, "")
            assert "::error file=release.yaml,line=" in done.stdout
    assert failed == ["Gate"]
    assert Path("summary.md").read_text().startswith("## \u274c the gate fails")
    uploaded = [step["with"] for step in steps if step.get("uses", "").startswith(("github/", "actions/upload"))]
    for names in (uploaded[0]["sarif_file"], *uploaded[1]["path"].split()):
        assert Path(names).is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("done")
def test_the_hook_refuses_the_push(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(example)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    subprocess.run([*git, "init", "-q", "--bare", "there.git"], check=True)
    subprocess.run([*git, "init", "-q", "."], check=True)
    subprocess.run([*git, "add", "release.yaml"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "Candidate"], check=True)
    hook = Path(".git/hooks/pre-push")
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(block("sh", EXAMPLE))
    hook.chmod(0o755)
    push = [*git, "push", "-q", "there.git", "HEAD:main"]
    refused = subprocess.run(push, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "the gate fails" in refused.stdout
    Path("release.yaml").write_text("model: candidate\nrules: [{phrase: very dark skin, max_lift: 99}]\n")
    assert subprocess.run(push, capture_output=True, text=True).returncode == 0


def test_the_rules_that_the_page_explains_are_rules() -> None:
    Path("people.csv").write_text("text,group\ndark skin,skin\nlight skin,skin\n")
    Path("gate.yaml").write_text(block("yaml", PAGE))
    found = read_rules(Path("gate.yaml"))
    assert [rule.kind for rule in found.rules] == ["phrase", "group", "file", "by", "all"]
    assert found.rules[2].no_worse_than == "baseline"
