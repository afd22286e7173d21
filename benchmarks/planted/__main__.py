"""make bench-planted: every setting, measured alike.

    python -m benchmarks.planted [--setting NAME,NAME] [--seeds 0:3] [--clip FOLDER] [--held-out] [--out FILE.json]

Development uses seeds below 1000. --held-out uses 1000 and above: for the reported table, when the method is frozen.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks.measure import machine
from benchmarks.planted import table
from benchmarks.planted.measures import Outcome, outcome, strata, summary
from benchmarks.planted.method import answered, ask, diagnose
from benchmarks.planted.rivals import RIVALS, SLOW, SLOW_FROM
from benchmarks.planted.settings import SETTINGS, Sources, chosen
from benchmarks.planted.stages import stage_scores
from benchmarks.planted.world import World

FIRST_HELD_OUT, HELD_OUT, DEVELOPMENT = 1000, "1000:1020", "0:3"


def main() -> None:
    args = _arguments()
    first, end = (int(v) for v in (args.seeds or (HELD_OUT if args.held_out else DEVELOPMENT)).split(":"))
    if args.held_out != (first >= FIRST_HELD_OUT) or (not args.held_out and end > FIRST_HELD_OUT):
        sys.exit(f"seeds from {FIRST_HELD_OUT} on are held out, and only those go with --held-out")
    sources = Sources(args.clip, args.cache, args.held_out)
    names = chosen(args.setting) if args.setting else [n for n in SETTINGS if args.clip or SETTINGS[n].family != "clip"]
    outcomes: dict[str, list[Outcome]] = {}
    for name in names:
        for seed in range(first, end):
            world = SETTINGS[name].make(sources, seed)
            outcomes.setdefault(name, []).append(measure(world, args.given_groups, args.bridges))
            print(f"{name}, seed {seed}: {table.line(summary(outcomes[name][-1:]))}", file=sys.stderr, flush=True)
        if args.out:
            args.out.write_text(json.dumps(as_json(outcomes)))
    print(f"planted worlds, seeds {first} to {end - 1}{', held out' if args.held_out else ''}; {machine()}\n")
    table.print_tables(outcomes)


def measure(world: World, given_groups: bool = False, bridges: bool = False) -> Outcome:
    """Fit and ask once, and rank the phrases by every rival too; by every bridge where they are wanted."""
    began = time.process_time()
    diagnosis, bagged = diagnose(world, given_groups)
    found = answered(ask(world, diagnosis), diagnosis.report.signal, time.process_time() - began)
    scorers = {"fsearch, by the lift alone": found.lift_alone}
    scorers |= {n: score(world) for n, score in RIVALS.items() if n not in SLOW or len(world.losses) < SLOW_FROM}
    return outcome(world, found, scorers | (stage_scores(world, diagnosis, bagged) if bridges else {}))


def as_json(outcomes: dict[str, list[Outcome]]) -> dict[str, object]:
    """Figures of each setting, its strata, and every answer."""
    return {
        name: {"summary": summary(o), "strata": strata(o), "worlds": [one.as_dict() for one in o]}
        for name, o in outcomes.items()
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setting", help=f"names or families, with commas between: {', '.join(SETTINGS)}")
    parser.add_argument("--seeds", help=f"first:end; {DEVELOPMENT}, or {HELD_OUT} with --held-out")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--clip", type=Path, help="folder of the real CLIP sets; without it they are left out")
    parser.add_argument("--cache", type=Path, default=Path("build/planted"), help="folder of rendered pictures")
    parser.add_argument("--given-groups", action="store_true", help="name the clips instead of finding repeated images")
    parser.add_argument("--bridges", action="store_true", help="score every bridge and stage too (needs more time)")
    parser.add_argument("--out", type=Path, help="JSON of every figure and answer")
    return parser.parse_args()


if __name__ == "__main__":
    main()
