"""What a discovery found: concepts, the worst first, each with its other wordings beneath it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from fsearch.diagnoser.discovery.propose import Proposal
from fsearch.search.answer import Answer, Ranking

A = TypeVar("A", bound=Any)  # an answer, or a change: it has a text, an origin, and wordings


@dataclass(frozen=True, slots=True)
class Ranked(Generic[A]):
    """An answer at its place, and what it answers. `concept` is the place, from 1, of the head of its concept."""

    answer: A
    proposal: Proposal
    concept: int


@dataclass(frozen=True, slots=True)
class Concept:
    """Something that was found: the answer that stands for it, and those to other wordings of it."""

    head: Answer
    wordings: tuple[Answer, ...]


@dataclass(frozen=True, slots=True)
class Discovery(Ranking):
    """A stored run that nobody listed the hypotheses of. Its answers stand concept by concept."""

    @property
    def concepts(self) -> tuple[Concept, ...]:
        """The concepts, worst first."""
        below: dict[str, list[Answer]] = defaultdict(list)
        for answer in self.answers:
            if answer.wording_of is not None:
                below[answer.wording_of].append(answer)
        return tuple(Concept(a, tuple(below[a.text])) for a in self.answers if a.wording_of is None)


def arranged(
    answers: Sequence[A], proposals: Sequence[Proposal], order: Sequence[int], ranked: Callable[[list[A]], Sequence[A]]
) -> list[Ranked[A]]:
    """Answers to `proposals` in order of rank: concepts by their heads, each followed by its other wordings.

    Parameters
    ----------
    order : the place of each proposal in the list that was proposed, which `Proposal.concept` refers to.
    ranked : puts answers in order.
    """
    members: dict[int, list[tuple[A, Proposal, int]]] = defaultdict(list)
    for answer, proposal, place in zip(answers, proposals, order, strict=True):
        members[proposal.concept].append((answer, proposal, place))
    heads = {concept: next(a for a, _, place in some if place == concept) for concept, some in members.items()}
    concept_of = {id(answer): concept for concept, answer in heads.items()}
    found: list[Ranked[A]] = []
    for head in ranked(list(heads.values())):
        some = {id(a): (a, p) for a, p, _ in members[concept_of[id(head)]]}
        first = len(found) + 1
        others = ranked([a for a, _ in some.values() if a is not head])
        found.append(
            Ranked(
                replace(head, origin=str(some[id(head)][1].candidate.origin), wordings=tuple(a.text for a in others)),
                some[id(head)][1],
                first,
            )
        )
        found += [
            Ranked(replace(a, origin=str(some[id(a)][1].candidate.origin), wording_of=head.text), some[id(a)][1], first)
            for a in others
        ]
    return found


def what_was_done(counts: Mapping[str, int], proposals: Sequence[Proposal], proposing: int, judging: int) -> str:
    """What was tried, as `counts` of each kind, and how many images proposed and judged."""
    concepts = len({p.concept for p in proposals})
    tried = ", ".join(f"{n:,} {what}" for what, n in counts.items() if n)
    return (
        f"tried {tried or 'regions alone'}; {proposing:,} images proposed {len(proposals):,} hypotheses in "
        f"{concepts:,} concepts, and {judging:,} other images judged them"
    )
