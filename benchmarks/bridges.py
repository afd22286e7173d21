"""Which bridge ranks truly failing phrases first? Worlds whose truth is known, through the whole product path.

3,000 portraits are indexed once. Each world plants losses: gamma-distributed, with a mean that rises where three random
concepts hold; a null world's losses depend on nothing. Truth is the expected loss by the generator's attributes, never
a score of ours: a phrase truly fails when its portraits' expected loss exceeds the rest's by half of one planted
effect. These are development seeds; nothing here is held out.
"""

from __future__ import annotations

import csv
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import numpy as np
from benchmarks.measure import machine

import fsearch
from fsearch.data.portraits import Concept, Portrait, draw, phrases, sample
from fsearch.diagnoser.bridge import BRIDGES
from fsearch.search.answer import Answers, ranked
from fsearch.search.workspace import Workspace

COUNT, WORLDS, NULLS = 3000, 10, 10
BASE, EFFECT = 0.3, 0.35


@dataclass(frozen=True)
class World:
    """Losses of every portrait, and how much each phrase's portraits truly lose above the rest."""

    losses: np.ndarray
    gaps: np.ndarray


def main() -> None:
    words = list(phrases())
    portraits = sample(COUNT, 500)
    shown = np.array([[c.holds(p) for p in portraits] for _, c in words])
    texts = [w for w, _ in words]
    with tempfile.TemporaryDirectory() as name:
        ws = fsearch.open(Path(name) / "w")
        images = render(Path(name) / "images", portraits)
        ws.index(images)
        worlds = [plant(seed, words, shown) for seed in range(WORLDS)]
        rows = [measure(ws, images, world, texts) for world in worlds]
        nulls = [measure(ws, images, null(seed, shown), texts) for seed in range(NULLS)]
    print(f"bridges: {len(texts)} phrases, {COUNT:,} portraits, {WORLDS} planted and {NULLS} null worlds ({machine()})")
    print("  | scoring | average precision, mean (least) | false among `fails`, mean | null worlds with any `fails` |")
    print("  |---|---:|---:|---:|")
    for name in rows[0]:
        precision = [r[name][0] for r in rows]
        false = mean(r[name][1] for r in rows)
        alarmed = sum(r[name][2] > 0 for r in nulls)
        print(f"  | {name} | {mean(precision):.3f} ({min(precision):.3f}) | {false:.2f} | {alarmed} of {NULLS} |")
    print(f"  truly failing phrases in a planted world: {median(failing(w).sum() for w in worlds):.0f} (median)")


def failing(world: World) -> np.ndarray:
    return world.gaps >= EFFECT / 2


def plant(seed: int, words: list[tuple[str, Concept]], shown: np.ndarray) -> World:
    rng = np.random.default_rng([seed, 1])
    names = [c.name for _, c in words]
    common = sorted({n for n, s in zip(names, shown, strict=True) if 0.04 < s.mean() < 0.45})
    expected = np.full(shown.shape[1], BASE)
    for name in rng.choice(common, 3, replace=False):
        expected += EFFECT * shown[names.index(name)]
    return World(rng.gamma(1.0, expected), gaps_of(expected, shown))


def null(seed: int, shown: np.ndarray) -> World:
    losses = np.random.default_rng([seed, 2]).gamma(1.0, BASE, shown.shape[1])
    return World(losses, np.zeros(len(shown)))


def gaps_of(expected: np.ndarray, shown: np.ndarray) -> np.ndarray:
    return np.array([expected[s].mean() - expected[~s].mean() for s in shown])


def measure(ws: Workspace, images: Path, world: World, texts: list[str]) -> dict[str, tuple[float, float, int]]:
    """For each scoring: average precision of the truly failing phrases, false share among `fails`, count of `fails`."""
    losses = images.parent / "losses.csv"
    with losses.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["image", "loss"])
        out.writerows((f"{i:04d}.png", f"{v:.6f}") for i, v in enumerate(world.losses))
    ws.index(images, losses, model="world")
    ws.fit("world")
    true = failing(world)
    found: dict[str, tuple[float, float, int]] = {}
    for bridge in BRIDGES:
        answers = ws.query(*texts, model="world", bridge=bridge)  # type: ignore[arg-type]
        order = [texts.index(a.text) for a in ranked(answers.answers)]
        found[bridge] = (average_precision(true[order]), *alarms(answers, world))
    by_observed = np.argsort([-a.observed_lift for a in answers.answers])
    found["observed lift alone (no ensemble)"] = (average_precision(true[by_observed]), *alarms(answers, world))
    return found


def alarms(answers: Answers, world: World) -> tuple[float, int]:
    """Share of phrases called `fails` whose portraits truly lose no more than the rest, and how many were called so."""
    called = [i for i, a in enumerate(answers.answers) if a.verdict == "fails"]
    return (float(np.mean(world.gaps[called] <= 0.02)) if called else 0.0), len(called)


def average_precision(hits: np.ndarray) -> float:
    ranks = np.flatnonzero(hits) + 1
    return float(np.mean(np.arange(1, len(ranks) + 1) / ranks)) if len(ranks) else 0.0


def render(folder: Path, portraits: list[Portrait]) -> Path:
    folder.mkdir()
    for i, portrait in enumerate(portraits):
        draw(portrait).save(folder / f"{i:04d}.png", compress_level=1)
    return folder


if __name__ == "__main__":
    main()
