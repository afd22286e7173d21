"""Answers and rankings: frozen dataclasses that print well and turn into plain rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from fsearch.diagnoser.choices import Correction
from fsearch.diagnoser.findings import Finding
from fsearch.diagnoser.verdict import Verdict
from fsearch.search.hypotheses import Hypothesis

COLUMNS = tuple(field.name for field in fields(Finding))


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An image near the phrase: its key, its cosine to the phrase, its real loss."""

    key: str
    image_id: int
    similarity: float
    loss: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Finding):
    """A finding with the phrase as it was asked, and the images behind it. See Finding for the numbers.

    Attributes
    ----------
    group, template : of the hypothesis, if it has them.
    nearest : the images nearest to the phrase.
    shares_with : failing phrases that share its images, each with its overlap, 0 to 1.
    """

    group: str | None
    template: str | None
    nearest: tuple[Neighbour, ...]
    shares_with: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(
        cls,
        finding: Finding,
        hypothesis: Hypothesis,
        nearest: tuple[Neighbour, ...],
        shares_with: tuple[tuple[str, float], ...],
    ) -> Answer:
        """The answer to `hypothesis`."""
        columns = {name: getattr(finding, name) for name in COLUMNS}
        group, template = hypothesis.group, hypothesis.template
        return cls(**columns, group=group, template=template, nearest=nearest, shares_with=shares_with)

    @property
    def text(self) -> str:
        """The phrase as asked."""
        return self.hypothesis

    @property
    def title(self) -> str:
        """The phrase, and the slice it was asked in."""
        return f"{self.text} [{self.within}]" if self.within else self.text

    def as_row(self) -> dict[str, Any]:
        """One flat row without the images: the columns of `rankings`, with the hypothesis' group and template."""
        columns = {name: getattr(self, name) for name in COLUMNS}
        return {"hypothesis": self.text, "group": self.group, "template": self.template} | columns

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        shared = [{"hypothesis": text, "overlap": overlap} for text, overlap in self.shares_with]
        return self.as_row() | {"shares_with": shared, "nearest": [asdict(n) for n in self.nearest]}

    def __str__(self) -> str:
        lines = [f"{self.title}: {self.verdict.upper()} ({self.reason})"]
        above = "" if self.percentile is None else f"above {self.percentile:.0f}% of reference phrases; "
        numbers = [
            f"  predicted loss {self.expected_loss:.3f}, baseline {self.baseline:.3f}, "
            f"lift {self.lift:+.3f} [{self.lo:+.3f}, {self.hi:+.3f}]",
            f"  {above}observed lift {self.observed_lift:+.3f}, "
            f"n_effective {self.n_effective:.0f}, p {self.p_value:.2g}",
        ]
        if self.contrast is not None:
            lines.append(f"  against the rest of {self.group!r}: {self.contrast:+.3f}, q {self.contrast_q:.2g}")
        if self.verdict != Verdict.UNSEEN:  # numbers about the wrong images say nothing; JSON and --explain have them
            lines[1:1] = numbers
        lines += [f"  {n.similarity:.3f}  loss {n.loss:.3f}  {n.key}" for n in self.nearest]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers to phrases asked together, in the order asked, with notes on all of them.

    `images` is how many took part, `correction` how p-values became q-values.
    """

    model: str
    answers: tuple[Answer, ...]
    notes: tuple[str, ...] = ()
    images: int = 0
    correction: Correction = "bh"

    def __getitem__(self, i: int) -> Answer:
        return self.answers[i]

    def __len__(self) -> int:
        return len(self.answers)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"model": self.model, "notes": list(self.notes), "answers": [a.as_dict() for a in self.answers]}

    def __str__(self) -> str:
        return "\n".join([*(str(a) for a in self.answers), *(f"note: {n}" for n in self.notes)])


@dataclass(frozen=True, slots=True)
class Ranking:
    """A stored run: answers ranked by the lift, worst first."""

    run_id: int
    model: str
    answers: tuple[Answer, ...]
    notes: tuple[str, ...]
    created_at: datetime
    correction: Correction = "bh"

    def as_rows(self) -> list[dict[str, Any]]:
        """One flat row an answer, with its rank."""
        return [{"rank": i, **a.as_row()} for i, a in enumerate(self.answers, start=1)]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        head = {"run_id": self.run_id, "model": self.model, "created_at": self.created_at.isoformat()}
        rows = [{"rank": i, **a.as_dict()} for i, a in enumerate(self.answers, start=1)]
        return head | {"notes": list(self.notes), "ranking": rows}

    def __str__(self) -> str:
        width = max([10, *(len(a.title) for a in self.answers)])
        lines = [f"{'rank':>4}  {'hypothesis':<{width}}  verdict   lift     90% interval       observed  q"]
        for i, a in enumerate(self.answers, start=1):
            numbers = f"{a.lift:+.3f}  [{a.lo:+.3f}, {a.hi:+.3f}]  {a.observed_lift:+.3f}    {a.q_value:.2g}"
            row = f"{i:>4}  {a.title:<{width}}  {a.verdict:<8}  {numbers if a.verdict != 'unseen' else ''}"
            lines.append(row.rstrip())
        return "\n".join([*lines, *(f"note: {n}" for n in self.notes)])


def ranked(answers: Sequence[Answer]) -> tuple[Answer, ...]:
    """Worst first, by the lift: it is shrunk by its own uncertainty, so a large one on thin evidence does not lead.

    Phrases that the data cannot speak about (`unseen`) stand last.
    """
    return tuple(sorted(answers, key=lambda a: (a.verdict == Verdict.UNSEEN, -a.lift, a.title)))
