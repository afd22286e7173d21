"""What a rule of a gate says, and what a file of rules says as a whole. Reading one is read.py's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from fsearch.diagnoser.verdict import MIN_SUPPORT, Verdict
from fsearch.search.hypotheses import Hypothesis

Kind = Literal["phrase", "group", "file", "by", "all"]
SMALL = "small"
BASELINE = "baseline"  # in a rule: the one that the file, or --baseline, names
Key = tuple[str, str | None]
ALLOWED = (str(Verdict.UNSEEN), str(Verdict.UNCLEAR), SMALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule: what it is about, and what must hold of it. Lifts and gaps are in units of the loss.

    Attributes
    ----------
    kind, subject : what it is about, as written: phrases, a group of siblings, a file, a column, or all images.
    phrases : the hypotheses that it speaks about; empty for a column and for all images.
    line : of the file, from 1.
    verdicts : the verdicts that pass; None where the rule does not look at verdicts.
    max_lift, max_upper : the lift, and the upper end of its interval, may be at most this.
    max_gap : the difference in mean loss between any two siblings may be at most this.
    no_worse_than : model or stored run that nothing may be worse than; max_change : by more than this.
    min_support : images, and groups of repeats, that must show it.
    allow : what passes although nothing is known: of ALLOWED.
    """

    kind: Kind
    subject: str
    phrases: tuple[Hypothesis, ...] = ()
    name: str = ""
    line: int = 1
    verdicts: frozenset[str] | None = None
    max_lift: float | None = None
    max_upper: float | None = None
    max_gap: float | None = None
    no_worse_than: str | None = None
    max_change: float | None = None
    min_support: float = MIN_SUPPORT
    allow: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        """How the rule is called."""
        return self.name or (self.subject if self.kind == "all" else f"{self.kind} {self.subject}")

    @property
    def accepted(self) -> frozenset[str]:
        """Words of a verdict that this rule takes for a pass or, where nothing is known, allows."""
        return (self.verdicts or frozenset()) | self.allow | {"fine"}

    @property
    def looks_at_lifts(self) -> bool:
        """Whether it asks anything of each subject by itself."""
        return self.verdicts is not None or self.max_lift is not None or self.max_upper is not None

    def siblings(self) -> dict[str, list[Hypothesis]]:
        """The groups within which gaps are looked for: the phrases listed, or those of each group of a file."""
        if self.kind == "phrase":
            return {self.subject: list(self.phrases)} if len(self.phrases) > 1 else {}
        found: dict[str, list[Hypothesis]] = {}
        for phrase in self.phrases:
            if phrase.group is not None:
                found.setdefault(phrase.group, []).append(phrase)
        return {name: phrases for name, phrases in found.items() if len(phrases) > 1}


@dataclass(frozen=True, slots=True)
class Rules:
    """A file of rules.

    Attributes
    ----------
    path : the file; model : the black box that must keep them, None for the only one there is.
    where : SQL predicate on the view `examples`: only such images are looked at.
    max_errors : images whose loss could not be had from the model may be at most so many.
    """

    path: Path
    rules: tuple[Rule, ...]
    model: str | None = None
    where: str | None = None
    max_errors: int = 0

    @property
    def phrases(self) -> list[Hypothesis]:
        """Every phrase that a rule speaks about, once."""
        found: dict[Key, Hypothesis] = {}
        for rule in self.rules:
            for phrase in rule.phrases:
                found.setdefault(key(phrase), phrase)
        return list(found.values())


class Asked(Protocol):
    """A phrase as it was asked: a hypothesis, or an answer to one."""

    @property
    def text(self) -> str:
        """Its words."""

    @property
    def template(self) -> str | None:
        """What they are put into, where it is its own."""


def key(phrase: Asked) -> Key:
    """What makes two phrases one question."""
    return phrase.text.lower(), phrase.template
