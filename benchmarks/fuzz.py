"""Hostile files: each is read, or refused in one line, in time, in memory, and writes nothing.

    python -m benchmarks.fuzz --cases 200000
    python -m benchmarks.fuzz --only archives,web --cases 5000 --seed 7

Files are mutated from good ones: bytes flipped, cut, repeated, swapped, and words put in that parsers stumble over.
Cases are run by the hundred in processes of their own, so that what ends a process is counted and named, too. A seed
and a number name a case. `tests/test_fuzz.py` runs a small share of the same.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.fuzz_targets import TARGETS, Target

from fsearch.indexer.errors import FsearchError
from fsearch.indexer.sources.decode import RejectedImageError
from fsearch.indexer.sources.web_address import WebError

SECONDS, HANGS, GIB = 10, 300, 2**30
AT_ONCE = 100  # cases in one process
# what parsers stumble over: broken encodings, quotes, odd numbers, deep nesting, paths, YAML's tags, sizes in headers
WORDS = [
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b'"', b'""', b"'", b"\\", b"\r", b"\n", b"\n\n"),
    *(b",", b",,,", b"nan", b"NaN", b"inf", b"-1e999", b"1" * 400, b"1" * 5000, b"-0", b"true", b"null", b"{}", b"[]"),
    *(b"[" * 2000, b'{"a":' * 500, b"../", b"..\\", b"/etc/passwd", b"file:///", b"http://", b"ftp://x/y", b"::"),
    *(b" ", b"%s", b"{0}", b"*a", b"&a", b"!!python/object:os.system", b"<<: *x", b"---\n", b"- ", b": ", b"image"),
    *(b"loss", b"text", b"\xff\xd9", b"\xff\xd8", b"IHDR", b"IEND", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", bytes(4)),
    *(b"C:\\", b"\t", b"PAR1", b"ustar", b"PK\x01\x02", b"\x1f\x8b", b"chunked", b"\r\n\r\n", b"9" * 20, b"0000-00-00"),
]


def mutate(data: bytes, dice: random.Random) -> bytes:
    """A file that is a few steps away from a good one."""
    out = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 3, 8))):
        at = dice.randrange(len(out) + 1)
        step = dice.randrange(6)
        if step == 0 and out:
            out[at % len(out)] = dice.randrange(256)
        elif step == 1:
            out[at:at] = dice.choice(WORDS)
        elif step == 2:
            del out[at : at + dice.choice((1, 2, 10, 100, 10_000))]
        elif step == 3:
            out[at:at] = out[at : at + dice.randrange(200)] * dice.choice((1, 2, 50))
        elif step == 4 and out:
            out[at % len(out)] ^= 1 << dice.randrange(8)
        else:
            out[at : at + 4] = dice.choice(WORDS)
    return bytes(out)


@contextmanager
def within_limits() -> Iterator[None]:
    """At most SECONDS of this process's own time, and HANGS in all: a machine that is busy with others is no fault."""

    def late(number: int, _: Any) -> None:
        raise AssertionError("it hung" if number == signal.SIGALRM else f"it took longer than {SECONDS} s")

    before = {number: signal.signal(number, late) for number in (signal.SIGVTALRM, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, HANGS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def run_case(target: Target, goods: list[tuple[str, bytes]], seed: int, number: int) -> None:
    """One case. Raises whatever it should not: an exception that is no line of ours, or AssertionError."""
    dice = random.Random(f"{target.name} {seed} {number}")
    name, good = dice.choice(goods)
    path = Path(name)
    before = path.read_bytes() if path.exists() else None
    path.write_bytes(mutate(good, dice))
    try:
        with within_limits():
            target.use(path)
    except (FsearchError, RejectedImageError, WebError) as error:
        if not str(error) or "\n" in str(error):
            raise AssertionError(f"an error that is not one line: {error}") from error
    finally:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(before)


def run_target(target: Target, cases: int, seed: int = 0, first: int = 0) -> None:
    """So many cases, in this process and in the current folder, which must be empty. Raises as `run_case`."""
    target.prepare()
    goods = target.goods()
    there = {p.relative_to(".").as_posix() for p in Path().rglob("*")} | {name for name, _ in goods}
    began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(first, first + cases):
        try:
            run_case(target, goods, seed, number)
        except BaseException as error:
            error.add_note(f"{target.name}, seed {seed}, case {number}")
            raise
    left = {p.relative_to(".").as_posix() for p in Path().rglob("*")} - there
    assert not left, f"{target.name}, cases {first} to {first + cases}: written: {sorted(left)[:3]}"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - began) * 1024
    assert grown < 2 * GIB, f"{target.name}, cases {first} to {first + cases}: {grown / GIB:.1f} GiB"


@dataclass(frozen=True)
class Fault:
    """What should not have happened, and the case."""

    case: str
    what: str


def in_child(target: Target, cases: int, seed: int, first: int) -> Fault | None:
    """The cases in a process of its own, in a folder of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        folder = tempfile.mkdtemp()
        os.chdir(folder)
        said = ""
        try:
            run_target(target, cases, seed, first)
        except BaseException as error:
            said = "".join(traceback.format_exception(error)[-6:])
        os.chdir("/")
        shutil.rmtree(folder, ignore_errors=True)
        os.write(writer, said.encode()[-60_000:])
        os._exit(1 if said else 0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode("utf-8", "replace")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return Fault(
            f"{target.name}, seed {seed}, cases {first} to {first + cases}", signal.strsignal(os.WTERMSIG(status)) or ""
        )
    return Fault(f"{target.name}, seed {seed}", said) if said else None


def main() -> None:
    """Run the cases, spread evenly over the targets; print every fault and the counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=200_000)
    parser.add_argument("--only", default="", help="targets, with commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="end after so many")
    options = parser.parse_args()
    targets = [t for t in TARGETS if not options.only or t.name in options.only.split(",")]
    began, done, faults = time.monotonic(), Counter[str](), 0
    for first in range(0, options.cases // len(targets), AT_ONCE):
        for target in targets:
            if time.monotonic() - began > 60 * options.minutes:
                break
            fault = in_child(target, AT_ONCE, options.seed, first)
            done[target.name] += AT_ONCE
            if fault is not None:
                faults += 1
                print(f"FAULT {fault.case}: {fault.what}", flush=True)
    print(f"fuzz: {done.total():,} cases in {time.monotonic() - began:.0f} s, {faults} faults")
    for name, count in done.items():
        print(f"  {count:7,d}  {name}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
