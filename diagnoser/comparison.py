"""Findings of one slice beside each other: against the rest of their group, and adjusted for other failing phrases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.confounding import SAME_IMAGES, confounding
from fsearch.diagnoser.contrast import contrasts, shuffles
from fsearch.diagnoser.retrieval import Retrieved

Floats = NDArray[np.float64]

MAX_ADJUSTED = 200  # beyond the worst of these, failing phrases are not adjusted for
MIN_OVERLAP = 0.10  # of images, to be reported as shared
EXPLAINED = 0.5  # of the observed lift gone: other phrases explain most of it


@dataclass(frozen=True, slots=True)
class Contrast:
    """A phrase against the rest of its group: `difference` in mean loss, and its one-sided permutation `p_value`."""

    difference: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A failing phrase beside the other failing ones.

    Attributes
    ----------
    lift : observed lift with the other failing phrases held equal.
    shares_with : (position, overlap) of the phrases it shares at least MIN_OVERLAP of its images with, most first.
    explained_by : position of the phrase that explains most of its lift; None where none does.
    """

    lift: float
    shares_with: tuple[tuple[int, float], ...]
    explained_by: int | None


def contrast_groups(
    groups: Sequence[str | None], retrieved: Retrieved, losses: Floats, permutations: int, seed: int
) -> dict[int, Contrast]:
    """The contrast of each phrase that stands in a group of two or more, by its position.

    `groups` names the group of each phrase of `retrieved`, or None; `losses` are those of all images, (n,).
    """
    members: dict[str, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        if group is not None:
            members[group].append(i)
    several = [positions for positions in members.values() if len(positions) > 1]
    if not several:
        return {}
    parts = [retrieved[positions] for positions in several]
    shuffled = shuffles([part.neighbours for part in parts], losses, permutations, seed)
    found: dict[int, Contrast] = {}
    for positions, part in zip(several, parts, strict=True):
        seen = contrasts(part.neighbours, part.memberships, part.quality.precision, losses, shuffled)
        for i, difference, p in zip(positions, seen.difference, seen.p_value, strict=True):
            found[i] = Contrast(float(difference), float(p))
    return found


def adjust_failing(
    failing: Sequence[int], lifts: Floats, observed: Floats, retrieved: Retrieved, losses: Floats
) -> dict[int, Adjustment]:
    """The adjustment of each of the `failing` phrases (positions in `retrieved`) for the others, by its position.

    `lifts` and `observed`, (q,), are the lifts and observed lifts of all phrases; `losses` are of all images, (n,).
    """
    worst = sorted(failing, key=lambda i: -lifts[i])[:MAX_ADJUSTED]
    if len(worst) < 2:
        return {}
    part = retrieved[worst]
    seen = confounding(part.neighbours, part.memberships, losses)
    found: dict[int, Adjustment] = {}
    for row, i in enumerate(worst):
        others = sorted((r for r in range(len(worst)) if r != row), key=lambda r: -seen.overlap[row, r])
        shares = tuple((worst[r], float(seen.overlap[row, r])) for r in others if seen.overlap[row, r] >= MIN_OVERLAP)
        lift = float(seen.adjusted[row])
        explained = lift < (1 - EXPLAINED) * observed[i]
        by = _explanation(seen.overlap[row], seen.adjusted, row) if explained else None
        found[i] = Adjustment(lift, shares, None if by is None else worst[by])
    return found


def _explanation(overlap: Floats, adjusted: Floats, row: int) -> int | None:
    """The failing phrase of other images that explains most: much overlap, and a lift of its own that is larger."""
    able = (overlap <= SAME_IMAGES) & (adjusted > adjusted[row])
    pull = np.where(able, overlap * adjusted, -np.inf)
    return int(pull.argmax()) if able.any() else None
