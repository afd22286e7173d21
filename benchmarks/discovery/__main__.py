"""Discovery against rivals: planted concepts found among the first ten, and false discoveries.

    python -m benchmarks.discovery [--setting NAME,NAME] [--seeds 0:5] [--clip FOLDER] [--held-out]

A planted concept is recovered where, of as many images as it has, those that fit an entry of the list best agree with
it: Cohen's kappa of a half or more; a name that truly shows the same images counts too. A discovery is false where it
is called failing and its images do not truly lose more, by 0.05 standard deviations.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from benchmarks.discovery.method import METHODS, TOP, Listed
from benchmarks.discovery.worlds import SETTINGS, Hidden, make
from benchmarks.measure import machine
from benchmarks.planted.settings import Sources

from fsearch.diagnoser.verdict import Verdict

AGREES, SAME = 0.5, 0.5


def kappa(scores: np.ndarray, truth: np.ndarray) -> float:
    """Cohen's kappa between images of a concept, (n,) bool, and as many that fit an entry best."""
    best = np.argsort(-scores, kind="stable")[: int(truth.sum())]
    share = truth.mean()
    return float((truth[best].mean() - share) / (1 - share))


def recovered(h: Hidden, listed: list[Listed]) -> list[bool]:
    """Whether each planted concept is among the entries."""
    truly = {} if h.shown is None else dict(zip(h.phrases, h.shown, strict=True))

    def agrees(entry: Listed, concept: np.ndarray) -> bool:
        shown = truly.get(entry.name)
        named = shown is not None and (shown & concept).sum() > SAME * (shown | concept).sum()
        return named or kappa(entry.scores, concept) >= AGREES

    return [any(agrees(entry, concept) for entry in listed[:TOP]) for concept in h.planted]


def false_discoveries(h: Hidden, listed: list[Listed]) -> list[bool]:
    """Of the entries called failing, whether each is false."""
    truly = {} if h.shown is None else dict(zip(h.phrases, h.shown, strict=True))
    found = []
    for entry in listed:
        if entry.finding is not None and entry.finding.verdict == Verdict.FAILS:
            weights = truly[entry.name].astype(float) if entry.name in truly else entry.scores
            rest = 1 - weights
            gap = weights @ h.expected / weights.sum() - rest @ h.expected / rest.sum()
            found.append(bool(gap < h.world.harmless))
    return found


def covered(h: Hidden, listed: list[Listed]) -> list[bool]:
    """Whether each interval holds the true lift of the entry's images."""
    found = []
    for entry in listed:
        if entry.finding is not None and entry.finding.verdict != Verdict.UNSEEN:
            lift = entry.scores @ h.expected / entry.scores.sum() - h.expected.mean()
            found.append(bool(entry.finding.lo <= lift <= entry.finding.hi))
    return found


def main() -> None:
    args = _arguments()
    first, end = (int(v) for v in (args.seeds or ("1000:1010" if args.held_out else "0:5")).split(":"))
    if args.held_out != (first >= 1000):
        sys.exit("seeds from 1000 on are held out, and only those go with --held-out")
    sources = Sources(args.clip, args.cache, args.held_out)
    names = args.setting.split(",") if args.setting else [s for s in SETTINGS if args.clip or s.startswith("portraits")]
    print(f"discovery, seeds {first} to {end - 1}; {machine()}\n")
    heads = [*METHODS, "called failing", "false", "covered", "seconds"]
    print(f"| setting | planted | {' | '.join(heads)} |\n|---|---:|{'---:|' * len(heads)}")
    for name in names:
        print(_row(name, sources, range(first, end)), flush=True)


def _row(name: str, sources: Sources, seeds: range) -> str:
    hits: dict[str, list[bool]] = defaultdict(list)
    failing, false, intervals, worlds, seconds = [], [], [], [], 0.0
    for seed in seeds:
        h = make(name, sources, seed)
        for method, find in METHODS.items():
            began = time.process_time()
            listed = find(h)
            hits[method] += recovered(h, listed) if len(h.planted) else []
            if method == "fsearch discover":
                seconds += time.process_time() - began
                wrong = false_discoveries(h, listed)
                false += wrong
                worlds.append(bool(wrong))
                intervals += covered(h, listed)
                fails = [e for e in listed if e.finding is not None and e.finding.verdict == Verdict.FAILS]
                failing += recovered(h, fails) if len(h.planted) else []
    count = len(hits["fsearch discover"])
    shares = [f"{np.mean(hits[m]):.2f}" if count else "" for m in METHODS]
    called = f"{np.mean(failing):.2f}" if count else ""
    wrong_share = f"{np.mean(false):.2f} of {len(false)}" if count else f"{sum(worlds)} of {len(worlds)} worlds"
    cover = f"{np.mean(intervals):.2f}" if intervals else ""
    cells = [name, str(count), *shares, called, wrong_share, cover, f"{seconds / len(worlds):.1f}"]
    return f"| {' | '.join(cells)} |"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setting", help=f"names, with commas between: {', '.join(SETTINGS)}")
    parser.add_argument("--seeds", help="first:end; 0:5, or 1000:1010 with --held-out")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--clip", type=Path, help="folder of the real CLIP sets; without it they are left out")
    parser.add_argument("--cache", type=Path, default=Path("build/planted"), help="folder of rendered pictures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
