"""Findings of one slice beside each other: against the rest of their group, and adjusted for other failing phrases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.confounding import SAME_IMAGES, confounding
from fsearch.diagnoser.contrast import contrasts
from fsearch.diagnoser.retrieval import Retrieved

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Groups = NDArray[np.integer[Any]]

MAX_ADJUSTED = 200  # beyond the worst of these, failing phrases are not adjusted for
MIN_OVERLAP = 0.10  # of images, to be reported as shared
_ONE_SIDED_95 = 1.645
EXPLAINED = 0.5  # of the observed lift gone: other phrases explain most of it


@dataclass(frozen=True, slots=True)
class Contrast:
    """A phrase against the rest of its group: `difference` in mean loss, its standard `error`, and one-sided p."""

    difference: float
    error: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A failing phrase beside the other failing ones.

    Attributes
    ----------
    lift, error : observed lift with the other failing phrases held equal, and its standard error; None where the other
        phrases nearly determine this one.
    shares_with : (position, overlap) of the phrases it shares at least MIN_OVERLAP of its images with, most first.
    explained_by : position of the phrase that explains most of its lift; None where none does.
    """

    lift: float | None
    error: float | None
    shares_with: tuple[tuple[int, float], ...]
    explained_by: int | None


def contrast_groups(
    names: Sequence[str | None], retrieved: Retrieved, losses: Floats, groups: Groups, permutations: int, seed: int
) -> dict[int, Contrast]:
    """The contrast of each phrase that stands in a group of two or more, by its position.

    `names` says which group each phrase of `retrieved` stands in, or None; `losses` and `groups` are those of all
    images, (n,).
    """
    members: dict[str, list[int]] = defaultdict(list)
    for i, name in enumerate(names):
        if name is not None:
            members[name].append(i)
    found: dict[int, Contrast] = {}
    for positions in members.values():
        if len(positions) > 1:
            seen = contrasts(retrieved[positions], losses, groups, permutations, seed)
            for i, difference, error, p in zip(positions, *seen, strict=True):
                found[i] = Contrast(float(difference), float(error), float(p))
    return found


def adjust_failing(
    failing: Sequence[int], lifts: Floats, observed: Floats, retrieved: Retrieved, losses: Floats, groups: Groups
) -> dict[int, Adjustment]:
    """The adjustment of each of the `failing` phrases (positions in `retrieved`) for the others, by its position.

    `lifts` and `observed`, (q,), are the lifts and observed lifts of all phrases; `losses`, `groups` of all images.
    """
    worst = sorted(failing, key=lambda i: -lifts[i])[:MAX_ADJUSTED]
    if len(worst) < 2:
        return {}
    seen = confounding(retrieved[worst], losses, groups)
    found: dict[int, Adjustment] = {}
    for row, i in enumerate(worst):
        others = sorted((r for r in range(len(worst)) if r != row), key=lambda r: -seen.overlap[row, r])
        shares = tuple((worst[r], float(seen.overlap[row, r])) for r in others if seen.overlap[row, r] >= MIN_OVERLAP)
        lift, error = float(seen.adjusted[row]), float(seen.error[row])
        if np.isnan(lift):
            found[i] = Adjustment(None, None, shares, None)
            continue
        explained = lift < (1 - EXPLAINED) * observed[i] and lift + _ONE_SIDED_95 * error < observed[i]
        by = _explanation(seen.overlap[row], seen.adjusted, row) if explained else None
        found[i] = Adjustment(lift, error, shares, None if by is None else worst[by])
    return found


def _explanation(overlap: Floats, adjusted: Floats, row: int) -> int | None:
    """The failing phrase of other images that explains most: much overlap, and a lift of its own that is larger."""
    able = (overlap <= SAME_IMAGES) & (np.nan_to_num(adjusted, nan=-np.inf) > adjusted[row])
    pull = np.where(able, overlap * np.nan_to_num(adjusted), -np.inf)
    return int(pull.argmax()) if able.any() else None
