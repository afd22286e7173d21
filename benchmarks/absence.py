"""Concepts that are in an index, and the same with all their images taken away: which are told without labels?

    python -m benchmarks.absence FOLDER    (of the labelled real CLIP sets)

What is shipped as the absent level (diagnoser/rivals.py), and the doubt and rules beside it (diagnoser/support.py), was
chosen here.
Only those names of the shipped vocabulary take part of which the sets have an embedding: about half of them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from benchmarks.planted.clip_sets import FEW_PHRASES, SETS, LabelledSet, labelled_set

from fsearch.diagnoser.support import Presence

LEAST = 5  # images of a concept


def main() -> None:
    folder = Path(sys.argv[1])
    print("| set | concepts | absent: lost / caught | doubtful: lost / caught | uncertain: lost / caught |")
    print("|---|---:|---:|---:|---:|")
    for name in (*SETS, *FEW_PHRASES):
        _row(folder, name)


def _row(folder: Path, name: str) -> None:
    whole = labelled_set(folder, name)
    asked = np.flatnonzero((whole.shown.sum(axis=1) >= LEAST) & (whole.shown.mean(axis=1) <= 0.5))
    there = _ask(whole, whole.images, whole.texts[asked])
    gone = [_ask(whole, whole.images[~whole.shown[i]], whole.texts[[i]]) for i in asked]
    caught = Presence(*(np.concatenate(of_each) for of_each in zip(*gone, strict=True)))
    cells = [f"{lost.mean():.2f} / {right.mean():.2f}" for lost, right in zip(there, caught, strict=True)]
    print(f"| {name} | {len(asked)} | {' | '.join(cells)} |", flush=True)


def _ask(whole: LabelledSet, images: np.ndarray, texts: np.ndarray) -> Presence:
    support, rivals = whole.asked(images, texts)
    return whole.reference.in_force.presence(support, *rivals)


if __name__ == "__main__":
    main()
