"""One world of changes measured: what the product says, what an unpaired analysis would, and what an oracle could."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import scipy.stats
from benchmarks.changes.worlds import Change
from benchmarks.planted.method import diagnose
from benchmarks.planted.world import ENOUGH, World

from fsearch.diagnoser.change import changes
from fsearch.diagnoser.change_verdict import ChangeInputs, decide_change
from fsearch.diagnoser.changes import find_changes
from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.discoveries import directed_q_values
from fsearch.diagnoser.finding import Phrase
from fsearch.diagnoser.lift import Scale, Z, interval
from fsearch.diagnoser.pairing import Pair, Side, pair
from fsearch.diagnoser.shared_evidence import concepts
from fsearch.diagnoser.verdict import Q_LEVEL

HARMLESS, WORSE = 0.05, 0.1  # standard deviations


@dataclass(frozen=True)
class Measured:
    """One world with its answers, paired and unpaired; arrays are (q,). Changes in standard deviations before."""

    truth: np.ndarray
    present: np.ndarray
    words: np.ndarray
    unpaired: np.ndarray
    oracle: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    whole: str
    simpson: np.ndarray

    @classmethod
    def of(cls, values: dict[str, Any]) -> Measured:
        """From what `as_dict` gave."""
        return cls(**{n: v if n == "whole" else np.array(v) for n, v in values.items()})

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {n: v.tolist() if isinstance(v, np.ndarray) else v for n, v in values.items()}

    @property
    def worse(self) -> np.ndarray:
        """(q,) bool: truly worse, by half of what matters or more."""
        return np.asarray(self.present & (self.truth >= WORSE - 1e-9))


def measure(made: Change, first: Diagnosis, permutations: int = 2000) -> Measured:
    """Compare two models as the product does, and once more as if their images were not the same.

    `first` is the fit of the model before.
    """
    second, _ = diagnose(made.second)
    paired = pair(Side.of(first, None), Side.of(second, None), first)
    phrases = [Phrase(text) for text in made.world.phrases]
    found = find_changes(first, paired, made.world.texts, phrases, permutations=permutations, seed=made.world.seed)
    seen = found.changes
    retrieved = first.retriever.find(made.world.texts)
    sides = [
        changes(retrieved, np.zeros_like(losses), losses, paired.groups, Scale(1.0, 0.0), 100, 0)
        for losses in (paired.before, paired.after)
    ]
    scale = Scale(float(paired.change.std()), paired.between)
    both = changes(retrieved, paired.before, paired.after, paired.groups, scale, 100, 0)
    noise = np.sqrt(sides[0].noise ** 2 + sides[1].noise ** 2)
    error = np.sqrt(noise**2 + both.error**2 - both.noise**2)
    p, judged = 2 * scipy.stats.norm.sf(np.abs(both.value) / noise), np.array([c.verdict != "unseen" for c in seen])
    votes = np.arange(len(p))
    votes[judged] = concepts(retrieved[np.flatnonzero(judged).tolist()])
    q = directed_q_values(p, both.value, votes, judged)
    words = [_word(c, both.value[i], error[i], q[i]) for i, c in enumerate(seen)]
    spread = float(made.world.losses.std())
    return Measured(
        truth=made.truth / spread,
        present=made.world.units >= ENOUGH,
        words=np.array([str(c.verdict) for c in seen]),
        unpaired=np.array(words),
        oracle=_oracle(made.world, paired, votes, judged),
        lo=np.array([c.lo for c in seen]) / spread,
        hi=np.array([c.hi for c in seen]) / spread,
        whole=str(found.whole.verdict),
        simpson=np.array([c.simpson for c in seen]),
    )


def _oracle(world: World, paired: Pair, votes: np.ndarray, judged: np.ndarray) -> np.ndarray:
    """(q,) bool: what one who knows which images show each phrase would call worse, among the phrases judged."""
    counts = world.shown.sum(axis=1)
    value = (world.shown @ paired.change) / np.maximum(counts, 1)
    variance = (world.shown @ paired.change**2) / np.maximum(counts, 1) - value**2
    error = np.sqrt(np.maximum(variance, 1e-300) / np.maximum(counts - 1, 1))
    p = np.where(counts > 1, 2 * scipy.stats.t.sf(np.abs(value) / error, np.maximum(counts - 1, 1)), 1.0)
    q = directed_q_values(p, value, votes, judged)
    return np.asarray(judged & (q <= Q_LEVEL) & (value - Z * error > 0) & (value >= paired.min_effect / 2))


def _word(paired: object, value: float, error: float, q: float) -> str:
    """The verdict on a change that is known less surely, by the same rules."""
    lo, hi = interval(value, error)
    told = ("perhaps" in paired.reason, "images like it" in paired.reason)  # type: ignore[attr-defined]
    if paired.verdict == "unseen":  # type: ignore[attr-defined]
        return "unseen"
    inputs = ChangeInputs(
        change=value,
        lo=lo,
        hi=hi,
        q_value=q,
        min_effect=paired.min_effect,  # type: ignore[attr-defined]
        n_effective=paired.n_effective,  # type: ignore[attr-defined]
        shown=paired.shown,  # type: ignore[attr-defined]
        doubtful=told[0],
        uncertain=told[0],
    )
    return str(decide_change(inputs)[0])


Summary = dict[str, float]


def summary(found: list[Measured]) -> Summary:
    """The figures of several worlds: phrases of all are pooled."""

    def share(part: list[np.ndarray], of: list[np.ndarray]) -> float:
        p, o = np.concatenate(part), np.concatenate(of)
        return float((p & o).sum() / o.sum()) if o.any() else float("nan")

    called = [m.words == "worse" for m in found]
    harmless = [m.present & (m.truth < HARMLESS) for m in found]
    judged = [m.present & (m.words != "unseen") for m in found]
    return {
        "worlds": len(found),
        "worse": sum(int(m.worse.sum()) for m in found) / len(found),
        "called": sum(int(c.sum()) for c in called) / len(found),
        "false": share(harmless, called),
        "power": share(called, [m.worse for m in found]),
        "oracle_power": share([m.oracle for m in found], [m.worse for m in found]),
        "unpaired_false": share(harmless, [m.unpaired == "worse" for m in found]),
        "unpaired_power": share([m.unpaired == "worse" for m in found], [m.worse for m in found]),
        "wrong_same": share([m.words == "same" for m in found], [m.present & (m.truth >= 0.2) for m in found]),
        "better": sum(int((m.present & (m.words == "better")).sum()) for m in found),
        "wrong_better": sum(int((m.present & (m.words == "better") & (m.truth > -HARMLESS)).sum()) for m in found),
        "coverage": share([(m.lo <= m.truth) & (m.truth <= m.hi) for m in found], judged),
        "whole_better": float(np.mean([m.whole == "better" for m in found])),
        "simpson": share([m.simpson for m in found], called),
    }
