"""Every benchmark, one after the other: `make bench`. Each runs in a process of its own."""

from __future__ import annotations

import subprocess
import sys

COMMANDS = (
    *(["encoder"], ["cold"], ["cold", "--images", "1000000"], ["demo"], ["indexing"], ["query"]),
    *(["ranking", "--phrases", "1000", "--images", "100000", "--turns", "1"], ["members"], ["evidence"]),
)


def main() -> None:
    for name, *options in COMMANDS:
        extra = sys.argv[1:] if name == "indexing" else []
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options, *extra], check=True)


if __name__ == "__main__":
    main()
