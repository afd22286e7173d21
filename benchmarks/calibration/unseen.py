"""Concepts that are there, and the same with all their images taken away: which are called absent?

Half of the concepts of a set are labelled, on some of its images or on all; the other half is judged, in the whole set.
What is shipped is judged on each set by what the others teach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks.planted.clip_sets import FEW_PHRASES, SETS, LabelledSet, labelled_set

from fsearch.diagnoser.label_thresholds import COMMON, MIN_PHRASES, thresholds
from fsearch.diagnoser.labelled import usable
from fsearch.diagnoser.rivals import Rivalry
from fsearch.diagnoser.support import Support, SupportThresholds

LEAST = 5  # images of a concept that is judged
IMAGES, HALVES = (300, 600, None), 40  # labelled images (None for all), and random halves of the concepts
SINGLE = tuple(name for name, parts in (SETS | FEW_PHRASES).items() if len(parts) == 1)


@dataclass(frozen=True)
class Concepts:
    """The q concepts of a set, `shown`, (q, n), that at most half of its images show.

    `there` and `gone` are their support with their images and without; `stands_there` and `stands_gone` how they then
    stand against the `rivals` that there are.
    """

    shown: np.ndarray
    there: Support
    gone: Support
    stands_there: Rivalry
    stands_gone: Rivalry
    rivals: int


def print_table(folder: Path) -> None:
    """One row a set: present concepts lost and absent ones caught, by what the thresholds were learnt from."""
    found = {name: concepts(labelled_set(folder, name)) for name in (*SINGLE, "clip-mixed")}
    head = ["set", "concepts", "not calibrated", *(f"half, {m or 'all'} images" for m in IMAGES), "the other sets"]
    print("Concepts lost that are there / caught that are not\n")
    print(f"| {' | '.join(head)} |\n|---|{'---:|' * (len(head) - 1)}")
    for name, some in found.items():
        cells = [_cell(judged(some, slice(None), None)), *(_cell(by_halves(some, m)) for m in IMAGES)]
        others = [found[n].there for n in SINGLE if n != name] if name in SINGLE else []
        cells.append(_cell(judged(some, slice(None), learnt(others))) if others else "")
        print(f"| {name} | {len(some.shown)} | {' | '.join(cells)} |")
    print()


def concepts(whole: LabelledSet) -> Concepts:
    """What is known of each concept with images and without, and at a loss for its rivals."""
    asked = np.flatnonzero((whole.shown.sum(axis=1) >= LEAST) & (whole.shown.mean(axis=1) <= COMMON))
    gone = [whole.asked(whole.images[~whole.shown[i]], whole.texts[[i]]) for i in asked]
    supports, stands = zip(*gone, strict=True)
    there = whole.asked(whole.images, whole.texts[asked])
    rivals = len(whole.reference.rivals)
    return Concepts(whole.shown[asked], there[0], Support.joined(supports), there[1], _joined(stands), rivals)


def _joined(several: Sequence[Rivalry]) -> Rivalry:
    return Rivalry(*(np.concatenate(arrays) for arrays in zip(*several, strict=True)))


def learnt(several: Sequence[Support]) -> tuple[float, float]:
    """Thresholds from the concepts of several sets."""
    together = Support.joined(several)
    return thresholds(together, np.arange(len(together.anchor)))


def judged(some: Concepts, rows: np.ndarray | slice, limits: tuple[float, float] | None) -> tuple[float, float]:
    """Share of the concepts at `rows` called absent, with and without their images; by `limits` that labels taught."""
    unknown = SupportThresholds.of_rivals(some.rivals)
    by = unknown if limits is None else SupportThresholds.of_labels(*limits, rivals=some.rivals)
    lost, caught = (
        float(by.presence(support, *stands).absent[rows].mean())
        for support, stands in ((some.there, some.stands_there), (some.gone, some.stands_gone))
    )
    return lost, caught


def by_halves(some: Concepts, images: int | None) -> tuple[float, float] | None:
    """The same, mean over random halves; `images` of the set are labelled. None where they teach too few concepts."""
    rng, found, n = np.random.default_rng(0), [], some.shown.shape[1]
    for _ in range(HALVES):
        order = rng.permutation(len(some.shown))
        own, rest = np.split(order, [len(order) // 2])
        shown = some.shown[own][:, rng.choice(n, min(n, images or n), replace=False)]
        own = own[usable(shown, np.ones_like(shown))]
        if len(own) >= MIN_PHRASES:
            found.append(judged(some, rest, thresholds(some.there, own)))
    if len(found) < HALVES / 2:
        return None
    lost, caught = np.mean(found, axis=0)
    return float(lost), float(caught)


def _cell(shares: tuple[float, float] | None) -> str:
    return "too few" if shares is None else f"{shares[0]:.2f} / {shares[1]:.2f}"
