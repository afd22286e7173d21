"""What the Ray engine costs beside one process with as many cores: files read, decoded, embedded and committed."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.scale.whole import Step
from PIL import Image

import fsearch

FEW, MANY, TURNS = 2_000, 10_000, 3
BASES, SIDE = 64, 224


def files(folder: str, count: str) -> dict[str, Any]:
    """JPEG files, each of bytes of its own."""
    rng, bases = np.random.default_rng(0), []
    for _ in range(BASES):
        data = io.BytesIO()
        coarse = Image.fromarray(rng.integers(0, 256, (14, 14, 3), np.uint8))
        coarse.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(data, "JPEG", quality=90)
        bases.append(data.getvalue())
    for i in range(int(count)):
        Path(folder, f"{i:06d}.jpg").write_bytes(bases[i % BASES] + i.to_bytes(8, "big"))
    return {"files": int(count)}


def run(folder: str, workspace: str, count: str, engine: Any) -> dict[str, Any]:
    """Index the first `count` files into a new workspace."""
    began = time.perf_counter()
    report = fsearch.open(workspace).index(fsearch.images(folder, limit=int(count)), engine=engine)
    assert report.embedded == int(count), report
    return {"took": time.perf_counter() - began}


def print_overhead(step: Step, work: Path) -> None:
    """The slope between FEW and MANY files is the throughput; what is left is the start. Medians over turns."""
    folder = work / "files"
    folder.mkdir()
    step("files", str(folder), str(MANY))
    rates: dict[str, list[float]] = {"local": [], "ray": []}
    starts: dict[str, list[float]] = {"local": [], "ray": []}
    for turn in range(TURNS):
        for engine in ("local", "ray") if turn % 2 else ("ray", "local"):
            few, many = (
                step("engine", str(folder), str(work / f"{engine}{turn}{count}"), str(count), engine)["took"]
                for count in (FEW, MANY)
            )
            rates[engine].append((MANY - FEW) / (many - few))
            starts[engine].append(few - FEW / rates[engine][-1])
    local, ray = (float(np.median(rates[e])) for e in ("local", "ray"))
    print(
        f"\nindexing {MANY:,} JPEG files of {SIDE} x {SIDE} with the demo encoder: one process {local:.0f} images/s, "
        f"Ray on the same cores {ray:.0f}, overhead {local / ray - 1:.0%}; Ray takes {np.median(starts['ray']):.0f} s "
        f"to start, one process {np.median(starts['local']):.0f} s",
        flush=True,
    )
