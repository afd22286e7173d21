"""Group tables: the mean loss of the images with each value of a column, with intervals, and the gaps between them.

Like the tables of Fairlearn's MetricFrame, but no number stands alone: every error is by groups of repeated images
(the sandwich of Liang and Zeger, Biometrika 1986, with Student's quantile). Ten images without a mistake have no spread
of their own, and would have an interval of no width; so a group's variance, where it is the smaller, is drawn towards
that within all groups (moderated variance: Smyth, Stat. Appl. Genet. Mol. Biol. 2004), as if PRIOR groups of repeats
that vary like these were among it. Which images belong to a group is known; no encoder has a say. Pure functions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.discoveries import q_values
from fsearch.diagnoser.evidence import group_means
from fsearch.diagnoser.lift import LEVEL
from fsearch.diagnoser.verdict import Verdict, VerdictInputs, decide, minimum_effect
from fsearch.indexer.vector_index.near_duplicates import dense

Floats = NDArray[np.float64]
Groups = NDArray[np.integer[Any]]
PRIOR = 30  # with so many, Student's quantile is nearly normal: a group's own spread is then well enough known

Masks = Mapping[str, NDArray[np.bool_]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    """The images with one value of a column. Losses and lifts are in units of the loss; intervals are of 90%.

    Attributes
    ----------
    images, groups : how many images, and groups of repeats among them.
    mean_loss, mean_lo, mean_hi : their mean loss.
    lift, lo, hi : their mean loss less that of all images.
    p_value, q_value : one-sided, that their mean loss is no higher than that of the rest; q over the values.
    verdict, reason : by the rules for phrases, of images that are known to belong here.
    """

    value: str
    images: int
    groups: int
    mean_loss: float
    mean_lo: float
    mean_hi: float
    lift: float
    lo: float
    hi: float
    p_value: float
    q_value: float
    verdict: Verdict
    reason: str


def group_table(losses: Floats, groups: Groups, members: Masks) -> tuple[GroupRow, ...]:
    """One row a value, in the order of `members`: by value, (n,) bool, which images have it.

    `losses` and `groups` are (n,), of all images that are asked about; `lift` is over their mean.
    """
    from scipy.special import stdtr

    mean, effect, pool = float(losses.mean()), minimum_effect(losses), _within(losses, groups, members)
    codes, seen = dense(groups), []
    for mask in members.values():
        count, rest = int(mask.sum()), int((~mask).sum())
        units = _units(codes, mask)
        own = _estimate(losses, codes, [(mask, 1.0 / max(count, 1))], units, pool)
        # over the mean of all: what the value is above the rest, times the share of the rest
        sides = [(mask, rest / len(losses) / max(count, 1)), (~mask, -1.0 / len(losses))]
        others = _units(codes, ~mask) if rest else units
        lift = _estimate(losses, codes, sides, min(units, others), pool)
        degrees = max(units - 1, 1)
        p = float(stdtr(degrees, -lift[0] / lift[1])) if lift[1] > 0 else 1.0 if lift[0] <= 0 else 0.0
        seen.append((count, units, own, lift, p))
    q = q_values(np.array([p for *_, p in seen], np.float64)) if seen else np.empty(0)
    rows = []
    for value, (count, units, own, lift, p), q_value in zip(members, seen, q.tolist(), strict=True):
        inputs = VerdictInputs(
            predicted_lift=lift[0],
            lift=lift[0],
            lo=lift[0] - lift[2],
            hi=lift[0] + lift[2],
            observed_lift=lift[0],
            observed_error=lift[1],
            n_effective=float(units),
            q_value=q_value,
            min_effect=effect,
            shown=float(count),
        )
        verdict = Verdict.FINE if np.ptp(losses) == 0.0 else decide(inputs)[0]  # no image loses more than another
        verdict = Verdict.UNCLEAR if len(members) == 1 and verdict == Verdict.FINE else verdict  # than what?
        reason = f"mean loss {mean + lift[0]:.3g} of {count:,} images in {units:,} groups; {lift[0]:+.3g} over the mean"
        rows.append(
            GroupRow(
                value=value,
                images=count,
                groups=units,
                mean_loss=own[0],
                mean_lo=own[0] - own[2],
                mean_hi=own[0] + own[2],
                lift=inputs.lift,
                lo=inputs.lo,
                hi=inputs.hi,
                p_value=p,
                q_value=q_value,
                verdict=verdict,
                reason="the only value there is" if len(members) == 1 else f"{reason}, q = {q_value:.3g}",
            )
        )
    return tuple(rows)


def gaps(losses: Floats, groups: Groups, members: Masks) -> tuple[Floats, Floats]:
    """(g, g) differences in mean loss between any two values, row less column, and their standard errors."""
    masks, pool, codes = list(members.values()), _within(losses, groups, members), dense(groups)
    units = [_units(codes, mask) for mask in masks]
    difference, error = np.zeros((len(masks), len(masks))), np.zeros((len(masks), len(masks)))
    for i, a in enumerate(masks):
        for j, b in enumerate(masks[:i]):
            sides = [(a, 1.0 / max(int(a.sum()), 1)), (b, -1.0 / max(int(b.sum()), 1))]
            difference[i, j], error[i, j], _ = _estimate(losses, codes, sides, min(units[i], units[j]), pool)
            difference[j, i], error[j, i] = -difference[i, j], error[i, j]
    return difference, error


def _within(losses: Floats, groups: Groups, members: Masks) -> float:
    """The variance of groups of repeats about the mean of the value they have, or of all that have none."""
    rest = losses - losses.mean()
    for mask in (*members.values(), ~np.any(list(members.values()), axis=0)):
        if mask.any():
            rest[mask] = losses[mask] - losses[mask].mean()
    return float(group_means(rest, groups).var())


def _units(codes: Groups, mask: NDArray[np.bool_]) -> int:
    """How many groups of repeats the images of a mask are in."""
    return int(np.count_nonzero(np.bincount(codes[mask])))


def _estimate(
    losses: Floats, codes: Groups, sides: list[tuple[NDArray[np.bool_], float]], units: int, pool: float
) -> tuple[float, float, float]:
    """A weighted sum of means of `losses`, (n,): its value, standard error and half of its 90% interval.

    `codes` are the groups, numbered from 0; `sides` are which images, and the weight of each; `units` are the groups of
    the smaller side; `pool` : see _within.
    """
    from scipy.special import stdtrit

    if units < 2:
        value = sum(weight * float(losses[mask].sum()) for mask, weight in sides)
        return value, float("inf"), float("inf")
    value, pulls, weights = 0.0, np.zeros(len(losses)), np.zeros(len(losses))
    for mask, weight in sides:
        if mask.any():
            value += weight * float(losses[mask].sum())
            pulls[mask] += weight * (losses[mask] - losses[mask].mean())
            weights[mask] += weight
    own = float((np.bincount(codes, pulls) ** 2).sum()) * units / (units - 1)
    pooled = float((np.bincount(codes, weights) ** 2).sum()) * pool
    moderated = ((units - 1) * own + PRIOR * pooled) / (units - 1 + PRIOR)
    error = float(np.sqrt(max(own, moderated)))
    return value, error, error * float(stdtrit(units - 1, (1 + LEVEL) / 2))
