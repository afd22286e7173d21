"""What one index run and one query go through: files of the package, hops between them, openings of the catalog.

Both are traced as a user's first ones, in one process, on portraits with the demo encoder. A file counts where one of
its functions is called, a hop is a pair of files of which one calls the other, and a search is a call of FAISS's, or of
the exact search that stands in for it among few images.
"""

from __future__ import annotations

import csv
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import duckdb
import numpy as np

import fsearch
from fsearch.data.portraits import draw, sample

PACKAGE = Path(fsearch.__file__).resolve().parent
ROOMS = ("indexer", "diagnoser", "search")
IMAGES = 120
_EXACT = ("indexer/vector_index/exact_search.py", "search")


@dataclass
class Trace:
    """What was met while `watching`."""

    files: set[str] = field(default_factory=set)
    hops: set[tuple[str, str]] = field(default_factory=set)
    searches: int = 0
    openings: list[str] = field(default_factory=list)

    def called(self, frame: FrameType, event: str, _: Any) -> None:
        """Take note of one call; for `sys.setprofile`."""
        if event != "call" or frame.f_code.co_name == "<module>":
            return
        self.searches += frame.f_code.co_name == "replacement_search"  # FAISS's own Python wrapper
        here = _room(frame.f_code.co_filename)
        if here is None:
            return
        self.searches += (here, frame.f_code.co_name) == _EXACT
        self.files.add(here)
        caller = frame.f_back  # what the standard library calls for us, we called
        while (
            caller is not None and _room(caller.f_code.co_filename) is None
        ):  # what the standard library calls, we called
            caller = caller.f_back
        there = _room(caller.f_code.co_filename) if caller is not None else None
        if there is not None and there != here:
            self.hops.add((there, here))


@cache
def _room(file: str) -> str | None:
    """The file inside the package, whose rooms alone count."""
    path = Path(file).resolve()
    if not path.is_relative_to(PACKAGE):
        return None
    inside = path.relative_to(PACKAGE)
    return str(inside) if inside.parts[0] in ROOMS else None


@contextmanager
def openings_counted() -> Iterator[list[str]]:
    """The openings of a catalog from now on: "create", "read" or "write"."""
    found: list[str] = []
    connect = duckdb.connect

    def counted(database: Any = ":memory:", read_only: bool = False, **options: Any) -> Any:
        name = Path(str(database)).name
        if name in ("catalog.duckdb", "catalog.part"):
            found.append("create" if name == "catalog.part" else "read" if read_only else "write")
        return connect(database, read_only=read_only, **options)

    duckdb.connect = counted
    try:
        yield found
    finally:
        duckdb.connect = connect


def watching(work: Callable[[], object]) -> Trace:
    """Run `work`; what it went through, in every thread that it starts."""
    trace = Trace()
    with openings_counted() as trace.openings:
        threading.setprofile(trace.called)
        sys.setprofile(trace.called)
        try:
            work()
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]
    return trace


def made_portraits(root: Path, count: int = IMAGES) -> tuple[Path, Path]:
    """A folder of portraits, and losses that are higher on dark skin."""
    folder, losses = root / "images", root / "losses.csv"
    folder.mkdir()
    rng = np.random.default_rng(3)
    with losses.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["image", "loss"])
        for i, portrait in enumerate(sample(count, 5)):
            draw(portrait).save(folder / f"{i:04d}.png")
            out.writerow([f"{i:04d}.png", f"{rng.gamma(2.0, 0.7 if portrait.skin_tone >= 7 else 0.1):.6f}"])
    return folder, losses


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, losses = made_portraits(Path(name))
        root = Path(name) / "w"
        index = watching(lambda: fsearch.open(root).index(folder, losses))
        fsearch.open(root).fit()
        ws = fsearch.open(root)
        query = watching(lambda: ws.query("dark skin tone"))
        warm = watching(lambda: ws.query("a hat"))
    loose = [p for p in (PACKAGE / "indexer").glob("*.py") if p.name != "__init__.py"]
    print(f"trace: {IMAGES} portraits with losses, the demo encoder, local folder")
    print("                files  hops  catalog openings                  index searches")
    for what, trace in (("index run", index), ("first query", query), ("next query", warm)):
        counts = Counter(trace.openings)
        opened = f"{len(trace.openings)} ({', '.join(f'{n} to {kind}' for kind, n in counts.items())})"
        print(f"  {what:<12}  {len(trace.files):5d}  {len(trace.hops):4d}  {opened:<33}  {trace.searches:5d}")
    print(f"  loose files in indexer/: {len(loose)}")


if __name__ == "__main__":
    main()
