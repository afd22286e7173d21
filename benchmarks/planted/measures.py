"""How good a ranking, its discoveries and its intervals are, against the truth of a world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from benchmarks.planted.worlds import World
from sklearn.metrics import average_precision_score, ndcg_score


@dataclass(frozen=True)
class Ordering:
    """How well one scorer ranks the phrases of one world."""

    average_precision: float
    precision_5: float
    precision_10: float
    ndcg: float


def ordering(scores: np.ndarray, world: World) -> Ordering:
    """Measures of `scores`, (q,), higher is worse, among the asked phrases that occur.

    Precision leaves out phrases whose portraits lose a little more (between HARMLESS and FAILING): they are neither
    hits nor mistakes. nDCG counts all, each by its true gap.
    """
    use = world.asked & ~world.absent
    clear = use & (world.failing | world.harmless)
    s, failing = scores[clear], world.failing[clear]
    top = failing[np.argsort(-s, kind="stable")]
    return Ordering(
        float(average_precision_score(failing, s)),
        float(top[:5].mean()),
        float(top[:10].mean()),
        float(ndcg_score(world.gaps[use].clip(min=0)[None], scores[use][None])),
    )


def discoveries(fails: np.ndarray, world: World) -> tuple[float, float]:
    """Share of false ones among phrases called failing, and share found of those that truly fail."""
    use = world.asked
    called, failing = fails & use, world.failing & use
    false = float((called & world.harmless).sum() / called.sum()) if called.any() else 0.0
    return false, float((called & failing).sum() / failing.sum()) if failing.any() else float("nan")


def coverage(lo: np.ndarray, hi: np.ndarray, judged: np.ndarray, world: World) -> tuple[float, float]:
    """Share of true lifts inside their interval, and its mean width in standard deviations of the loss."""
    use = world.asked & judged & ~world.absent
    inside = (lo <= world.lifts) & (world.lifts <= hi)
    return float(inside[use].mean()), float((hi - lo)[use].mean() / world.losses.std())
