"""Each command in a process of its own, as a ratio to `python -c "import torch"` in the same run, and what it loads.

    python -m benchmarks.cold --repeats 5

Commands and the import take turns, so that both see the same machine. Two ratios are given: of wall time, which a busy
machine disturbs, and of processor time (user and system), which it disturbs less; with each, the least and largest of
the turns. The workspace is the demo's, or one of many made images with ViT-B-32 of random weights:

    python -m benchmarks.cold --images 1000000
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import machine

TORCH = [sys.executable, "-c", "import torch"]
CLI = [sys.executable, "-m", "fsearch.cli"]
SHOWN = 0.02  # parts of the whole that are listed


@dataclass(frozen=True)
class Cost:
    """Of one process: seconds on the clock and on the processor, and MB resident at most."""

    wall: float
    cpu: float
    megabytes: float


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workspace", type=Path, help="a demo's workspace that there is; its catalog gets new phrases")
    parser.add_argument("--images", type=int, help="of a made workspace, in place of the demo's")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = asked.workspace or Path(name, "demo" if asked.images is None else "w")
        if asked.workspace is None and asked.images is None:
            run([*CLI, "demo", f"{name}/portraits", "-w", str(root)])
        elif asked.workspace is None:
            os.environ |= {"FSEARCH_CONFIG": f"{name}/config", "FSEARCH_CACHE": f"{name}/cache"}
            filling = f"from benchmarks.scale.whole import fill; fill({name!r}, {asked.images})"
            run([sys.executable, "-c", filling])  # apart: what a process begins with counts as its memory
            run([*CLI, "trust", "-w", str(root)])
            run([*CLI, "fit", "--quiet", "-w", str(root)])
        measure(root, asked.repeats)


def measure(root: Path, repeats: int) -> None:
    place, seed = ["-w", str(root)], os.getpid()
    commands = {
        "--help": lambda i: ["--help"],
        "info": lambda i: ["info", *place],
        "sql": lambda i: ["sql", "SELECT 1", *place],
        "runs": lambda i: ["runs", *place],
        "query, phrase asked before": lambda i: ["query", "dark skin tone", *place],
        "query, new phrase": lambda i: ["query", f"dark skin and a hat, number {seed} {i}", *place],
    }
    run([*CLI, *commands["query, phrase asked before"](0)])
    bare: list[Cost] = []
    found: dict[str, list[Cost]] = {name: [] for name in commands}
    for i in range(repeats):
        bare.append(run(TORCH))
        for name, arguments in commands.items():
            found[name].append(run([*CLI, *arguments(i)]))
    print(f"cold: {root.name}, {repeats} turns ({machine()})")
    print(
        f"  python -c 'import torch': {summary([c.wall for c in bare])} s, processor {summary([c.cpu for c in bare])} s"
    )
    for name, costs in found.items():
        wall = [c.wall / b.wall for c, b in zip(costs, bare, strict=True)]
        cpu = [c.cpu / b.cpu for c, b in zip(costs, bare, strict=True)]
        own = own_megabytes([*CLI, *commands[name](repeats + 1)])
        most = max(c.megabytes for c in costs)
        print(f"  {name:<28} wall {summary(wall)}, processor {summary(cpu)}, {most:.0f} MB, {own:.0f} without files")
    for name, arguments in commands.items():
        print(f"  {name}: {', '.join(where_it_goes(arguments(repeats)))}")


def run(command: list[str]) -> Cost:
    """What one process costs."""
    began = time.perf_counter()
    pid = os.posix_spawn(
        command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    )
    _, status, used = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"{command} failed")
    return Cost(time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1000)


def own_megabytes(command: list[str]) -> float:
    """The most memory of one process that is not of a mapped file, looked at a hundred times a second."""
    most, process = 0, subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        found = re.search(r"^RssAnon:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text(), re.M)
        most = max(most, int(found[1]) if found else 0)
        time.sleep(0.01)
    return most / 1000


def summary(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def where_it_goes(arguments: list[str]) -> list[str]:
    """Shares of a process's time: the import of each package, without what it imports of others, and all else."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "fsearch.cli", *arguments], capture_output=True, text=True
    )
    total = time.perf_counter() - began
    own: Counter[str] = Counter()
    for line in done.stderr.splitlines():
        if line.startswith("import time:") and "cumulative" not in line:
            microseconds, _, name = line.removeprefix("import time:").split("|")
            own[name.strip().split(".")[0]] += int(microseconds)
    shares = {f"import {name}": us / 1e6 / total for name, us in own.most_common()}
    shares = {"the work, and the interpreter": 1 - sum(shares.values()), **shares}
    return [f"{name} {share:.0%}" for name, share in shares.items() if share >= SHOWN]


if __name__ == "__main__":
    main()
