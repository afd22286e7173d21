"""What changed from one stored ranking to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class RunDiff:
    """What changed from one run to another.

    Attributes
    ----------
    settings : (name, before, after) of what they were made with, where it differs.
    rows : one row a hypothesis in either: verdicts, lifts and ranks of both; what changed its verdict comes first, then
        what changed its lift most.
    """

    before: int
    after: int
    settings: tuple[tuple[str, Any, Any], ...]
    rows: pa.Table

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        changed = [{"setting": n, "before": str(b), "after": str(a)} for n, b, a in self.settings]
        return {"before": self.before, "after": self.after, "settings": changed, "rows": self.rows.to_pylist()}

    def _repr_html_(self) -> str:
        from fsearch.search.notebook import rows_html

        return rows_html(self.rows.to_pylist(), str(self))

    def __str__(self) -> str:
        lines = [f"{name}: {before} -> {after}" for name, before, after in self.settings]
        return "\n".join(lines or ["made with the same settings"])


def changed(key: tuple[str, str | None], before: dict[str, Any] | None, after: dict[str, Any] | None) -> dict[str, Any]:
    """One hypothesis in two runs: `key` is its text and slice, `before` and `after` its rows of `rankings`, if any."""
    text, within = key
    row: dict[str, Any] = {"hypothesis": f"{text} [{within}]" if within else text}
    for name in ("verdict", "lift", "rank"):
        row |= {f"{name}_before": (before or {}).get(name), f"{name}_after": (after or {}).get(name)}
    return row


def size_of_change(row: dict[str, Any]) -> tuple[bool, float]:
    """How much a hypothesis changed, for sorting: its verdict, then its lift."""
    lifts = row["lift_before"], row["lift_after"]
    return row["verdict_before"] != row["verdict_after"], 0.0 if None in lifts else abs(lifts[1] - lifts[0])
