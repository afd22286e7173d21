"""The outcomes of a gate: of each check and of all of them. Never a pass where nothing is known."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from fsearch.diagnoser.group_table import GroupRow


class Outcome(StrEnum):
    """What a check came to; compares and prints as these words."""

    PASSES = "passes"
    FAILS = "fails"
    UNKNOWN = "could not tell"

    @property
    def exit_code(self) -> int:
        """What the command ends with; 3 is for a gate that could not run."""
        return {Outcome.PASSES: 0, Outcome.FAILS: 1, Outcome.UNKNOWN: 2}[self]

    @property
    def style(self) -> str:
        """Its colour on a terminal, as rich names it."""
        return {Outcome.PASSES: "green", Outcome.FAILS: "bold red", Outcome.UNKNOWN: "yellow"}[self]


_SENTENCES = {
    Outcome.PASSES: "the gate passes",
    Outcome.FAILS: "the gate fails",
    Outcome.UNKNOWN: "the gate could not tell",
}


def at_most(value: float, limit: float) -> Outcome:
    """Whether a number keeps a limit; what is no number could not be told."""
    if math.isnan(value) or math.isnan(limit):
        return Outcome.UNKNOWN
    return Outcome.PASSES if value <= limit else Outcome.FAILS


def surely_at_most(lo: float, hi: float, limit: float) -> Outcome:
    """Whether what lies in an interval keeps a limit: surely, surely not, or there is no telling."""
    if not lo <= hi or math.isnan(limit):
        return Outcome.UNKNOWN
    return Outcome.PASSES if hi <= limit else Outcome.FAILS if lo > limit else Outcome.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that a rule asks of one subject.

    Attributes
    ----------
    rule, line : the rule's title, and its line in the file.
    subject : a phrase, a group, a value of a column, or all images.
    check : what is asked, as the file words it: "verdict", "max_gap 0.1".
    reason : why it came out so.
    value, lo, hi : the number that was looked at and its interval, where there is one.
    """

    rule: str
    line: int
    subject: str
    check: str
    outcome: Outcome
    reason: str
    value: float | None = None
    lo: float | None = None
    hi: float | None = None


@dataclass(frozen=True, slots=True)
class GateResult:
    """What a gate came to.

    Attributes
    ----------
    checks : all of them, those that fail first, then those that could not be told.
    run_id, comparisons : the run and the comparisons that were stored for it.
    tables : mean loss by the values of each column that a rule names.
    report : where the report of the run is, if one was written.
    """

    source: str
    model: str
    checks: tuple[Check, ...]
    run_id: int | None
    comparisons: tuple[int, ...]
    tables: dict[str, tuple[GroupRow, ...]]
    notes: tuple[str, ...]
    report: str | None = None

    @property
    def outcome(self) -> Outcome:
        """It fails if anything fails, and passes only if everything passes and something was asked."""
        return combined(check.outcome for check in self.checks)

    @property
    def counts(self) -> Counter[Outcome]:
        """How many checks came to each outcome."""
        return Counter(check.outcome for check in self.checks)

    @property
    def sentence(self) -> str:
        """The outcome in a line."""
        words = {Outcome.PASSES: "passed", Outcome.FAILS: "failed", Outcome.UNKNOWN: "could not be told"}
        parts = ", ".join(f"{self.counts[outcome]} {word}" for outcome, word in words.items())
        return f"{_SENTENCES[self.outcome]}: of {len(self.checks)} checks on {self.model}, {parts}"

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "outcome": str(self.outcome),
            "exit_code": self.outcome.exit_code,
            "source": self.source,
            "model": self.model,
            "run_id": self.run_id,
            "comparisons": list(self.comparisons),
            "report": self.report,
            "checks": [_plain(check) for check in self.checks],
            "tables": {column: [_plain(row) for row in rows] for column, rows in self.tables.items()},
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        lines = [f"{c.outcome}: {c.subject} ({c.check}): {c.reason}" for c in self.checks]
        return "\n".join([self.sentence, *lines, *(f"note: {n}" for n in self.notes)])


def finite(value: Any) -> Any:
    """A value as JSON has it: a number that is none, or has no bound, is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(row: Check | GroupRow) -> dict[str, Any]:
    return {name: finite(value) for name, value in asdict(row).items()}


def combined(outcomes: Iterable[Outcome]) -> Outcome:
    """The outcome of several checks together; of none, there is no telling."""
    found = set(outcomes)
    if Outcome.FAILS in found:
        return Outcome.FAILS
    return Outcome.PASSES if found == {Outcome.PASSES} else Outcome.UNKNOWN


def in_order(checks: Iterable[Check]) -> tuple[Check, ...]:
    """What stops a release first."""
    order = [Outcome.FAILS, Outcome.UNKNOWN, Outcome.PASSES]
    return tuple(sorted(checks, key=lambda check: order.index(check.outcome)))
