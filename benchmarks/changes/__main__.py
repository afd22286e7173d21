"""Is what got worse called worse? False alarms, power and coverage of `fsearch compare`, beside an unpaired analysis.

    python -m benchmarks.changes [--source portraits,clip-caltech] [--effects 0.1,0.2,0.3,0.5] [--shares 0.01,0.1,0.3]
                                 [--seeds 0:2] [--clip FOLDER] [--simpson] [--discover] [--out FILE.json]

A phrase is worse where images that truly show it lose half of what matters (0.1 standard deviations) more, or more;
below 0.05 it is not, and calling it worse is false; one between is neither. The unpaired analysis has the same images,
weights, doubt and rules, but takes both models' losses as of different images. The oracle is told which images show a
phrase, and tests the mean of their paired changes by t: what is left of power is the price of having to find them.
With --discover nobody lists a phrase: what got worse is found where, of as many images as it has, those that fit an
entry best agree with it (Cohen's kappa of a half or more), and an entry called worse is false by the same measure.
Development uses seeds below 1000.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

from benchmarks.changes import found as unlisted
from benchmarks.changes.measured import Measured, Summary, measure, summary
from benchmarks.changes.worlds import Change, portraits, real_clip
from benchmarks.measure import machine
from benchmarks.planted.method import diagnose
from benchmarks.planted.pool import make_pool

from fsearch.diagnoser.diagnosis import Diagnosis

POOL, DEV, HELD_OUT, FIRST_HELD_OUT = 6000, 910, 1010, 1000
COLUMNS = {
    "false among `worse`": "false",
    "power": "power",
    "of an oracle": "oracle_power",
    "unpaired: false": "unpaired_false",
    "unpaired: power": "unpaired_power",
    "wrong `same`": "wrong_same",
    "coverage of 90%": "coverage",
}


def line(source: str, share: float | str, effect: float | str, s: Summary) -> str:
    """One row of the table."""
    cells = ["" if s[name] != s[name] else f"{s[name]:.2f}" for name in COLUMNS.values()]
    share, effect = (f"{v:g}" if isinstance(v, float) else v for v in (share, effect))
    better = f"{s['wrong_better']:.0f} of {s['better']:.0f}"
    return f"| {source} | {share} | {effect} | {s['worse']:.1f} | {' | '.join(cells)} | {better} |"


def main() -> None:
    asked = _arguments()
    first, end = (int(v) for v in asked.seeds.split(":"))
    if first < FIRST_HELD_OUT < end:
        sys.exit(f"seeds from {FIRST_HELD_OUT} on are held out: give these or those")
    done = json.loads(asked.out.read_text()) if asked.out and asked.out.exists() else {}
    wanted: dict[tuple[str, float, float], list[str]] = {}
    for key, row, world in _worlds(asked, range(first, end)):
        if key not in done:
            if asked.discover:
                done[key] = asdict(unlisted.measure(*world(), asked.clip))
                print(f"{key}: {done[key]}", file=sys.stderr, flush=True)
            else:
                done[key] = measure(*world()).as_dict()
                print(f"{key}: {line(*row, summary([Measured.of(done[key])]))}", file=sys.stderr, flush=True)
            if asked.out:
                asked.out.write_text(json.dumps(done))
        wanted.setdefault(row, []).append(key)
    print(f"planted changes, seeds {first} to {end - 1}{', simpson' if asked.simpson else ''}; {machine()}\n")
    if asked.discover:
        return _print_found({row: [unlisted.Found(**done[key]) for key in keys] for row, keys in wanted.items()})
    print(f"| source | share | effect, sd | worse phrases | {' | '.join(COLUMNS)} | wrong `better` |")
    print(f"|---|{'---:|' * (4 + len(COLUMNS))}")
    rows = {row: [Measured.of(done[key]) for key in keys] for row, keys in wanted.items()}
    for row, found in rows.items():
        print(line(*row, summary(found)))
    for source in dict.fromkeys(source for source, _, _ in rows):
        print(
            line(
                f"{source}, all", "", "", summary([m for row, found in rows.items() if row[0] == source for m in found])
            )
        )
    total = summary([m for found in rows.values() for m in found])
    print(line("all", "", "", total))
    print(f"\n{total['worlds']} worlds; the whole is `better` in {total['whole_better']:.0%}; of the phrases called")
    print(f"`worse` {total['simpson']:.0%} are shown to go against it")


def _print_found(rows: dict[Row, list[unlisted.Found]]) -> None:
    print(f"| source | share | effect, sd | {' | '.join(unlisted.COLUMNS)} |")
    print(f"|---|{'---:|' * (2 + len(unlisted.COLUMNS))}")
    for row, found in rows.items():
        print(unlisted.line(*row, found))
    print(unlisted.line("all", "", "", [f for found in rows.values() for f in found]))


Row = tuple[str, float, float]  # source, share, effect
Make = Callable[[], tuple[Change, Diagnosis]]


def _worlds(asked: argparse.Namespace, seeds: range) -> Iterator[tuple[str, Row, Make]]:
    """Each world's name, its row of the table, and what makes it with the fit of the first model."""
    pool = None
    fits: dict[str, Diagnosis] = {}

    def made(source: str, seed: int, share: float, effect: float) -> tuple[Change, Diagnosis]:
        nonlocal pool
        if source == "portraits":
            pool = pool or make_pool(HELD_OUT if seed >= FIRST_HELD_OUT else DEV, POOL, asked.cache)
            world = portraits(pool, seed, share, effect, asked.simpson)
        else:
            world = real_clip(asked.clip, source, seed, share, effect, asked.simpson)
        name = f"{source} {seed} {share:g}"  # whatever the effect, the losses before are the same
        if name not in fits:
            fits.clear()
            fits[name] = diagnose(world.world)[0]
        return world, fits[name]

    for source in asked.source.split(","):
        if source != "portraits" and asked.clip is None:
            sys.exit("name the folder of the real CLIP sets: --clip FOLDER")
        for share in map(float, asked.shares.split(",")):
            for seed in seeds:
                for effect in map(float, asked.effects.split(",")):
                    kind = " simpson" * asked.simpson + " discover" * asked.discover
                    key = f"{source} {share:g} {effect:g} {seed}{kind}"
                    yield key, (source, share, effect), partial(made, source, seed, share, effect)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="portraits", help="portraits, clip-caltech, clip-food, clip-mixed")
    parser.add_argument("--effects", default="0.1,0.2,0.3,0.5", help="of the losses' standard deviations; 0 for none")
    parser.add_argument("--shares", default="0.01,0.03,0.1,0.3", help="of the images that get worse")
    parser.add_argument("--seeds", default="0:2", help="first:end")
    parser.add_argument("--clip", type=Path, help="folder of the real CLIP sets")
    parser.add_argument("--cache", type=Path, default=Path("build/planted"), help="folder of rendered pictures")
    parser.add_argument("--simpson", action="store_true", help="everything else gets better")
    parser.add_argument("--discover", action="store_true", help="what got worse is on no list")
    parser.add_argument("--out", type=Path, help="JSON of every world; a run that was stopped continues from it")
    return parser.parse_args()


if __name__ == "__main__":
    main()
