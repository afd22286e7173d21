"""Faults of the machine in a workspace with a fit: full disks, few files, no home, a move, many readers, a kill."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fsearch

CLI = [sys.executable, "-m", "fsearch.cli"]


@pytest.fixture
def copied(fitted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fitted, tmp_path / "copied.fsearch"))


def run(*words: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*CLI, *map(str, words)], capture_output=True, text=True, check=False, **options)


def small_files(size: int) -> Callable[[], None]:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    return limit


@pytest.mark.slow
@pytest.mark.parametrize("size", [300, 9_000, 30_000])
def test_a_fit_that_does_not_fit_on_the_disk_is_one_line_and_leaves_the_old_one(copied: Path, size: int) -> None:
    before = fsearch.open(copied).query("dark skin tone").as_dict()
    done = run("fit", "-w", copied, preexec_fn=small_files(size))
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not list((copied / "models").glob(".*"))
    assert fsearch.open(copied).check().sound
    assert fsearch.open(copied).query("dark skin tone").as_dict() == before


@pytest.mark.slow
def test_a_compaction_that_does_not_fit_on_the_disk_leaves_nothing_behind(copied: Path) -> None:
    import duckdb

    with duckdb.connect(str(copied / "catalog.duckdb")) as con:
        con.execute("UPDATE images SET status = 'missing' WHERE image_id < 50")
    before = sorted(p.name for p in (copied / "vectors").iterdir())
    done = run("compact", "-w", copied, preexec_fn=small_files(20_000))
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(p.name for p in (copied / "vectors").iterdir()) == before
    assert fsearch.open(copied).compact().images == 50


@pytest.mark.slow
def test_few_open_files_no_home_and_a_move_are_no_hindrance(copied: Path) -> None:
    moved = copied.rename(copied.with_name("moved.fsearch"))
    few = run(
        "query", "dark skin tone", "-w", moved, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    )
    assert few.returncode == 0, few.stderr
    homeless = {k: v for k, v in os.environ.items() if k not in ("HOME", "FSEARCH_CACHE", "FSEARCH_CONFIG")}
    assert run("query", "dark skin tone", "-w", moved, env=homeless).stdout == few.stdout


@pytest.mark.slow
def test_thirty_two_queries_at_once_say_the_same(copied: Path) -> None:
    command = [*CLI, "sql", "SELECT count(*), sum(loss) FROM examples", "-w", str(copied)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(32)]
    answers = {process.communicate()[0] for process in running}
    assert len(answers) == 1
    assert {process.returncode for process in running} == {0}


@pytest.mark.slow
@pytest.mark.parametrize("words", [["fit"], ["rank", "phrases.txt"], ["compact"]], ids=lambda w: w[0])
def test_a_kill_at_any_time_loses_nothing(copied: Path, words: list[str]) -> None:
    Path("phrases.txt").write_text("".join(f"phrase of number {i}\n" for i in range(200)))
    count = "SELECT (SELECT count(*) FROM images) AS i, (SELECT count(*) FROM losses) AS l"
    before = fsearch.open(copied).sql(count).to_pylist()
    began = time.monotonic()
    assert run(*words, "-w", copied).returncode == 0
    whole = time.monotonic() - began
    for share in (0.3, 0.5, 0.7, 0.8, 0.9, 0.95):
        process = subprocess.Popen(
            [*CLI, *words, "-w", str(copied)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(whole * share)
        process.send_signal(signal.SIGKILL)
        process.wait()
        ws = fsearch.open(copied)
        assert ws.sql(count).to_pylist() == before
        assert ws.check(repair=True).sound
    assert run(*words, "-w", copied).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_fit_that_is_told_to_stop_says_so_in_one_line(copied: Path, number: int) -> None:
    process = subprocess.Popen(
        [*CLI, "fit", "-w", str(copied)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(6)
    if process.poll() is not None:
        pytest.skip("it was faster")
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert err.startswith("fsearch: stopped; ")
    assert len(err.splitlines()) == 1
