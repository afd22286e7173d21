"""What a question gives back about each phrase: frozen dataclasses that print well and turn into plain rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from fsearch.diagnoser.verdict import Verdict
from fsearch.search.hypothesis import Hypothesis

_COLUMNS = (
    *(
        "verdict",
        "predicted_loss",
        "baseline",
        "lift",
        "lo",
        "hi",
        "observed_lift",
        "n_effective",
        "p_value",
        "q_value",
    ),
    *("reason", "predicted_lift", "percentile", "share", "purity", "within", "contrast", "contrast_q", "adjusted_lift"),
)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An image near the phrase: its key, its cosine to the phrase, its real loss."""

    key: str
    image_id: int
    similarity: float
    loss: float


@dataclass(frozen=True, slots=True)
class Basis:
    """What else went into one answer.

    Attributes
    ----------
    trust : share of the residuals that was believed; error : standard error of the lift; conformal : factor on it.
    similarity, mass : support in the index; least_similarity, least_mass : floors, `calibrated` to the encoder or not.
    observed_error : standard error of the observed lift under permutation.
    material : the lift that matters.
    """

    trust: float
    error: float
    conformal: float
    similarity: float
    mass: float
    least_similarity: float
    least_mass: float
    calibrated: bool
    observed_error: float
    material: float
    loss_std: float
    correction: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known about one phrase. Losses and lifts are in units of the loss; lifts are differences.

    Attributes
    ----------
    predicted_loss, baseline : expected loss on such images, and mean loss of all.
    predicted_lift : the ensemble's own; lift, lo, hi : corrected by real losses, with its 90% interval.
    percentile : of the lift among reference phrases, 0 to 100.
    observed_lift : mean real loss of images that show the phrase less that of the rest.
    n_effective : how many images carry the evidence.
    share, purity : expected share of images that show the phrase, among all and among those found.
    p_value, q_value : of observed_lift, one-sided; q is adjusted for all phrases asked together.
    verdict, reason : the word to act on and the rule that gave it.
    within : the slice of --by; contrast, contrast_q : against the other phrases of its group.
    adjusted_lift : observed lift with the other failing phrases held equal; shares_with : those, with their overlap.
    """

    hypothesis: Hypothesis
    predicted_loss: float
    baseline: float
    predicted_lift: float
    lift: float
    lo: float
    hi: float
    percentile: float
    observed_lift: float
    n_effective: float
    share: float
    purity: float
    p_value: float
    q_value: float
    verdict: Verdict
    reason: str
    nearest: tuple[Neighbour, ...]
    basis: Basis
    within: str | None = None
    contrast: float | None = None
    contrast_p: float | None = None
    contrast_q: float | None = None
    adjusted_lift: float | None = None
    shares_with: tuple[tuple[str, float], ...] = ()

    @property
    def text(self) -> str:
        """The phrase as asked."""
        return self.hypothesis.text

    @property
    def title(self) -> str:
        """The phrase, and the slice it was asked in."""
        return f"{self.text} [{self.within}]" if self.within else self.text

    def as_row(self) -> dict[str, Any]:
        """One flat row without the images."""
        row = {"hypothesis": self.text, "group": self.hypothesis.group, "template": self.hypothesis.template}
        return row | {name: getattr(self, name) for name in _COLUMNS}

    def as_dict(self) -> dict[str, Any]:
        """Everything, ready for JSON."""
        more = {"contrast_p": self.contrast_p, "basis": asdict(self.basis)}
        shared = [{"hypothesis": text, "overlap": overlap} for text, overlap in self.shares_with]
        return self.as_row() | more | {"shares_with": shared, "nearest": [asdict(n) for n in self.nearest]}

    def __str__(self) -> str:
        lines = [f"{self.title}: {self.verdict.upper()} ({self.reason})"]
        numbers = [
            f"  predicted loss {self.predicted_loss:.3f}, baseline {self.baseline:.3f}, "
            f"lift {self.lift:+.3f} [{self.lo:+.3f}, {self.hi:+.3f}]",
            f"  above {self.percentile:.0f}% of reference phrases; observed lift {self.observed_lift:+.3f}, "
            f"n_effective {self.n_effective:.0f}, p {self.p_value:.2g}",
        ]
        if self.contrast is not None:
            lines.append(
                f"  against the rest of {self.hypothesis.group!r}: {self.contrast:+.3f}, q {self.contrast_q:.2g}"
            )
        if self.verdict != "unseen":  # numbers about the wrong images say nothing; JSON and --explain have them
            lines[1:1] = numbers
        lines += [f"  {n.similarity:.3f}  loss {n.loss:.3f}  {n.key}" for n in self.nearest]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers to phrases asked together, in the order asked, with what the reader must know about all of them."""

    model: str
    answers: tuple[Answer, ...]
    notes: tuple[str, ...] = ()
    images: int = 0

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
    return tuple(sorted(answers, key=lambda a: (a.verdict == "unseen", -a.lift, a.title)))


def with_confounding(
    answer: Answer, adjusted: float, shares_with: tuple[tuple[str, float], ...], explained_by: str | None
) -> Answer:
    """`answer` with what is left of its lift; where little is, its reason names the phrase that explains it."""
    reason = f"{answer.reason}; mostly explained by {explained_by!r}" if explained_by else answer.reason
    return replace(answer, adjusted_lift=adjusted, shares_with=shares_with, reason=reason)
