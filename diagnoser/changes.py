"""Changes from one model to another: what is known of each phrase and of all images, with verdicts and q-values.

The images of a phrase are those that `find` (findings.py) would judge it by: same retrieval, same membership, same test
of whether any image shows it, same groups of repeats. Only then are they narrowed to those that have both losses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.change import Changes, changes, whole_change
from fsearch.diagnoser.change_verdict import ChangeInputs, ChangeVerdict, decide_change
from fsearch.diagnoser.changed_images import ChangedImages
from fsearch.diagnoser.choices import Correction
from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.discoveries import directed_q_values
from fsearch.diagnoser.discovery.definitions import Definition
from fsearch.diagnoser.estimate import PERMUTATIONS
from fsearch.diagnoser.exhibits import SHOWS
from fsearch.diagnoser.finding import Phrase
from fsearch.diagnoser.lift import interval
from fsearch.diagnoser.pairing import Pair
from fsearch.diagnoser.retrieval import Retrieved
from fsearch.diagnoser.shared_evidence import concepts
from fsearch.diagnoser.tested import tested

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

WHOLE = "(all images)"
_OPPOSITE = {ChangeVerdict.WORSE: ChangeVerdict.BETTER, ChangeVerdict.BETTER: ChangeVerdict.WORSE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is known about one phrase before and after. Losses and changes are in units of the loss.

    The fields are columns of the table `changes`, where each is described (storage/schema/comparisons.py).
    """

    hypothesis: str
    verdict: ChangeVerdict
    change: float
    lo: float
    hi: float
    before: float
    after: float
    n_effective: float
    p_value: float
    q_value: float
    reason: str
    simpson: bool
    shown: float
    share: float
    purity: float
    paired: float
    standard_error: float
    min_effect: float

    def beyond(self, whole: float) -> float:
        """How much more it got worse than all images did, whose change is `whole`, in its own standard errors."""
        return (self.change - whole) / max(self.standard_error, 1e-300)


@dataclass(frozen=True, slots=True)
class Moved:
    """Images that show a phrase and moved the way it did, the most telling first; each array is (m,).

    Attributes
    ----------
    rows : int64 global rows; memberships, before, after : float64 chances that they show it, and their losses.
    """

    rows: Rows
    memberships: NDArray[np.float64]
    before: NDArray[np.float64]
    after: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FoundChanges:
    """The changes of q phrases in the order asked, the images behind each, and the change of all images.

    `images` have a loss of both models, `either` of one or both.
    """

    images: int
    either: int
    whole: Change
    changes: tuple[Change, ...]
    moved: tuple[Moved, ...]


def find_changes(
    base: Diagnosis,
    pair: Pair,
    texts: NDArray[np.float32],
    phrases: Sequence[Phrase],
    *,
    sets: Sequence[Definition] = (),
    scope: Rows | None = None,
    whole: Change | None = None,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    correction: Correction = "bh",
    foreign_images: bool = False,
    top: int = 8,
) -> FoundChanges:
    """The change of each of q `phrases` from one model to the other; q-values are adjusted over all of them.

    Parameters
    ----------
    base : the diagnosis of either model: index, reference phrases and thresholds are its own.
    pair : the losses of both; texts : (q, d) float32 unit embeddings of the phrases.
    sets : of the last phrases, which have no embedding: which images are of each.
    scope : global rows of the only images asked about, where there is a condition.
    whole : the change that a phrase may go against; by default that of the images asked about.
    top : how many images to give with each.
    """
    asked = pair if scope is None else pair.within(scope)
    total = whole or _whole(asked)
    if not phrases:
        return FoundChanges(len(asked.rows), len(asked.either), total, (), ())
    reference = base.artifact.reference
    images = ChangedImages.of(base, pair, asked, texts, phrases, sets)
    found, presence = images.both, images.presence
    scale = reference.scale(float(asked.change.std()), asked.between)
    seen = changes(found, asked.before, asked.after, asked.groups, scale, permutations, seed)
    tests = tested(phrases, presence, found, seen.n_effective, len(asked.rows), foreign_images)
    q = _q_values(seen, found, tests, correction)
    result = []
    for i, phrase in enumerate(phrases):
        inputs = _inputs(seen, i, float(q[i]), asked.min_effect)
        inputs = replace(
            inputs,
            shown=float(found.quality.count[i]),
            paired=float(images.paired[i]),
            absent=bool(presence.absent[i]),
            doubtful=bool(presence.doubtful[i]),
            uncertain=bool(presence.uncertain[i]),
            unknown_words=phrase.unknown_words,
            negates=phrase.negates,
            left=len(asked.rows) - float(found.quality.count[i]),
            foreign_images=foreign_images,
        )
        verdict, reason = decide_change(inputs)
        opposite = _OPPOSITE.get(verdict) == total.verdict
        result.append(
            Change(
                hypothesis=phrase.text,
                verdict=verdict,
                before=float(seen.before[i]),
                after=float(seen.before[i] + seen.value[i]),
                p_value=float(seen.p_value[i]),
                reason=f"{reason}; on the whole it is {total.verdict}" if opposite else reason,
                simpson=opposite,
                share=float(found.quality.prevalence[i]),
                purity=float(found.quality.purity[i]),
                standard_error=float(seen.error[i]),
                **_numbers(inputs),
            )
        )
    moved = tuple(_moved(asked, found, i, change.change, top) for i, change in enumerate(result))
    return FoundChanges(len(asked.rows), len(asked.either), total, tuple(result), moved)


