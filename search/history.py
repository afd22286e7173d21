"""Stored rankings again: list them, show one with all it was made with, and say what changed between two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.workspace.store import Store

_LIST = (
    'SELECT run_id, created_at, model, source, bridge, condition, "by", seed, count(*) AS hypotheses, '
    "count(*) FILTER (verdict = 'fails') AS fails FROM runs JOIN rankings USING (run_id) "
    "GROUP BY ALL ORDER BY run_id DESC"
)
_IGNORED = ("run_id", "created_at")


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A ranking as it was stored: `settings` is its row of `runs`, `rows` its rows of `rankings` in order of rank."""

    run_id: int
    settings: dict[str, Any]
    rows: pa.Table

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"settings": _plain(self.settings), "ranking": self.rows.to_pylist()}

    def __str__(self) -> str:
        return "\n".join(f"{name:<12} {value}" for name, value in self.settings.items() if value is not None)


@dataclass(frozen=True, slots=True)
class RunDiff:
    """What changed from one run to another.

    Attributes
    ----------
    settings : (name, before, after) of what they were made with, where it differs.
    rows : one row a hypothesis in either: ranks, verdicts and lifts of both; what changed its verdict comes first.
    """

    before: int
    after: int
    settings: tuple[tuple[str, Any, Any], ...]
    rows: pa.Table

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        changed = [{"setting": n, "before": str(b), "after": str(a)} for n, b, a in self.settings]
        return {"before": self.before, "after": self.after, "settings": changed, "rows": self.rows.to_pylist()}

    def __str__(self) -> str:
        lines = [f"{name}: {before} -> {after}" for name, before, after in self.settings]
        return "\n".join(lines or ["made with the same settings"])


def listed(store: Store) -> pa.Table:
    """Every run, newest first."""
    return store.catalog.sql(_LIST)


def show(store: Store, run_id: int) -> StoredRun:
    """One run. Raises BadInputError where there is none of this number."""
    settings = store.catalog.sql("SELECT * FROM runs WHERE run_id = ?", [run_id]).to_pylist()
    if not settings:
        raise BadInputError(f"no run {run_id}; list them with: fsearch runs")
    rows = store.catalog.sql(
        "SELECT rank, hypothesis, within, verdict, lift, lo, hi, observed_lift, q_value, reason FROM rankings "
        "WHERE run_id = ? ORDER BY rank",
        [run_id],
    )
    return StoredRun(run_id, settings[0], rows)


def diff(before: StoredRun, after: StoredRun) -> RunDiff:
    """What changed from `before` to `after`."""
    names = [n for n in before.settings if n not in _IGNORED and before.settings[n] != after.settings[n]]
    settings = tuple((n, before.settings[n], after.settings[n]) for n in names)
    sides = [{(r["hypothesis"], r["within"]): r for r in run.rows.to_pylist()} for run in (before, after)]
    rows = [_changed(key, sides[0].get(key), sides[1].get(key)) for key in dict.fromkeys([*sides[1], *sides[0]])]
    rows.sort(key=lambda r: r["verdict_before"] == r["verdict_after"])
    return RunDiff(before.run_id, after.run_id, settings, pa.Table.from_pylist(rows))


def _changed(
    key: tuple[str, str | None], before: dict[str, Any] | None, after: dict[str, Any] | None
) -> dict[str, Any]:
    text, within = key
    row: dict[str, Any] = {"hypothesis": f"{text} [{within}]" if within else text}
    for name in ("rank", "verdict", "lift"):
        row |= {f"{name}_before": (before or {}).get(name), f"{name}_after": (after or {}).get(name)}
    return row


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    return settings | {"created_at": settings["created_at"].isoformat()}
