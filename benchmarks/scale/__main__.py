"""How cost grows: python -m benchmarks.scale [--rows 100000 1000000 10000000] [--autofaiss PYTHON].

Every step is a process of its own, so its peak RSS is its own. `build` is what `fsearch index` does once vectors are on
disk: train, add, measure, save. `ask` uses queries that the build did not see, half images and half phrases; the true
neighbours come from a scan of every vector. Ours and bare FAISS (the same index in memory, the same lists looked at, no
filter, no second ranking) take turns.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.measure import OwnMemory, machine
from benchmarks.scale import autofaiss_rival, engines, index, whole

AUTOFAISS_FROM, AUTOFAISS_TO = 100_001, 1_000_000  # exact ones have no rival; larger ones would take it hours
COARSE = {1_000_000: ("0.6", "0.15"), 10_000_000: ("5.5",)}  # by rows, the GiB with which coarser codes are built too
STEPS = {
    "fill": index.fill,
    "build": index.build,
    "ask": index.ask,
    "memory": whole.memory,
    "fill-workspace": whole.fill,
    "whole": whole.stages,
    "files": engines.files,
    "engine": engines.run,
}


def step(name: str, *args: str) -> dict[str, Any]:
    """Run one step in a process of its own; what it measured, its peak RSS in GiB and its seconds."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale", "--step", name, *args],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | {"seconds": time.perf_counter() - began}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--only", choices=["index", "memory", "whole", "engines"])
    parser.add_argument("--autofaiss", help="Python of an environment with autofaiss, which needs numpy 1")
    parser.add_argument("--work", help="folder for the vectors (10 GB for ten million); a temporary one by default")
    parser.add_argument("--step", nargs="+")
    options = parser.parse_args()
    if options.step:
        name, *args = options.step
        own = OwnMemory()
        found = STEPS[name](*args)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps(found | {"peak_gib": peak, "own_gib": own.peak_gib}))
        return
    print(f"scale: made vectors, 512 dimensions, float16 shards on disk ({machine()})", flush=True)
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        if options.only in (None, "index"):
            grown = [_index(Path(work, str(rows)), rows, options.autofaiss) for rows in options.rows]
            _growth(options.rows, grown)
        if options.only in (None, "memory"):
            whole.print_memory(step, Path(work))
        if options.only in (None, "engines"):
            engines.print_overhead(step, Path(work))
        if options.only in (None, "whole"):
            whole.print_stages(step, Path(work))


def _index(work: Path, rows: int, autofaiss: str | None) -> dict[str, Any]:
    """Build and ask one size, print its lines, and throw its vectors away."""
    with tempfile.TemporaryDirectory(dir=work.parent) as folder:
        filled = step("fill", folder, str(rows))
        print(f"\n{rows:,} vectors ({filled['seconds']:.0f} s to make)", flush=True)
        built, asked = _built_and_asked(folder)
        if autofaiss and AUTOFAISS_FROM <= rows <= AUTOFAISS_TO:
            rival = autofaiss_rival.line(autofaiss, Path(folder), built, rows, asked["deep_p50_ms"])
            print(f"  {rival}", flush=True)
        for gib in COARSE.get(rows, ()):
            print(f"  with --memory-gib {gib}:", flush=True)
            _built_and_asked(folder, gib)
        return built | asked


def _built_and_asked(folder: str, *memory_gib: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Build an index and ask it, printing what came out."""
    built = step("build", folder, *memory_gib)
    print(f"  {built['index']}")
    print(
        f"  build {built['build_s']:.0f} s, peak RSS {built['peak_gib']:.2f} GiB (its own, without mapped shards: "
        f"{built['own_gib']:.2f}), {built['bytes_per_vector']:.0f} bytes a vector",
        flush=True,
    )
    asked = step("ask", folder)
    for line in index.lines(asked):
        print(f"  {line}", flush=True)
    return built, asked


def _growth(sizes: list[int], grown: list[dict[str, Any]]) -> None:
    for (small, a), (large, b) in pairwise(zip(sizes, grown, strict=True)):
        print(
            f"\nfrom {small:,} to {large:,}: build x{b['build_s'] / a['build_s']:.1f}, "
            f"query x{b['ours_p50_ms'] / a['ours_p50_ms']:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
