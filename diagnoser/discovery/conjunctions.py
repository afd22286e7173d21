"""Pairs and triples of candidates that fail together and not apart, found by bounds as SliceLine finds them.

SliceLine (Sagadeeva and Boehm, SIGMOD 2021) enumerates conjunctions and leaves out those whose support or best possible
error, bounded by their parts, is too low. Here an image is of a conjunction by the product of its chances, and a
conjunction is proposed only where it speaks clearly louder than each of its parts: else its parts say it already.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.discovery.proposing import ProposingHalf
from fsearch.diagnoser.membership import ENOUGH

Floats = NDArray[np.float64]

MOST = 24  # conjunctions proposed, pairs and triples each
_LOUDER = 0.75  # by which the z of a conjunction must exceed those of its parts


@dataclass(frozen=True, slots=True)
class Conjunction:
    """`parts` : positions of its candidates, rising; `z`, `lift` : what the proposing half says of it."""

    parts: tuple[int, ...]
    z: float
    lift: float


def conjunctions(
    half: ProposingHalf, weights: NDArray[np.floating[Any]], apart: NDArray[np.bool_]
) -> list[Conjunction]:
    """The clearest pairs and triples of k candidates with `weights`, (k, n); at most MOST of either.

    `apart`, (k, k) bool, says which two are no wordings of one concept.
    """
    own = half.evidence(weights)
    bounds = Bounds.of(half, weights)
    alone: dict[tuple[int, ...], Conjunction] = {
        (i,): Conjunction((i,), float(own.z[i]), float(own.lift[i])) for i in range(len(weights))
    }
    pairs = _louder(half, weights, bounds, alone, [p for p in combinations(range(len(weights)), 2) if apart[p]])
    wider = {c.parts for c in pairs}
    singles = sorted({i for c in pairs for i in c.parts})
    grown = {tuple(sorted({*p, i})) for p in wider for i in singles if i not in p and all(apart[i, j] for j in p)}
    found = _louder(half, weights, bounds, alone | {c.parts: c for c in pairs}, sorted(grown))
    return [*pairs, *found]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What no conjunction with a candidate can exceed, (k,) each: its `support`, and the `lift` of ENOUGH images."""

    support: Floats
    lift: Floats

    @classmethod
    def of(cls, half: ProposingHalf, weights: NDArray[np.floating[Any]]) -> Bounds:
        """A conjunction's images are some of each part's; no ENOUGH of these lose more than the worst ENOUGH do."""
        order = np.argsort(-half.losses, kind="stable")
        excess = (half.losses - half.losses.mean())[order]
        held = weights[:, order].astype(np.float64)
        kept = np.diff(np.minimum(held.cumsum(axis=1), ENOUGH), prepend=0.0, axis=1)
        return cls(held.sum(axis=1), kept @ excess / np.maximum(kept.sum(axis=1), 1e-300))

    def allow(self, parts: tuple[int, ...], least_lift: float) -> bool:
        """Whether a conjunction of `parts` may hold ENOUGH images and reach `least_lift`."""
        some = list(parts)
        return bool(self.support[some].min() >= ENOUGH and self.lift[some].min() > least_lift)


def _louder(
    half: ProposingHalf,
    weights: NDArray[np.floating[Any]],
    bounds: Bounds,
    known: dict[tuple[int, ...], Conjunction],
    asked: list[tuple[int, ...]],
) -> list[Conjunction]:
    """Those of `asked` that speak louder than each of their parts that is `known`, the loudest first."""
    within = {
        parts: [known[s] for size in range(1, len(parts)) for s in combinations(parts, size) if s in known]
        for parts in asked
    }
    open_ = [p for p in asked if bounds.allow(p, max(c.lift for c in within[p]))]
    found = []
    for start in range(0, len(open_), 256):
        block = open_[start : start + 256]
        product = np.stack([np.prod(weights[list(p)].astype(np.float64), axis=0) for p in block])
        said = half.evidence(product)
        for parts, z, lift, count in zip(block, said.z, said.lift, said.images, strict=True):
            if count >= ENOUGH and z >= max(c.z for c in within[parts]) + _LOUDER:
                found.append(Conjunction(parts, float(z), float(lift)))
    return sorted(found, key=lambda c: -c.z)[:MOST]
