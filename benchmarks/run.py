"""Every benchmark, one after the other: `make bench`. Each runs in a process of its own."""

from __future__ import annotations

import subprocess
import sys

NAMES = ("encoder", "cold", "demo", "indexing", "query", "ranking", "members", "evidence")


def main() -> None:
    for name in NAMES:
        extra = sys.argv[1:] if name == "indexing" else []
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *extra], check=True)


if __name__ == "__main__":
    main()
