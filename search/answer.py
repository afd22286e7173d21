"""Answers and rankings: frozen dataclasses that print well and turn into plain rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from fsearch.diagnoser.choices import Correction
from fsearch.diagnoser.exhibits import Histogram, Kind
from fsearch.diagnoser.finding import Finding
from fsearch.diagnoser.verdict import Verdict
from fsearch.indexer.errors import require_one_of
from fsearch.search.answer_table import AnswerTable
from fsearch.search.hypotheses import Hypothesis
from fsearch.search.neighbour import Neighbour

if TYPE_CHECKING:
    from PIL import Image

_EXPLAINED = 0.5  # share of the observed lift that is left of a phrase whose cause is another one
COLUMNS = tuple(field.name for field in fields(Finding))
_OF_UNSEEN = (
    "hypothesis",
    "verdict",
    "reason",
    "within",
    "baseline",
    "loss_std",
    "min_effect",
    "conformal",
    "calibrated",
)
_OF_PRESENCE = ("shown", "similarity", "log_mean_exp", "centred_similarity", "margin", "winners")
_THRESHOLDS = ("similarity_threshold", "log_mean_exp_threshold", "centred_threshold", "margin_threshold")
# what is found of the images that show a phrase: of a phrase that none shows, it would be about other images
FOUND = frozenset(COLUMNS) - {*_OF_UNSEEN, *_OF_PRESENCE, *_THRESHOLDS}


def known(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `rankings` without numbers that look like findings, where the phrase is `unseen`."""
    return row | dict.fromkeys(FOUND & row.keys()) if row["verdict"] == Verdict.UNSEEN else row


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Finding):
    """A finding with the phrase as it was asked, and the images behind it. See Finding for the numbers.

    Attributes
    ----------
    group, template : of the hypothesis, if it has them.
    failing, passing : images that show the phrase and lose more than the mean, and such that do not; the best first.
    nearest : the images nearest to the phrase.
    histogram : how the losses of such images are spread, and those of the rest.
    shares_with : failing phrases that share its images, each with its overlap, 0 to 1.
    origin : where a discovery had it from; None for a phrase that was asked.
    wording_of : in a discovery, the phrase that heads its concept; `wordings` : of such a head, the other wordings.
    question, level : its place among the questions asked one at a time, and its level there; None elsewhere.
    """

    group: str | None
    template: str | None
    failing: tuple[Neighbour, ...] = ()
    passing: tuple[Neighbour, ...] = ()
    nearest: tuple[Neighbour, ...] = ()
    histogram: Histogram | None = None
    shares_with: tuple[tuple[str, float], ...] = ()
    origin: str | None = None
    wording_of: str | None = None
    wordings: tuple[str, ...] = ()
    question: int | None = None
    level: float | None = None

    @classmethod
    def of(
        cls,
        finding: Finding,
        hypothesis: Hypothesis,
        shares_with: tuple[tuple[str, float], ...] = (),
        *,
        histogram: Histogram | None = None,
        **images: tuple[Neighbour, ...],
    ) -> Answer:
        """The answer to `hypothesis`; `images` by their kind."""
        values: dict[str, Any] = {name: getattr(finding, name) for name in COLUMNS}
        values |= {"group": hypothesis.group, "template": hypothesis.template, "shares_with": shares_with}
        return cls(**values | images, histogram=histogram)

    def images_of(self, kind: Kind) -> tuple[Neighbour, ...]:
        """The images of one kind."""
        return {Kind.FAILING: self.failing, Kind.PASSING: self.passing, Kind.NEAREST: self.nearest}[kind]

    def images(self, n: int = 8, kind: str = "failing") -> list[Image.Image]:
        """The first images of one kind ("failing", "passing", "nearest") as PIL images. Raises BadInputError.

        Examples
        --------
        >>> answer = ws.query("dark skin tone")[0]
        >>> [image.mode for image in answer.images(2)]
        ['RGB', 'RGB']
        >>> len(answer.images(3, "passing"))
        3
        """
        from fsearch.search.notebook import open_image

        require_one_of("kind", kind, list(Kind))
        return [open_image(image) for image in self.images_of(Kind(kind))[:n]]

    def _repr_html_(self) -> str:
        from fsearch.search.notebook import answer_html

        return answer_html(self)

    @property
    def text(self) -> str:
        """The phrase as asked."""
        return self.hypothesis

    @property
    def title(self) -> str:
        """The phrase, and the slice it was asked in."""
        return f"{self.text} [{self.within}]" if self.within else self.text

    @property
    def explained_by(self) -> str | None:
        """The failing phrase that mostly explains this one; None where enough of its observed lift is its own."""
        if self.adjusted_lift is None or not self.shares_with:
            return None
        own = self.adjusted_lift / self.observed_lift if self.observed_lift > 0 else 1.0
        return max(self.shares_with, key=lambda pair: pair[1])[0] if own < _EXPLAINED else None

    def as_row(self) -> dict[str, Any]:
        """One flat row without the images: the columns of `rankings`, with the hypothesis' group and template.

        What is FOUND is None where the verdict is `unseen`.
        """
        columns = known({name: getattr(self, name) for name in COLUMNS})
        return {"hypothesis": self.text, "group": self.group, "template": self.template} | columns

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        shared = [{"hypothesis": text, "overlap": overlap} for text, overlap in self.shares_with]
        images = {str(kind): [asdict(n) for n in self.images_of(kind)] for kind in Kind}
        more: dict[str, Any] = {"question": self.question, "level": self.level}
        more |= {"origin": self.origin, "wording_of": self.wording_of} if self.origin else {}
        more |= {"shares_with": shared, **images, "histogram": self.histogram and asdict(self.histogram)}
        return self.as_row() | more

    def __str__(self) -> str:
        return "\n".join([*self.lines(), *(f"  {word:<7}  {n}" for word, n in self.shown_images())])

    def shown_images(self, nearest: bool = False) -> list[tuple[str, Neighbour]]:
        """The images with a word each: those that fail and those that do not, or the `nearest`."""
        if nearest or self.verdict == Verdict.UNSEEN:
            return [("nearest", n) for n in self.nearest]
        return [(word, n) for word, some in (("fails", self.failing), ("passes", self.passing)) for n in some]

    def lines(self) -> list[str]:
        """The verdict, its reason and the numbers, in words."""
        lines = [f"{self.title}: {self.verdict.upper()} ({self.reason})"]
        above = "" if self.percentile is None else f"above {self.percentile:.0f}% of reference phrases; "
        numbers = [
            f"  predicted loss {self.expected_loss:.3f}, baseline {self.baseline:.3f}, "
            f"lift {self.lift:+.3f} [{self.lo:+.3f}, {self.hi:+.3f}]",
            f"  {above}observed lift {self.observed_lift:+.3f}, "
            f"n_effective {self.n_effective:.0f}, p {self.p_value:.2g}",
        ]
        if self.question is not None:
            numbers.append(f"  question {self.question:,} of this fit; its level is {self.level:.2g}")
        if self.contrast is not None:
            lines.append(f"  against the rest of {self.group!r}: {self.contrast:+.3f}, q {self.contrast_q:.2g}")
        if self.verdict != Verdict.UNSEEN:  # numbers about the wrong images say nothing; JSON and --explain have them
            lines[1:1] = numbers
        return lines


