"""Is what got worse called worse? False alarms, power and coverage of `fsearch compare`, beside an unpaired analysis.

    python -m benchmarks.changes [--source portraits,clip-caltech] [--effects 0.1,0.2,0.3,0.5] [--shares 0.01,0.1,0.3]
                                 [--seeds 0:2] [--clip FOLDER] [--simpson] [--out FILE.json]

A phrase is worse where images that truly show it lose half of what matters (0.1 standard deviations) more, or more;
below 0.05 it is not, and calling it worse is false; one between is neither. The unpaired analysis has the same images,
weights, doubt and rules, but takes both models' losses as of different images. Development uses seeds below 1000.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats
from benchmarks.changes.worlds import Change, portraits, real_clip
from benchmarks.measure import machine
from benchmarks.planted.method import diagnose
from benchmarks.planted.pool import make_pool
from benchmarks.planted.world import ENOUGH

from fsearch.diagnoser.change import changes
from fsearch.diagnoser.change_verdict import ChangeInputs, decide_change
from fsearch.diagnoser.changes import find_changes
from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.discoveries import concept_q_values
from fsearch.diagnoser.finding import Phrase
from fsearch.diagnoser.lift import Scale, interval
from fsearch.diagnoser.pairing import Side, pair
from fsearch.diagnoser.shared_evidence import concepts

HARMLESS, WORSE = 0.05, 0.1  # standard deviations
POOL, DEV, HELD_OUT, FIRST_HELD_OUT = 6000, 910, 1010, 1000


@dataclass(frozen=True)
class Measured:
    """One world with its answers, paired and unpaired; arrays are (q,). Changes in standard deviations before."""

    truth: np.ndarray
    present: np.ndarray
    words: np.ndarray
    unpaired: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    whole: str
    simpson: np.ndarray

    @classmethod
    def of(cls, values: dict[str, Any]) -> Measured:
        """From what `as_dict` gave."""
        return cls(**{n: v if n == "whole" else np.array(v) for n, v in values.items()})

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in values.items()}

    @property
    def worse(self) -> np.ndarray:
        """(q,) bool: truly worse, by half of what matters or more."""
        return np.asarray(self.present & (self.truth >= WORSE - 1e-9))


def measure(made: Change, first: Diagnosis, permutations: int = 2000) -> Measured:
    """Compare two models as the product does, and once more as if their images were not the same.

    `first` is the fit of the model before.
    """
    second, _ = diagnose(made.second)
    paired = pair(Side.of(first, None), Side.of(second, None), first)
    phrases = [Phrase(text) for text in made.world.phrases]
    found = find_changes(first, paired, made.world.texts, phrases, permutations=permutations, seed=made.world.seed)
    seen = found.changes
    retrieved = first.retriever.find(made.world.texts)
    sides = [
        changes(retrieved, np.zeros_like(losses), losses, paired.groups, Scale(1.0, 0.0), 100, 0)
        for losses in (paired.before, paired.after)
    ]
    scale = Scale(float(paired.change.std()), paired.between)
    both = changes(retrieved, paired.before, paired.after, paired.groups, scale, 100, 0)
    noise = np.sqrt(sides[0].noise ** 2 + sides[1].noise ** 2)
    error = np.sqrt(noise**2 + both.error**2 - both.noise**2)
    p, judged = 2 * scipy.stats.norm.sf(np.abs(both.value) / noise), np.array([c.verdict != "unseen" for c in seen])
    votes = np.arange(len(p))
    votes[judged] = concepts(retrieved[np.flatnonzero(judged).tolist()])
    q = concept_q_values(p, votes, judged)
    words = [_word(c, both.value[i], error[i], q[i]) for i, c in enumerate(seen)]
    spread = float(made.world.losses.std())
    return Measured(
        truth=made.truth / spread,
        present=made.world.units >= ENOUGH,
        words=np.array([str(c.verdict) for c in seen]),
        unpaired=np.array(words),
        lo=np.array([c.lo for c in seen]) / spread,
        hi=np.array([c.hi for c in seen]) / spread,
        whole=str(found.whole.verdict),
        simpson=np.array([c.simpson for c in seen]),
    )


def _word(paired: object, value: float, error: float, q: float) -> str:
    """The verdict on a change that is known less surely, by the same rules."""
    lo, hi = interval(value, error)
    told = ("perhaps" in paired.reason, "images like it" in paired.reason)  # type: ignore[attr-defined]
    if paired.verdict == "unseen":  # type: ignore[attr-defined]
        return "unseen"
    inputs = ChangeInputs(
        change=value,
        lo=lo,
        hi=hi,
        q_value=q,
        min_effect=paired.min_effect,  # type: ignore[attr-defined]
        n_effective=paired.n_effective,  # type: ignore[attr-defined]
        shown=paired.shown,  # type: ignore[attr-defined]
        doubtful=told[0],
        uncertain=told[0],
    )
    return str(decide_change(inputs)[0])


def summary(found: list[Measured]) -> dict[str, float]:
    """The figures of several worlds: phrases of all are pooled."""

    def share(part: list[np.ndarray], of: list[np.ndarray]) -> float:
        p, o = np.concatenate(part), np.concatenate(of)
        return float((p & o).sum() / o.sum()) if o.any() else float("nan")

    called = [m.words == "worse" for m in found]
    harmless = [m.present & (m.truth < HARMLESS) for m in found]
    judged = [m.present & (m.words != "unseen") for m in found]
    return {
        "worlds": len(found),
        "worse": sum(int(m.worse.sum()) for m in found) / len(found),
        "called": sum(int(c.sum()) for c in called) / len(found),
        "false": share(harmless, called),
        "power": share(called, [m.worse for m in found]),
        "unpaired_false": share(harmless, [m.unpaired == "worse" for m in found]),
        "unpaired_power": share([m.unpaired == "worse" for m in found], [m.worse for m in found]),
        "wrong_same": share([m.words == "same" for m in found], [m.present & (m.truth >= 0.2) for m in found]),
        "wrong_better": share([m.truth > -HARMLESS for m in found], [m.present & (m.words == "better") for m in found]),
        "coverage": share([(m.lo <= m.truth) & (m.truth <= m.hi) for m in found], judged),
        "whole_better": float(np.mean([m.whole == "better" for m in found])),
        "simpson": share([m.simpson for m in found], called),
    }


HEAD = (
    "| source | share | effect, sd | worse phrases | false among `worse` | power | unpaired: false | power | "
    "wrong `same` | wrong `better` | coverage of 90% |"
)


def line(source: str, share: float | str, effect: float | str, s: dict[str, float]) -> str:
    """One row of the table."""
    names = ("false", "power", "unpaired_false", "unpaired_power", "wrong_same", "wrong_better", "coverage")
    cells = ["" if np.isnan(s[n]) else f"{s[n]:.2f}" for n in names]
    share, effect = (f"{v:g}" if isinstance(v, float) else v for v in (share, effect))
    return f"| {source} | {share} | {effect} | {s['worse']:.1f} | {' | '.join(cells)} |"


def main() -> None:
    asked = _arguments()
    first, end = (int(v) for v in asked.seeds.split(":"))
    if first < FIRST_HELD_OUT < end:
        sys.exit(f"seeds from {FIRST_HELD_OUT} on are held out: give these or those")
    done = json.loads(asked.out.read_text()) if asked.out and asked.out.exists() else {}
    wanted: dict[tuple[str, float, float], list[str]] = {}
    for key, row, world in _worlds(asked, range(first, end)):
        if key not in done:
            done[key] = measure(*world()).as_dict()
            print(f"{key}: {line(*row, summary([Measured.of(done[key])]))}", file=sys.stderr, flush=True)
            if asked.out:
                asked.out.write_text(json.dumps(done))
        wanted.setdefault(row, []).append(key)
    print(f"planted changes, seeds {first} to {end - 1}{', simpson' if asked.simpson else ''}; {machine()}\n\n{HEAD}")
    print(f"|---|---:|---:|{'---:|' * 8}")
    rows = {row: [Measured.of(done[key]) for key in keys] for row, keys in wanted.items()}
    for row, found in rows.items():
        print(line(*row, summary(found)))
    total = summary([m for found in rows.values() for m in found])
    print(line("all", "", "", total))
    print(f"\n{total['worlds']} worlds; the whole is `better` in {total['whole_better']:.0%}; of the phrases called")
    print(f"`worse` {total['simpson']:.0%} are shown to go against it")


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
                    key = f"{source} {share:g} {effect:g} {seed}{' simpson' if asked.simpson else ''}"
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
    parser.add_argument("--out", type=Path, help="JSON of every world; a run that was stopped continues from it")
    return parser.parse_args()


if __name__ == "__main__":
    main()
