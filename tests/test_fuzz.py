"""A small share of the hostile files of `benchmarks/fuzz.py`, which runs 200,000 of them; and fits, mutated."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from benchmarks.fuzz import in_child, mutate, run_case, run_target, within_limits
from benchmarks.fuzz_targets import TARGETS, Target

from fsearch.diagnoser import artifact as fits
from fsearch.indexer.errors import FsearchError
from fsearch.indexer.storage.layout import Layout

CASES = 150
KEPT: list[bytes] = []


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_hostile_files_are_read_or_refused_in_one_line(target: Target) -> None:
    target.prepare()
    for name, good in target.goods():  # what they are mutated from is read
        before = Path(name).read_bytes() if Path(name).exists() else None
        Path(name).write_bytes(good)
        if name not in ("redirect", "m.csv", "m.jsonl"):  # it leads to itself; their images are not there
            target.use(Path(name))
        if before is None:
            Path(name).unlink()
    for path in Path().iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    run_target(target, CASES)


@pytest.mark.slow
def test_manifests_of_ensembles(fitted: Path) -> None:
    root = Path(shutil.copytree(fitted, Path("w").absolute()))
    folder = root / "models" / "planted"
    good = (folder / "manifest.json").read_bytes()
    arrays = {p.name: p.read_bytes() for p in folder.glob("*.npy") if p.stat().st_size < 10_000}

    def use(path: Path) -> None:
        target = folder / path.name
        before = target.read_bytes()
        target.write_bytes(path.read_bytes())
        try:
            fits.load(Layout(root), "planted")
        finally:
            target.write_bytes(before)

    run_target(Target("fits", lambda: [("manifest.json", good), *arrays.items()], use), 1000)


def write(_: Path) -> None:
    Path("elsewhere").write_text("x")


def end(_: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class TwoLinesError(FsearchError):
    def __str__(self) -> str:
        return "two\nlines"


def several_lines(_: Path) -> None:
    raise TwoLinesError("two lines")


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (write, "written: ['elsewhere']"),
        (end, "Killed"),
        (several_lines, "an error that is not one line"),
        (lambda _: 1 / 0, "ZeroDivisionError"),
        (lambda _: KEPT.append(bytes(range(256)) * 2**20), "GiB"),
    ],
)
def test_the_harness_notices_what_must_not_be(
    use: Callable[[Path], Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.fuzz.GIB", 2**24)
    fault = in_child(Target("odd", lambda: [("a.txt", b"good")], use), 2, 0, 0)
    assert fault is not None
    assert said in fault.what
    assert "odd, seed 0" in fault.case


def test_a_case_is_the_same_each_time() -> None:
    seen: list[bytes] = []
    target = Target("same", lambda: [("a.txt", b"good" * 100)], lambda path: seen.append(path.read_bytes()))
    for number in (3, 4, 3):
        run_case(target, target.goods(), 7, number)
    assert seen[0] == seen[2] != seen[1]
    assert mutate(b"good", random.Random(1)) == mutate(b"good", random.Random(1))


def never() -> None:
    while True:
        pass


def test_a_case_that_does_not_end_is_ended() -> None:
    with pytest.raises(AssertionError, match="it took longer than 10 s"), within_limits():
        never()
