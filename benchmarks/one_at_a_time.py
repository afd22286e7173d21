"""Questions asked one at a time: what is found, and how much of it is false, by the level at which each is tested.

    python -m benchmarks.one_at_a_time [--seeds 0:2] [--cache FOLDER]

Somebody asks 50 phrases of a planted world, drawn at random, one after the other; 200 such sessions a world.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from benchmarks.measure import machine
from benchmarks.planted.method import ask, diagnose
from benchmarks.planted.settings import SETTINGS, Sources

from fsearch.diagnoser.online import levels
from fsearch.diagnoser.verdict import Q_LEVEL

WORLDS = ("planted loss", "hidden", "hidden-nothing", "list-50", "null")
ASKED, SESSIONS = 50, 200

RULES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    f"p at most {Q_LEVEL:g}": lambda p: np.full(len(p), Q_LEVEL),
    "shares of Javanmard and Montanari": lambda p: lond(p, published(len(p))),
    "LOND (`query`)": lambda p: levels(p)[:-1],
    "LOND, any dependence (`--fdr by`)": lambda p: levels(p, "by")[:-1],
}


def published(count: int) -> np.ndarray:
    """(count,) shares of the budget as the paper has them: log(i) / (i exp(sqrt(log i))), up to a constant."""
    i = np.arange(1, count + 1)
    return np.asarray(0.07720838 * np.log(np.maximum(i, 2)) / (i * np.exp(np.sqrt(np.log(i)))))


def lond(p: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(n,) levels of LOND with any shares of the budget."""
    found, discoveries = np.empty(len(p)), 0
    for i, value in enumerate(p):
        found[i] = Q_LEVEL * share[i] * (discoveries + 1)
        discoveries += value <= found[i]
    return found


def main() -> None:
    args = _arguments()
    first, end = map(int, args.seeds.split(":"))
    found: dict[str, list[tuple[float, float, float]]] = {rule: [] for rule in RULES}
    alarms: dict[str, list[float]] = {rule: [] for rule in RULES}
    sources = Sources(None, args.cache, False)
    for name in WORLDS:
        for seed in range(first, end):
            world = SETTINGS[name].make(sources, seed)
            p = np.array([f.finding.p_value for f in ask(world, diagnose(world)[0]).found])
            fails, harmless = world.gaps >= world.min_effect, world.gaps < world.harmless
            rng = np.random.default_rng([seed, 71])
            for _ in range(SESSIONS):
                order = rng.permutation(len(p))[:ASKED]
                for rule, level in RULES.items():
                    said = p[order] <= level(p[order])
                    if world.null:
                        alarms[rule].append(float(said.any()))
                        continue
                    true = fails[order]
                    power = (said & true).sum() / max(true.sum(), 1)
                    false = (said & harmless[order]).sum() / max(said.sum(), 1)
                    found[rule].append((power, false, said.sum()))
    print(f"{ASKED} questions one at a time, seeds {args.seeds}; {machine()}\n")
    print("| tested at | found | false | discoveries | null sessions with any |\n|---|---:|---:|---:|---:|")
    for rule, rows in found.items():
        power, false, said = np.mean(rows, axis=0)
        print(f"| {rule} | {power:.2f} | {false:.3f} | {said:.1f} | {np.mean(alarms[rule]):.2f} |")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0:2", help="first:end, of development")
    parser.add_argument("--cache", type=Path, default=Path("build/planted"), help="folder of rendered pictures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