def _q_values(seen: Changes, found: Retrieved, tests: NDArray[np.bool_], correction: Correction) -> Floats:
    """(q,) q-values of q changes, each way apart, with a vote for each concept of phrases that are `tests`."""
    numbers = np.arange(len(seen.value))
    if tests.any():
        numbers[tests] = concepts(found[np.flatnonzero(tests).tolist()])
    return directed_q_values(seen.p_value, seen.value, numbers, tests, correction)


def _inputs(seen: Changes, i: int, q: float, min_effect: float) -> ChangeInputs:
    value = float(seen.value[i])
    lo, hi = interval(value, float(seen.error[i]))
    n = float(seen.n_effective[i])
    return ChangeInputs(change=value, lo=lo, hi=hi, q_value=q, min_effect=min_effect, n_effective=n, shown=0.0)


def _numbers(inputs: ChangeInputs) -> dict[str, Any]:
    """What a change has of the inputs of its verdict, by name."""
    shared = ("change", "lo", "hi", "q_value", "min_effect", "n_effective", "shown", "paired")
    return {name: getattr(inputs, name) for name in shared}


def _whole(pair: Pair) -> Change:
    """The change of all images."""
    seen = whole_change(pair.before, pair.after, pair.groups)
    lo, hi = interval(seen.value, seen.error)
    inputs = ChangeInputs(
        change=seen.value,
        lo=lo,
        hi=hi,
        q_value=seen.p_value,
        min_effect=pair.min_effect,
        n_effective=float(len(np.unique(pair.groups))),
        shown=float(len(pair.rows)),
        paired=len(pair.rows) / len(pair.either),
    )
    verdict, reason = decide_change(inputs)
    before = float(pair.before.mean())
    return Change(
        hypothesis=WHOLE,
        verdict=verdict,
        before=before,
        after=before + seen.value,
        p_value=seen.p_value,
        reason=reason,
        simpson=False,
        share=1.0,
        purity=1.0,
        standard_error=seen.error,
        **_numbers(inputs),
    )


def _moved(pair: Pair, found: Retrieved, i: int, change: float, top: int) -> Moved:
    """At most `top` images that show phrase i and whose loss moved the way `change` says."""
    order = np.argsort(-found.memberships[i], kind="stable")
    sure = order[: int((found.memberships[i] >= SHOWS).sum())]
    near, chance = found.neighbours[i, sure], found.memberships[i, sure]
    pull = chance * pair.change[near] * (1.0 if change >= 0 else -1.0)
    chosen = np.argsort(-pull, kind="stable")[:top]
    chosen = chosen[pull[chosen] > 0]
    rows = near[chosen]
    return Moved(pair.rows[rows], chance[chosen], pair.before[rows], pair.after[rows])
