"""What a calibration is worth on the labelled real CLIP sets in FOLDER.

python -m benchmarks.calibration FOLDER                 concepts that are absent; slopes (a minute or two)
python -m benchmarks.calibration FOLDER --worlds 0:2    coverage and power in planted worlds of these seeds
python -m benchmarks.calibration FOLDER --ship          write data/calibrations.json
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.calibration import slopes, unseen, worlds
from benchmarks.calibration.ship import ship
from benchmarks.measure import machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of the labelled real CLIP sets")
    parser.add_argument("--worlds", metavar="FIRST:END", help="seeds of planted worlds")
    parser.add_argument("--ship", action="store_true", help="write what the sets teach into data/calibrations.json")
    args = parser.parse_args()
    print(f"calibration with labels; {machine()}\n")
    if args.worlds:
        first, end = (int(v) for v in args.worlds.split(":"))
        worlds.print_table(args.folder, range(first, end))
        return
    unseen.print_table(args.folder)
    slopes.print_table(args.folder)
    if args.ship:
        ship(args.folder)


if __name__ == "__main__":
    main()
