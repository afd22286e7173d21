"""fsearch on one world, in memory: fit, diagnosis and findings are the product's own. All calls of it are here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from benchmarks.planted.world import World

from fsearch.diagnoser.artifact import FitArtifact
from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.ensemble import Bagged
from fsearch.diagnoser.finding import Phrase
from fsearch.diagnoser.findings import Findings, find
from fsearch.diagnoser.fit import learn
from fsearch.indexer.vector_index.index import exact_index
from fsearch.indexer.vector_index.near_duplicates import dense
from fsearch.indexer.vector_index.near_duplicates import find as find_groups
from fsearch.indexer.workspace.store import Losses


@dataclass(frozen=True)
class Answers:
    """What the method says about each phrase of a world: (q,) arrays of its `words`, intervals and lifts.

    `rank` is the score by which it orders them, highest worst: its strength, phrases that it calls unseen last.
    `lift_alone` : the same by the lift in its own standard errors. `worst` : the position of the worst failing phrase.
    `hidden` : what it says of phrases among images that do not show that one, where it is worse than among all; empty
    elsewhere.
    """

    words: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    lift: np.ndarray
    rank: np.ndarray
    lift_alone: np.ndarray
    observed: np.ndarray
    signal: bool
    seconds: float
    worst: int | None
    hidden: np.ndarray


def diagnose(world: World, given: bool = False) -> tuple[Diagnosis, Bagged]:
    """What `fsearch fit` and a query would hold in memory for the images of `world`.

    Repeated images are found by the product, or `given` by the world's groups, as by `--group-by`.
    """
    vectors = world.vectors.astype(np.float16)
    own = world.groups if given else None
    groups = find_groups(vectors.astype(np.float32)) if own is None else dense(own)
    bagged, report = learn(vectors, world.losses, model="world", groups=groups, seed=world.seed)
    rows = np.arange(len(world.losses))
    index = exact_index(vectors, vectors.shape[1])
    index.add([vectors])
    artifact = FitArtifact.of(bagged, rows, world.reference, report, groups)
    return Diagnosis(artifact, Losses("world", rows, rows, world.losses), index), bagged


def ask(world: World, diagnosis: Diagnosis) -> Findings:
    """The findings on every phrase of `world`, asked together."""
    of = world.negates or (None,) * len(world.phrases)
    phrases = [Phrase(text, negates=positive) for text, positive in zip(world.phrases, of, strict=True)]
    return find({None: diagnosis}, world.texts, phrases, seed=world.seed)


def answered(findings: Findings, signal: bool, seconds: float) -> Answers:
    """Findings as arrays."""
    found = [f.finding for f in findings.found]
    hidden = {i: str(f.finding.verdict) for i, f in findings.hidden}
    words = np.array([str(f.verdict) for f in found])
    lo, hi, lift, observed = (
        np.array([getattr(f, name) for f in found], np.float64) for name in ("lo", "hi", "lift", "observed_lift")
    )
    rank, alone = (
        score - np.where(words == "unseen", 2 * np.ptp(score) + 1.0, 0.0)
        for score in (
            np.array([f.strength for f in found]),
            lift / np.array([max(f.standard_error, 1e-300) for f in found]),
        )
    )
    again = np.array([hidden.get(i, "") for i in range(len(found))])
    return Answers(words, lo, hi, lift, rank, alone, observed, signal, seconds, findings.worst, again)
