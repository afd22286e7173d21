"""What is counted of the answers to a planted world, against its truth; every setting is measured by these alone.

A phrase *fails* where its true gap is at least `World.min_effect`, and is *harmless* below `World.harmless`; one
between is neither hit nor mistake. It is *present* where ENOUGH images show it (groups of images, where they come in
groups) and *absent* where none does; one between is rarely counted. Shares pool all phrases of a setting's worlds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
from benchmarks.planted.method import Answers
from benchmarks.planted.world import ENOUGH, World
from sklearn.metrics import average_precision_score, ndcg_score

PREVALENCE = (0.0, 0.01, 0.03, 0.1, 0.4, 1.01)  # edges of the strata of coverage; of the share of images that show it
AUROC = (0.0, 0.85, 0.97, 1.01)  # of the encoder on the phrase
LIFT = (-np.inf, -0.3, -0.05, 0.05, 0.3, np.inf)  # the true one, in standard deviations of the loss
STRONG = 10.0  # standard errors of a gap that no list is long enough to hide


@dataclass(frozen=True)
class Outcome:
    """One world with the answers to it; arrays are (q,).

    Attributes
    ----------
    words : the verdicts; lo, hi : the intervals; gaps, lifts : the truth; `errors` : standard errors of the gaps.
    units : images or groups that show each phrase; share : of the images; auroc : the encoder's on it.
    unknown : phrases of words that the encoder never read.
    hidden : verdicts apart from the worst failing phrase, where they are worse; `fails_apart`, `harmless_apart` : the
        truth about the images that do not show it. Empty where it is not known, or nothing is said to fail.
    scores : average precision of each scorer, without and with absent phrases, and nDCG.
    """

    setting: str
    seed: int
    images: int
    null: bool
    supported: bool
    signal: bool
    seconds: float
    loss_std: float
    min_effect: float
    harmless_below: float
    words: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    gaps: np.ndarray
    lifts: np.ndarray
    realised: np.ndarray
    errors: np.ndarray
    units: np.ndarray
    share: np.ndarray
    auroc: np.ndarray
    unknown: np.ndarray
    hidden: np.ndarray
    fails_apart: np.ndarray
    harmless_apart: np.ndarray
    scores: dict[str, tuple[float, float, float]]

    @property
    def present(self) -> np.ndarray:
        """(q,) bool."""
        return np.asarray(self.units >= ENOUGH)

    @property
    def absent(self) -> np.ndarray:
        """(q,) bool."""
        return np.asarray(self.share == 0)

    @property
    def failing(self) -> np.ndarray:
        """(q,) bool, present phrases that truly fail."""
        return np.asarray(self.present & (self.gaps >= self.min_effect))

    @property
    def harmless(self) -> np.ndarray:
        """(q,) bool: to call such a phrase failing is a false discovery. Absent ones are not among them."""
        return np.asarray(~self.absent & (self.gaps < self.harmless_below))

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}


def outcome(world: World, found: Answers, scorers: dict[str, np.ndarray]) -> Outcome:
    """Measure the answers `found`, and `scorers`, (q,) each and higher is worse, beside their ranking."""
    units, share = world.units, world.shown.mean(axis=1)
    counts = world.shown.sum(axis=1)
    mean, loss_std = float(world.losses.mean()), float(world.losses.std())
    sums = np.array([(world.losses[row] - mean).sum() for row in world.shown])
    with np.errstate(divide="ignore"):
        errors = loss_std * np.sqrt(1 / units + 1 / np.maximum(len(world.losses) - counts, 1))
    fails_apart, harmless_apart = _apart(world, found)
    result = Outcome(
        setting=world.setting,
        seed=world.seed,
        images=len(world.losses),
        null=world.null,
        supported=world.supported,
        signal=bool(found.signal),
        seconds=found.seconds,
        loss_std=loss_std,
        min_effect=world.min_effect,
        harmless_below=world.harmless,
        words=found.words,
        lo=found.lo,
        hi=found.hi,
        gaps=world.gaps,
        lifts=world.lifts,
        realised=sums / np.maximum(counts, 1),
        errors=errors,
        units=units,
        share=share,
        auroc=world.aurocs(),
        unknown=world.unknown if len(world.unknown) else np.zeros(len(units), bool),
        hidden=found.hidden if world.expected is not None else np.full(len(units), ""),
        fails_apart=fails_apart,
        harmless_apart=harmless_apart,
        scores={},
    )
    for name, scores in ({"fsearch": found.rank} | scorers).items():
        result.scores[name] = ordering(result, scores)
    return result


def _apart(world: World, found: Answers) -> tuple[np.ndarray, np.ndarray]:
    """(q,) bool each, of images that do not show the worst phrase: what fails there alone, and what is harmless."""
    none = np.zeros(len(world.phrases), bool)
    if found.worst is None or world.expected is None:
        return none, none
    rest = world.without(found.worst)
    there = (rest.units >= ENOUGH) & (rest.units <= len(rest.losses) - ENOUGH)
    fails = there & (rest.gaps >= rest.min_effect) & (world.gaps < world.min_effect)
    return fails, rest.gaps < rest.harmless


def ordering(world: Outcome, scores: np.ndarray) -> tuple[float, float, float]:
    """Average precision of the failing phrases among those present, then with absent ones too, then nDCG of all.

    Phrases between harmless and failing, and those that only a few images show, are left out of the first two.
    """
    clear = world.failing | (world.present & world.harmless)
    listed = world.present | world.absent
    if not world.failing.any():
        return float("nan"), float("nan"), float("nan")
    precision = [
        float(average_precision_score(world.failing[use], scores[use])) for use in (clear, clear | world.absent)
    ]
    worth = np.where(world.absent, 0.0, world.gaps.clip(min=0))[listed]
    return precision[0], precision[1], float(ndcg_score(worth[None], scores[listed][None]))


def summary(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """Every figure of one setting; NaN where there is nothing to count."""
    called = {word: _all(outcomes, lambda o, w=word: o.words == w) for word in ("fails", "fine", "unseen")}  # type: ignore[misc]
    present, absent = _all(outcomes, lambda o: o.present & o.supported), _all(outcomes, lambda o: o.absent)
    failing, lifted = _all(outcomes, lambda o: o.failing), _all(outcomes, _lifted)
    harmless, unknown = _all(outcomes, lambda o: o.harmless), _all(outcomes, lambda o: o.unknown)
    strong = failing & _all(outcomes, lambda o: o.gaps >= STRONG * o.errors)
    covered, judged = _all(outcomes, covers), _all(outcomes, judged_intervals)
    hidden = _all(outcomes, lambda o: o.hidden == "fails")
    scored = [o.scores for o in outcomes if o.scores and not np.isnan(o.scores["fsearch"][0])]
    rivals = [
        n for n in (scored[0] if scored else ()) if not n.startswith(("fsearch", "oracle"))
    ]  # a part of ours is none
    best = {k: max((float(np.mean([s[n][k] for s in scored])) for n in rivals), default=np.nan) for k in (0, 1)}
    return {
        "worlds": len(outcomes),
        "images": float(np.median([o.images for o in outcomes])),
        "phrases": len(outcomes[0].words),
        "failing": failing.sum() / len(outcomes),
        "absent": absent.sum() / len(outcomes),
        "ap": _mean([s["fsearch"][0] for s in scored]),
        "ap_best_rival": best[0],
        "ap_absent": _mean([s["fsearch"][1] for s in scored]),
        "ap_absent_best_rival": best[1],
        **{
            f"ap_absent_{n}": _mean(
                [s[name][1] for s in scored for name in s if name == f"mean loss of the {n} nearest"]
            )
            for n in (20, 100)
        },
        "fails": called["fails"].sum() / len(outcomes),
        "false": _share(harmless | absent, called["fails"]),
        "false_absent": _share(absent, called["fails"]),
        "power": _share(called["fails"], failing),
        "power_by_lift": _share(called["fails"], lifted),
        "power_strong": _share(called["fails"], strong),
        "fine_by_gap": _share(called["fine"], failing),
        "fine_by_lift": _share(called["fine"], lifted),
        "coverage": _share(covered, judged),
        "coverage_realised": _share(_all(outcomes, lambda o: covers(o, o.realised)), judged),
        "width": _mean(_all(outcomes, lambda o: (o.hi - o.lo) / o.loss_std)[judged].tolist()),
        "unseen_absent": _share(called["unseen"], absent),
        "unseen_absent_known": _share(called["unseen"], absent & ~unknown),
        "unseen_absent_unknown": _share(called["unseen"], absent & unknown),
        "unseen_present": _share(called["unseen"], present),
        "absent_held_back": _share(~called["fails"] & ~called["fine"], absent),
        "hidden": hidden.sum() / len(outcomes),
        "hidden_found": _share(_all(outcomes, lambda o: o.hidden != ""), _all(outcomes, lambda o: o.fails_apart)),
        "hidden_false": _share(_all(outcomes, lambda o: o.harmless_apart), hidden),
        "alarms": _mean([float((o.words == "fails").any()) for o in outcomes if o.null]),
        "seconds": float(np.median([o.seconds for o in outcomes])),
    }


def strata(outcomes: Sequence[Outcome]) -> dict[str, list[tuple[float, int]]]:
    """Coverage, and the number of intervals, in each stratum of the share of images, of AUROC and of the true lift."""
    covered, judged = _all(outcomes, covers), _all(outcomes, judged_intervals)
    values = {
        "prevalence": (_all(outcomes, lambda o: o.share), PREVALENCE),
        "AUROC": (_all(outcomes, lambda o: o.auroc), AUROC),
        "lift": (_all(outcomes, lambda o: o.lifts / o.loss_std), LIFT),
    }
    found = {}
    for name, (value, edges) in values.items():
        within = [judged & (value >= low) & (value < high) for low, high in pairwise(edges)]
        found[name] = [(_share(covered, stratum), int(stratum.sum())) for stratum in within]
    return found


def covers(world: Outcome, lifts: np.ndarray | None = None) -> np.ndarray:
    """(q,) bool, whether the interval holds the true lift."""
    lifts = world.lifts if lifts is None else lifts
    slack = 1e-9 * world.loss_std
    return np.asarray((world.lo - slack <= lifts) & (lifts <= world.hi + slack))


def judged_intervals(world: Outcome) -> np.ndarray:
    """(q,) bool, phrases whose interval the user sees and whose truth is known."""
    return np.asarray(world.present & (world.words != "unseen") & world.supported)


def _lifted(world: Outcome) -> np.ndarray:
    return np.asarray(world.present & (world.lifts >= world.min_effect))


def _all(outcomes: Sequence[Outcome], of: Callable[[Outcome], np.ndarray]) -> np.ndarray:
    return np.concatenate([of(o) for o in outcomes])


def _share(part: np.ndarray, whole: np.ndarray) -> float:
    return float((part & whole).sum() / whole.sum()) if whole.any() else float("nan")


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
