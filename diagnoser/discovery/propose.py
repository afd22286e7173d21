"""What the proposing half proposes: a list of concepts, each with other wordings, in the order it found them in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.concepts import fold, inside, overlaps
from fsearch.diagnoser.confounding import SAME_IMAGES
from fsearch.diagnoser.discovery.conjunctions import conjunctions
from fsearch.diagnoser.discovery.definitions import All, Definition
from fsearch.diagnoser.discovery.proposing import ProposingHalf
from fsearch.diagnoser.discovery.regions import area, error_aware, places
from fsearch.diagnoser.discovery.shortlist import LEAST_Z
from fsearch.diagnoser.membership import ENOUGH

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

REPEATS = 0.99  # area under the ROC curve from which columns tell the loss by themselves, alone or together
HEADS, REGIONS, WORDINGS = 24, 8, 5  # concepts, further regions, and other wordings of each, at most
NEARLY = 0.75  # overlap from which two heads are one concept: each of them said something that the others had not
ALIKE = 0.9  # overlap from which one of two phrases stands for both
_PAIRED = 60  # concepts that are tried in pairs


class Origin(StrEnum):
    """Where a candidate comes from."""

    VOCABULARY = "vocabulary"
    CAPTIONS = "captions"
    COLUMN = "column"
    LLM = "llm"
    CONJUNCTION = "conjunction"
    REGION = "region"


@dataclass(frozen=True, slots=True)
class Candidate:
    """Something that may fail: how it is called, where it comes from, and which images are of it.

    `name` is empty for a region, which is named when it is shown.
    """

    name: str
    origin: Origin
    definition: Definition


@dataclass(frozen=True, slots=True)
class Proposal:
    """A candidate that is put to the judging half. `concept` : position of the head of its concept in the list.

    `lift` : mean loss of its images less that of the rest, in the proposing half: an exaggeration, since it was chosen
    for it.
    """

    candidate: Candidate
    concept: int
    lift: float


def propose(
    half: ProposingHalf,
    candidates: Sequence[Candidate],
    seed: int = 0,
    tick: Callable[[int, int], None] | None = None,
) -> list[Proposal]:
    """Propose concepts from `candidates`, from conjunctions of them, and from regions of the embedding space."""
    steps = iter(range(1, 5))

    def done() -> None:
        if tick:
            tick(next(steps), 4)

    single, weights = _speaking(half, candidates)
    done()
    pairs = _conjunctions(half, single, weights)
    done()
    lying = [Candidate("", Origin.REGION, region) for region in places(half, seed)]
    done()
    extra = [*pairs, *lying]
    pool, held = [*single, *extra], np.concatenate([weights, _weights(half, extra)])
    taken, left = half.pursue(held, half.evidence(held).z >= LEAST_Z, HEADS, LEAST_Z)
    found = _unexplained(half, left, held[taken], seed)
    done()
    heads = [pool[i] for i in taken] + found
    return _with_wordings(half, heads, np.concatenate([held[taken], _weights(half, found)]), single, weights)


def both_ways(rises: Sequence[Proposal], falls: Sequence[Proposal]) -> list[Proposal]:
    """Proposals of what rises and of what falls, as one list; what falls is proposed with the opposite sign."""
    turned = [Proposal(p.candidate, p.concept + len(rises), -p.lift) for p in falls]
    return [*rises, *turned]


def _weights(half: ProposingHalf, candidates: Sequence[Candidate]) -> Singles:
    """(q, n) chances on the proposing half."""
    found = np.empty((len(candidates), len(half)), np.float32)
    for row, candidate in zip(found, candidates, strict=True):
        row[:] = candidate.definition.weights(half.embeddings, half.rows)
    return found


def _speaking(half: ProposingHalf, candidates: Sequence[Candidate]) -> tuple[list[Candidate], Singles]:
    """The candidates of which enough images lose more than the rest, the clearest first, with their chances."""
    weights = _weights(half, candidates)
    said = half.evidence(weights)
    order = np.argsort(-said.z, kind="stable")
    order = order[(said.z[order] >= LEAST_Z) & (said.images[order] >= ENOUGH / 2)]
    return [candidates[i] for i in order], weights[order]


def _conjunctions(half: ProposingHalf, single: Sequence[Candidate], weights: Singles) -> list[Candidate]:
    overlap = overlaps(weights, weights)
    heads = np.unique(fold(overlap, np.arange(len(single))))[:_PAIRED]
    apart = overlap[np.ix_(heads, heads)] <= SAME_IMAGES
    chosen = [
        [single[heads[i]] for i in c.parts]
        for c in conjunctions(half, weights[heads], apart)
        if area(half.losses, np.prod(weights[heads[list(c.parts)]], axis=0)) < REPEATS
    ]
    return [
        Candidate(" and ".join(p.name for p in parts), Origin.CONJUNCTION, All(tuple(p.definition for p in parts)))
        for parts in chosen
    ]


def _unexplained(half: ProposingHalf, left: Floats, heads: Singles, seed: int) -> list[Candidate]:
    """Regions of what no candidate explains, and that lie in none of the `heads`, (h, n)."""
    if left.std() <= 1e-9 * max(float(half.losses.std()), 1e-300):
        return []
    lying = [Candidate("", Origin.REGION, region) for region in error_aware(half, left, seed)]
    rest = ProposingHalf(half.embeddings, half.rows, left, half.starts)
    weights = _weights(half, lying)
    outside = np.array([inside(w, heads) <= SAME_IMAGES for w in weights], bool)
    taken, _ = rest.pursue(weights, outside & (half.evidence(weights).z >= LEAST_Z), REGIONS, LEAST_Z)
    return [lying[i] for i in taken]


def _with_wordings(
    half: ProposingHalf, heads: list[Candidate], own: Singles, single: Sequence[Candidate], weights: Singles
) -> list[Proposal]:
    """Heads that share few images with earlier heads, each with other wordings: heads that share more, then others.

    Of phrases of nearly the same images, one stands for the concept: see `_speaker`.
    """
    every = [*heads, *(c for c in single if c not in heads)]
    rest = [i for i, c in enumerate(single) if c not in heads]
    held = np.concatenate([own, weights[rest]])
    lifts = half.evidence(held).lift
    head_of = fold(overlaps(own, own), np.arange(len(heads)), NEARLY)
    shared = overlaps(held, own) if len(heads) else np.zeros((len(every), 0))
    proposals: list[Proposal] = []
    for i in np.unique(head_of).tolist():
        same = [j for j in np.flatnonzero(head_of == i).tolist() if j != i and every[j].name]
        later = range(len(heads), len(every))
        same += [j for j in later if shared[j].argmax() == i and shared[j, i] > SAME_IMAGES]
        alike = [j for j in same if shared[j, i] >= ALIKE] if every[i].name else []
        head = _speaker([i, *alike], every)
        first = len(proposals)
        others = sorted((j for j in (i, *same) if j != head), key=lambda j: every[j].origin == Origin.VOCABULARY)
        others = others[:WORDINGS]  # the user's own words first
        proposals += [Proposal(every[j], first, float(lifts[j])) for j in (head, *others)]
    return proposals


def _speaker(alike: Sequence[int], every: Sequence[Candidate]) -> int:
    """The phrase whose words, in their order, most of the others hold; of several, the shortest: "dark skin" stands
    for "dark skin tone" and "darker skin" where "black", which is shorter, is in no other wording.
    """
    padded = {j: f" {every[j].name} " for j in alike}
    return min(alike, key=lambda j: (-sum(padded[j] in other for other in padded.values()), len(padded[j])))
