"""What a question gives back: frozen dataclasses that print well and turn into plain rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from fsearch.diagnoser.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A phrase to ask about. `template`, if any, holds {} where the text goes before it is embedded."""

    text: str
    group: str | None = None
    template: str | None = None

    @property
    def prompt(self) -> str:
        """What the encoder reads."""
        return self.template.format(self.text) if self.template else self.text


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An image near the phrase: its key, its cosine to the phrase, its real loss."""

    key: str
    image_id: int
    similarity: float
    loss: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What is known about one phrase. Losses and lifts are in units of the loss; lifts are differences.

    Attributes
    ----------
    predicted_loss, baseline : expected loss on such images, and on all images.
    lift, lo, hi : predicted_loss - baseline, with its 90% interval.
    observed_lift : mean real loss of such images less that of the rest.
    n_effective : how many images carry the evidence.
    p_value, q_value : of observed_lift, one-sided; q is adjusted for all phrases asked together.
    verdict, reason : the word to act on and the rule that gave it.
    """

    hypothesis: Hypothesis
    predicted_loss: float
    baseline: float
    lift: float
    lo: float
    hi: float
    observed_lift: float
    n_effective: float
    p_value: float
    q_value: float
    verdict: Verdict
    reason: str
    nearest: tuple[Neighbour, ...]

    @property
    def text(self) -> str:
        """The phrase as asked."""
        return self.hypothesis.text

    def as_row(self) -> dict[str, Any]:
        """One flat row without the images."""
        row = {"hypothesis": self.text, "group": self.hypothesis.group, "template": self.hypothesis.template}
        names = ("verdict", "predicted_loss", "baseline", "lift", "lo", "hi", "observed_lift")
        more = ("n_effective", "p_value", "q_value", "reason")
        return row | {name: getattr(self, name) for name in (*names, *more)}

    def as_dict(self) -> dict[str, Any]:
        """The row and the nearest images, ready for JSON."""
        return self.as_row() | {"nearest": [asdict(n) for n in self.nearest]}

    def __str__(self) -> str:
        lines = [
            f"{self.text}: {self.verdict.upper()} ({self.reason})",
            f"  predicted loss {self.predicted_loss:.3f}, baseline {self.baseline:.3f}, "
            f"lift {self.lift:+.3f} [{self.lo:+.3f}, {self.hi:+.3f}]",
            f"  observed lift {self.observed_lift:+.3f}, n_effective {self.n_effective:.0f}, p {self.p_value:.2g}",
        ]
        lines += [f"  {n.similarity:.3f}  loss {n.loss:.3f}  {n.key}" for n in self.nearest]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers to phrases asked together, in the order asked, with what the reader must know about all of them."""

    model: str
    answers: tuple[Answer, ...]
    notes: tuple[str, ...] = ()

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
    """A stored run: answers ranked by the lower bound of the lift, worst first."""

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
        return head | {"notes": list(self.notes), "ranking": self.as_rows()}

    def __str__(self) -> str:
        width = max([10, *(len(a.text) for a in self.answers)])
        lines = [f"{'rank':>4}  {'hypothesis':<{width}}  verdict   lift     90% interval       observed  q"]
        for i, a in enumerate(self.answers, start=1):
            lines.append(
                f"{i:>4}  {a.text:<{width}}  {a.verdict:<8}  {a.lift:+.3f}  "
                f"[{a.lo:+.3f}, {a.hi:+.3f}]  {a.observed_lift:+.3f}    {a.q_value:.2g}"
            )
        return "\n".join([*lines, *(f"note: {n}" for n in self.notes)])


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One black box in a workspace; the fit's figures are None before `fit`."""

    model: str
    images: int
    mean_loss: float
    spearman: float | None
    spearman_permuted: float | None
    signal: bool | None


@dataclass(frozen=True, slots=True)
class Info:
    """What a workspace holds."""

    workspace: str
    encoder: str
    dim: int
    images: int
    missing: int
    embeddings: int
    models: tuple[ModelInfo, ...]
    metadata: tuple[str, ...]
    runs: int
    rejected: tuple[tuple[str, str], ...]
    rejected_total: int

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [
            f"workspace   {self.workspace}",
            f"encoder     {self.encoder}, {self.dim} dimensions",
            f"images      {self.images:,} present, {self.missing:,} missing, {self.embeddings:,} embeddings",
            f"metadata    {', '.join(self.metadata) or 'none'}",
            f"runs        {self.runs:,}",
        ]
        lines += [f"model       {_model_line(m)}" for m in self.models] or ["model       none; add losses with index"]
        lines.append(f"rejected    {self.rejected_total:,}")
        lines += [f"            {key}: {reason}" for key, reason in self.rejected]
        if self.rejected_total > len(self.rejected):
            lines.append('            … all of them: fsearch sql "SELECT key, reason FROM rejected"')
        return "\n".join(lines)


def _model_line(m: ModelInfo) -> str:
    head = f"{m.model}: {m.images:,} losses, mean {m.mean_loss:.3f}"
    if m.spearman is None:
        return f"{head}; not fitted yet, run: fsearch fit"
    doubt = "" if m.signal else "; NO SIGNAL above chance"
    return f"{head}; out-of-bag Spearman {m.spearman:.3f} (permuted {m.spearman_permuted:.3f}){doubt}"


def ranked(answers: Sequence[Answer]) -> tuple[Answer, ...]:
    """Worst first: by the lower bound of the lift, so that a large lift on thin evidence does not lead.

    Phrases that the data cannot speak about (`unseen`) stand last.
    """
    return tuple(sorted(answers, key=lambda a: (a.verdict == "unseen", -a.lo, a.text)))