@dataclass(frozen=True, slots=True)
class Answers(AnswerTable[Answer]):
    """Answers to phrases asked together, in the order asked, with notes on all of them.

    Attributes
    ----------
    images : how many took part; `correction` : how p-values became q-values.
    hidden : what fails, or is suspect, among images that do not show the worst failing phrase, and is neither among
        all; worst first.
    """

    model: str
    answers: tuple[Answer, ...]
    notes: tuple[str, ...] = ()
    images: int = 0
    correction: Correction = "bh"
    hidden: tuple[Answer, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        answers, hidden = ([a.as_dict() for a in some] for some in (self.answers, self.hidden))
        return {"model": self.model, "notes": list(self.notes), "answers": answers, "hidden": hidden}

    def __str__(self) -> str:
        blocks = [str(a) for a in self.answers]
        if self.hidden:
            blocks += [heading(self.hidden), *(str(a) for a in self.hidden)]
        return "\n".join([*blocks, *(f"note: {n}" for n in self.notes)])


@dataclass(frozen=True, slots=True)
class Ranking(AnswerTable[Answer]):
    """A stored run: answers ranked by the lift, worst first; `hidden` as in Answers, ranked after them."""

    run_id: int
    model: str
    answers: tuple[Answer, ...]
    notes: tuple[str, ...]
    created_at: datetime
    correction: Correction = "bh"
    hidden: tuple[Answer, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        head = {"run_id": self.run_id, "model": self.model, "created_at": self.created_at.isoformat()}
        rows = [{"rank": i, **a.as_dict()} for i, a in enumerate((*self.answers, *self.hidden), start=1)]
        ranking, hidden = rows[: len(self.answers)], rows[len(self.answers) :]
        return head | {"notes": list(self.notes), "ranking": ranking, "hidden": hidden}

    def __str__(self) -> str:
        every = (*self.answers, *self.hidden)
        width = max([10, *(len(a.title) for a in every)])
        lines = [f"{'rank':>4}  {'hypothesis':<{width}}  verdict   lift     90% interval       observed  q"]
        for i, a in enumerate(every, start=1):
            if self.hidden and i == len(self.answers) + 1:
                lines.append(heading(self.hidden))
            numbers = f"{a.lift:+.3f}  [{a.lo:+.3f}, {a.hi:+.3f}]  {a.observed_lift:+.3f}    {a.q_value:.2g}"
            row = f"{i:>4}  {a.title:<{width}}  {a.verdict:<8}  {numbers if a.verdict != 'unseen' else ''}"
            lines.append(row.rstrip())
        return "\n".join([*lines, *(f"note: {n}" for n in self.notes)])


def ranked(answers: Sequence[Answer]) -> tuple[Answer, ...]:
    """Worst first, by the strength of the evidence: a large lift on little does not lead.

    Phrases that the data cannot speak about (`unseen`) stand last.
    """
    return tuple(sorted(answers, key=lambda a: (a.verdict == Verdict.UNSEEN, -a.strength, a.title)))


def heading(hidden: Sequence[Answer]) -> str:
    """What stands above the block of what the worst failing phrase hides."""
    return f"{hidden[0].within}, which hides it:"
