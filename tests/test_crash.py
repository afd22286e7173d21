"""Sixty kills lose nothing (make bench-crash: a thousand); and the harness that says so does notice a loss."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SABOTAGED = """
from benchmarks import crash
write = crash.commit.write_shard
def wrong(layout, number, embeddings):
    return write(layout, number, embeddings[::-1] * {factor})
crash.commit.write_shard = wrong
crash.main()
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.slow
def test_sixty_kills_lose_nothing() -> None:
    done = run("-m", "benchmarks.crash", "--kills", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("crash: 60 kills in ")
    assert ", 0 losses" in done.stdout


@pytest.mark.slow
def test_the_harness_notices_a_wrong_vector() -> None:
    done = run("-c", SABOTAGED.format(factor=-1), "--kills", "3")
    assert done.returncode == 1
    assert "is not that of its content" in done.stdout
