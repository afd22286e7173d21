"""Faults of the machine in a workspace with a fit: full disks, few files, no home, a move, many readers, a kill."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import fsearch
from fsearch.indexer.errors import NotReadyError
from fsearch.indexer.workspace.store import Store
from fsearch.search.account import NOT_KEPT

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
    plain = {k: v for k, v in os.environ.items() if k not in ("LANG", "LC_ALL", "LC_CTYPE")}
    spoken = run("query", "dark skin tone", "-w", moved, env={**plain, "LC_ALL": "C", "PYTHONUTF8": "0"})
    assert (spoken.returncode, spoken.stderr) == (0, "")
    assert spoken.stdout.splitlines()[0] == few.stdout.splitlines()[0]


@pytest.fixture
def shown(fitted: Path) -> Iterator[Path]:
    """A workspace that everybody may read and nobody may write, in a folder that everybody may enter."""
    place = Path(tempfile.mkdtemp())
    root = Path(shutil.copytree(fitted, place / "shown.fsearch"))
    for path in [place, root, *root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    yield root
    for path in [place, root, *root.rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(place)


@pytest.mark.slow
def test_who_may_not_write_may_ask(shown: Path) -> None:
    other: dict[str, Any] = {"user": 65534} if os.geteuid() == 0 else {}  # root may write everywhere
    gone = ("HOME", "FSEARCH_CACHE", "FSEARCH_CONFIG")
    other |= {"cwd": shown.parent, "env": {k: v for k, v in os.environ.items() if k not in gone}}
    try:
        runs = not subprocess.run(
            [sys.executable, "-c", "import fsearch, duckdb"], capture_output=True, **other
        ).returncode
    except PermissionError:
        runs = False
    if not runs:
        pytest.skip("another user may not run this Python")
    for words in (["query", "dark skin tone"], ["sql", "SELECT count(*) FROM examples"], ["info"], ["check"]):
        done = run(*words, "-w", shown, **other)
        assert done.returncode == 0, done.stderr
        assert done.stdout
    (shown.parent).chmod(0o755)
    (shown.parent / "h.txt").write_text("a hat\n")
    for words in (["rank", "h.txt"], ["fit"], ["losses", "remove", "--model", "planted"]):
        done = run(*words, "-w", shown, **other)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert fsearch.open(shown).check().sound


@pytest.mark.slow
def test_thirty_two_queries_at_once_say_the_same(copied: Path) -> None:
    command = [*CLI, "query", "dark skin tone", "-w", str(copied)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(32)]
    waited_in_vain = f"note: {NOT_KEPT}\n"  # by one of so many: all that may differ
    answers = {process.communicate()[0].replace(waited_in_vain, "") for process in running}
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
    command = [*CLI, "fit", "-w", str(copied)]
    begun = Store.open(copied).layout.lock_holder
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not begun.exists() and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert err.startswith("fsearch: stopped; ")
    assert len(err.splitlines()) == 1


def test_a_kill_between_two_fits_leaves_one_of_them(copied: Path) -> None:
    """A fit takes the place of another in two steps; a kill may come after each of them."""
    models = copied / "models"
    before = fsearch.open(copied).query("dark skin tone").as_dict()
    (models / "planted").rename(models / ".planted.part")
    shutil.copytree(models / ".planted.part", models / ".planted.old")
    assert fsearch.open(copied).query("dark skin tone").as_dict() == before
    assert fsearch.open(copied).check().sound
    fsearch.open(copied).fit()
    assert [p.name for p in models.iterdir()] == ["planted"]
    shutil.copytree(models / "planted", models / ".planted.part")
    (models / ".planted.part" / "manifest.json").unlink()  # killed while it was written
    assert fsearch.open(copied).query("dark skin tone").as_dict() == before
    fsearch.open(copied).fit()
    assert [p.name for p in models.iterdir()] == ["planted"]


def test_what_deletes_a_fit_deletes_what_a_kill_left_of_it(copied: Path) -> None:
    """A fit of rows that meanwhile mean something else must not come back."""
    models = copied / "models"
    shutil.copytree(models / "planted", models / ".planted.part")
    shutil.copytree(models / "planted", models / ".planted.old")
    assert fsearch.open(copied).losses.remove("planted") == 320
    assert list(models.iterdir()) == []
    with pytest.raises(NotReadyError):
        fsearch.open(copied).query("dark skin tone", model="planted")
