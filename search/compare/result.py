"""Comparisons: frozen dataclasses that print well and turn into plain rows, as rankings do."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from fsearch.diagnoser.change_verdict import ChangeVerdict
from fsearch.diagnoser.changes import Change
from fsearch.diagnoser.choices import Correction
from fsearch.diagnoser.discovery.propose import Proposal
from fsearch.search.answer_table import AnswerTable
from fsearch.search.discovery.result import Ranked
from fsearch.search.hypotheses import Hypothesis

COLUMNS = tuple(field.name for field in fields(Change))
# what is found of the images that show a phrase: of a phrase that none shows, it would be about other images
FOUND = frozenset(COLUMNS) - {"hypothesis", "verdict", "reason", "simpson", "shown", "paired", "min_effect"}


def known(change: Change) -> dict[str, Any]:
    """The columns of a change, without numbers that look like findings where it is `unseen`, or that are none."""
    row = {name: getattr(change, name) for name in COLUMNS}
    if change.verdict == ChangeVerdict.UNSEEN:
        return row | dict.fromkeys(FOUND)
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in row.items()}


@dataclass(frozen=True, slots=True)
class MovedImage:
    """An image that shows a phrase and whose loss moved as the phrase's did.

    Attributes
    ----------
    membership : the chance that it shows the phrase.
    before, after : its losses.
    path : path or URL at which it can be opened; None where it is in an archive, a table or a program.
    """

    key: str
    image_id: int
    membership: float
    before: float
    after: float
    path: str | None = None

    def __str__(self) -> str:
        return f"loss {self.before:.3f} -> {self.after:.3f}  {self.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeAnswer(Change):
    """A change with the phrase as it was asked, and the images that moved as it did. See Change for the numbers.

    Attributes
    ----------
    origin : where a discovery had it from; None for a phrase that was listed.
    wording_of : of a phrase that was found, the one that heads its concept; `wordings` : of such a head, the others.
    """

    group: str | None = None
    template: str | None = None
    images: tuple[MovedImage, ...] = ()
    origin: str | None = None
    wording_of: str | None = None
    wordings: tuple[str, ...] = ()

    @classmethod
    def of(cls, change: Change, hypothesis: Hypothesis, images: tuple[MovedImage, ...]) -> ChangeAnswer:
        """The answer to `hypothesis`."""
        values: dict[str, Any] = {name: getattr(change, name) for name in COLUMNS}
        return cls(**values, group=hypothesis.group, template=hypothesis.template, images=images)

    @property
    def text(self) -> str:
        """The phrase as asked."""
        return self.hypothesis

    @property
    def title(self) -> str:
        """The phrase as asked: a comparison has no slices."""
        return self.hypothesis

    def as_row(self) -> dict[str, Any]:
        """One flat row without the images: the columns of `changes`, with the hypothesis' group and template.

        What is FOUND is None where the verdict is `unseen`.
        """
        more = {"origin": self.origin, "wording_of": self.wording_of}
        return {"hypothesis": self.text, "group": self.group, "template": self.template} | known(self) | more

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        return self.as_row() | {"images": [asdict(image) for image in self.images]}


def label(change: Change) -> str:
    """The phrase as a table has it: other wordings of what was found are set in."""
    wording = isinstance(change, ChangeAnswer) and change.wording_of is not None
    return f"  or: {change.hypothesis}" if wording else change.hypothesis


def found(change: Change) -> bool:
    """Whether nobody listed it."""
    return isinstance(change, ChangeAnswer) and change.origin is not None


@dataclass(frozen=True, slots=True)
class Comparison(AnswerTable[ChangeAnswer]):
    """What changed from the model `before` to the model `after`: a stored comparison, what got worse first.

    Attributes
    ----------
    whole : the change of the mean loss of all images.
    images, either : images with a loss of both models, which alone take part, and with a loss of one or both.
    standardised : whether losses were compared in each model's own standard deviations, less its mean.
    stale : models whose fit is of other images or losses: images added since take no part.
    hidden : none: a comparison asks about no slice.
    """

    comparison_id: int
    before: str
    after: str
    whole: Change
    answers: tuple[ChangeAnswer, ...]
    notes: tuple[str, ...]
    created_at: datetime
    images: int
    either: int
    correction: Correction = "bh"
    standardised: bool = False
    stale: tuple[str, ...] = ()
    hidden: tuple[ChangeAnswer, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        head = {name: getattr(self, name) for name in ("comparison_id", "before", "after", "images", "either")}
        head |= {"created_at": self.created_at.isoformat(), "correction": self.correction}
        head |= {
            "standardised": self.standardised,
            "stale": list(self.stale),
            "whole": known(self.whole),
            "notes": list(self.notes),
        }
        return head | {"changes": [{"rank": i, **a.as_dict()} for i, a in enumerate(self.answers, start=1)]}

    def _repr_html_(self) -> str:
        from fsearch.search.notebook import rows_html

        shown = ("hypothesis", "verdict", "change", "lo", "hi", "before", "after", "n_effective", "q_value", "reason")
        rows = [known(self.whole), *(a.as_row() for a in self.answers)]
        return rows_html([{name: row[name] for name in shown} for row in rows], f"{self.before} -> {self.after}")

    def __str__(self) -> str:
        width = max(len(label(a)) for a in (self.whole, *self.answers))
        lines = [f"{'rank':>4}  {'hypothesis':<{width}}  verdict  change    90% interval       before  after   q"]
        for i, a in enumerate((self.whole, *self.answers)):
            numbers = f"{a.change:+.3f}  [{a.lo:+.3f}, {a.hi:+.3f}]  {a.before:.3f}   {a.after:.3f}   {a.q_value:.2g}"
            seen = numbers if a.verdict != ChangeVerdict.UNSEEN else ""
            lines.append(f"{i or '':>4}  {label(a):<{width}}  {a.verdict:<7}  {seen}{'  found' * found(a)}".rstrip())
        return "\n".join([*lines, *(f"note: {n}" for n in self.notes)])


def ranked(answers: Sequence[ChangeAnswer], whole: float = 0.0) -> tuple[ChangeAnswer, ...]:
    """What got worse than the rest first: the change less that of all images, `whole`, in its own standard errors.

    Where all images lose more, so do those of every phrase. Phrases that no image speaks for stand last.
    """

    def place(a: ChangeAnswer) -> tuple[bool, float, str]:
        return a.verdict == ChangeVerdict.UNSEEN, -a.beyond(whole), a.title

    return tuple(sorted(answers, key=place))


@dataclass(frozen=True, slots=True)
class Placed:
    """A change at its rank. Of one that was found, `concept` is the rank of the head, `proposal` what was proposed."""

    answer: ChangeAnswer
    concept: int | None = None
    proposal: Proposal | None = None


def in_order(listed: Sequence[ChangeAnswer], found: Sequence[Ranked[ChangeAnswer]], whole: float) -> list[Placed]:
    """What was listed and what was found in order of rank, each head followed by its other wordings."""
    below: dict[str | None, list[Ranked[ChangeAnswer]]] = defaultdict(list)
    for each in found:
        below[each.answer.wording_of].append(each)
    heads = {id(each.answer): each for each in below.pop(None, [])}
    places: list[Placed] = []
    for answer in ranked([*listed, *(each.answer for each in heads.values())], whole):
        if (head := heads.get(id(answer))) is None:
            places.append(Placed(answer))
            continue
        first = len(places) + 1
        places += [Placed(each.answer, first, each.proposal) for each in (head, *below[answer.text])]
    return places
