"""What got worse and nobody listed: found among the first ten, and whether what is called worse truly is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from benchmarks.changes.measured import HARMLESS
from benchmarks.changes.worlds import Change
from benchmarks.discovery.__main__ import AGREES, kappa
from benchmarks.discovery.method import TOP
from benchmarks.discovery.worlds import bank
from benchmarks.planted.method import diagnose

from fsearch.data.portraits import phrases as taught
from fsearch.diagnoser.changes import find_changes
from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.discovery.definitions import Text
from fsearch.diagnoser.discovery.halves import proposing
from fsearch.diagnoser.discovery.judging import Defined, weights_in
from fsearch.diagnoser.discovery.propose import Candidate, Origin, Proposal, both_ways, propose
from fsearch.diagnoser.discovery.proposing import ProposingHalf
from fsearch.diagnoser.discovery.shortlist import shortlist
from fsearch.diagnoser.finding import Phrase
from fsearch.diagnoser.pairing import Pair, Side, pair

COLUMNS = ("among the first ten", "called `worse`", "false among `worse`", "coverage of 90%")


@dataclass(frozen=True)
class Found:
    """One world. `planted` : what got worse; of these, `listed` are among the first TOP, `called` are called worse.

    `worse` : entries called worse, of which `false` are not; `judged` : entries, of whose intervals `covered` hold the
    true change.
    """

    planted: int
    listed: int
    called: int
    worse: int
    false: int
    judged: int
    covered: int


def measure(made: Change, first: Diagnosis, clip: Path | None, permutations: int = 2000) -> Found:
    """Look for changes that nobody listed as the product does; `first` is the fit of the model before."""
    second, _ = diagnose(made.second)
    paired = pair(Side.of(first, None), Side.of(second, None), first)
    phrases, texts = _vocabulary(made, clip)
    proposes = proposing([f"{made.world.setting} {made.world.seed} {g}" for g in first.groups])
    proposals = _proposed(first, paired, proposes, phrases, texts, made.world.seed)
    told = Defined.of([p.candidate.definition for p in proposals], texts.shape[1])
    found = find_changes(
        first,
        paired,
        told.texts,
        [Phrase(proposals[i].candidate.name) for i in told.order],
        sets=told.sets,
        scope=paired.rows[~proposes],
        permutations=permutations,
        seed=made.world.seed,
    )
    heads = [(proposals[i], c) for i, c in zip(told.order, found.changes, strict=True) if proposals[i].concept == i]
    heads = [h for h in heads if h[1].verdict != "unseen"]
    heads.sort(key=lambda h: -h[1].beyond(found.whole.change))
    shows = [weights_in(first.retriever, p.candidate.definition) for p, _ in heads]
    rows = [(c, w, _true_change(made, p, w)) for (p, c), w in zip(heads, shows, strict=True)]
    worse = [(w, truth) for c, w, truth in rows if c.verdict == "worse"]
    return Found(
        planted=len(made.planted),
        listed=_recovered(made, shows[:TOP]),
        called=_recovered(made, [w for w, _ in worse[:TOP]]),
        worse=len(worse),
        false=sum(bool(truth < HARMLESS * made.world.losses.std()) for _, truth in worse),
        judged=len(rows),
        covered=sum(bool(c.lo <= truth <= c.hi) for c, _, truth in rows),
    )


def _vocabulary(made: Change, clip: Path | None) -> tuple[tuple[str, ...], np.ndarray]:
    """What may be tried: all that the portraits' encoder was taught, or the vocabulary that comes with fsearch."""
    if made.world.setting != "portraits":
        assert clip is not None
        return bank(clip)
    known = {text for text, _ in taught()}
    some = [i for i, p in enumerate(made.world.phrases) if p in known]
    return tuple(made.world.phrases[i] for i in some), made.world.texts[some]


def _proposed(
    first: Diagnosis, paired: Pair, proposes: np.ndarray, phrases: tuple[str, ...], texts: np.ndarray, seed: int
) -> list[Proposal]:
    own, ways = np.flatnonzero(proposes), []
    for sign in (1.0, -1.0):
        vectors = first.retriever.embeddings(own)
        half = ProposingHalf.of(vectors, paired.rows[own], sign * paired.change[own], paired.groups[own])
        kept = shortlist(first, half, texts.astype(np.float32))
        ways.append(propose(half, [Candidate(phrases[i], Origin.VOCABULARY, d) for i, d in kept], seed))
    return both_ways(*ways)


def _recovered(made: Change, listed: list[np.ndarray]) -> int:
    """How many of what got worse agree with an entry, by its images."""
    return sum(any(kappa(scores, concept) >= AGREES for scores in listed) for concept in made.planted)


def _true_change(made: Change, proposal: Proposal, weights: np.ndarray) -> float:
    """Of the images that truly show a phrase, where that is known; of those with the `weights`, (n,), elsewhere."""
    known = dict(zip(made.world.phrases, made.world.shown, strict=True))
    truly = known.get(proposal.candidate.name) if isinstance(proposal.candidate.definition, Text) else None
    shows = weights if truly is None or not truly.any() else truly.astype(float)
    return float(shows @ made.moved / shows.sum())


def line(source: str, share: float | str, effect: float | str, found: list[Found]) -> str:
    """One row of the table."""
    total = {name: sum(getattr(f, name) for f in found) for name in Found.__dataclass_fields__}

    def of(part: str, whole: str) -> str:
        return f"{total[part] / total[whole]:.2f} of {total[whole]}" if total[whole] else ""

    share, effect = (f"{v:g}" if isinstance(v, float) else v for v in (share, effect))
    cells = of("listed", "planted"), of("called", "planted"), of("false", "worse"), of("covered", "judged")
    return f"| {source} | {share} | {effect} | {' | '.join(cells)} |"
