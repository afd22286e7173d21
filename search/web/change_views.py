"""The pages that compare: two runs of a model, and stored comparisons of two models (`fsearch compare`)."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from fsearch.diagnoser.change_verdict import ChangeVerdict
from fsearch.diagnoser.changes import Change
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.schema import TABLES, columns_of
from fsearch.indexer.storage.sql import quoted
from fsearch.indexer.workspace.store import Store
from fsearch.search.compare.result import COLUMNS
from fsearch.search.hypotheses import Hypothesis
from fsearch.search.web.frame import STRIP, Frame, Reading
from fsearch.search.web.moved import Sides
from fsearch.search.web.plots import Axis

_LIST = (
    "SELECT c.comparison_id, c.created_at, c.before, c.after, c.condition, c.standardised, w.verdict, w.change, "
    "count(*) FILTER (r.verdict = 'worse' AND r.rank > 0) AS worse, count(*) FILTER (r.rank > 0) AS phrases "
    "FROM comparisons c JOIN changes r USING (comparison_id) "
    "JOIN changes w ON w.comparison_id = c.comparison_id AND w.rank = 0 GROUP BY ALL "
    "ORDER BY c.comparison_id DESC LIMIT 100"
)
_HEAD = f"SELECT {', '.join(map(quoted, columns_of('comparisons')))} FROM comparisons WHERE comparison_id = ?"
_ROWS = (
    f'SELECT r.rank, h."group", h.template, {", ".join(f"r.{quoted(name)}" for name in COLUMNS)} '
    "FROM changes r LEFT JOIN hypotheses h USING (hypothesis_id) WHERE r.comparison_id = ? ORDER BY r.rank"
)
_MEANINGS = {name: about for table in TABLES if table.name == "changes" for name, _, about in table.columns}
_IN_WORDS = {"hypothesis", "group", "template", "rank", "verdict", "reason", "simpson"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChange(Change):
    """A row of the table `changes`, with the phrase's group and template; rank 0 is all images."""

    rank: int
    group: str | None
    template: str | None

    @property
    def lift(self) -> float:
        """The change: what an axis has its place for."""
        return self.change

    @property
    def title(self) -> str:
        """The phrase; of rank 0, what it is about."""
        return self.hypothesis if self.rank else "All images"

    @property
    def numbers(self) -> list[tuple[str, Any, str]]:
        """Every number behind the verdict: its name, its value and what it means."""
        names = [f.name for f in fields(self) if f.name not in _IN_WORDS]
        return [(name.replace("_", " "), getattr(self, name), _MEANINGS[name]) for name in names]


class ChangeViews(Frame):
    """The part of `Views` that compares."""

    def compare(self, pair: tuple[int, int] | None) -> dict[str, Any]:
        """What was compared: the stored comparisons of models, and what changed between a `pair` of runs."""
        values = self.frame() | {"comparisons": self.store().catalog.sql(_LIST).to_pylist(), "pair": pair}
        if pair is None:
            return values | {"command": self.command("sql", "FROM comparisons")}
        found = self.workspace.runs.diff(*pair)
        rows = found.rows.to_pylist()
        changed = [r for r in rows if r["verdict_before"] != r["verdict_after"]]
        values |= {"settings": found.settings, "command": self.command("runs", "diff", *pair)}
        return values | {"changed": changed, "same": len(rows) - len(changed)}

    def comparison(self, number: int, rank: int | None) -> dict[str, Any]:
        """A stored comparison of two models with one of its phrases chosen; by default what got worse most surely."""
        read = self._now()
        head, rows = _stored(read.store, number)
        chosen = (1 if len(rows) > 1 else 0) if rank is None else rank
        if not 0 <= chosen < len(rows):
            raise BadInputError(f"comparison {number} has no rank {chosen}")
        change = rows[chosen]
        images, without = self._moved(read, head, change)
        asked = f"FROM changes WHERE comparison_id = {number} ORDER BY rank"
        seen = [r for r in rows if r.verdict != ChangeVerdict.UNSEEN]
        return self.frame(head["after"] if head["after"] in read.models else None) | {
            "comparison": head,
            "made": _making(head, self.program),
            "whole": rows[0],
            "rows": seen[seen[0].rank == 0 :],
            "unseen": [r for r in rows[1:] if r.verdict == ChangeVerdict.UNSEEN],
            "axis": Axis.of(seen),
            "change": change,
            "count": len(rows),
            "moved": images,
            "without": without,
            "chosen": chosen,
            "command": self.command("sql", asked),
        }

    def _moved(self, read: Reading, head: dict[str, Any], change: StoredChange) -> tuple[list[Any], str]:
        """The images of a change, and why there are none where these cannot be found any more."""
        if change.verdict == ChangeVerdict.UNSEEN:
            return [], ""
        key = head["before"], head["after"], bool(head["standardised"]), head["condition"]
        try:
            if gone := [name for name in key[:2] if name not in read.models]:
                raise BadInputError(f"the losses of {gone[0]!r} are gone")
            sides = read.sides.setdefault(key, Sides(read.store, *key))
            phrase = Hypothesis(change.hypothesis, change.group, change.template) if change.rank else None
            return sides.moved(phrase, change.change, read.reader, STRIP), ""
        except BadInputError as error:
            return [], str(error)


def _stored(store: Store, number: int) -> tuple[dict[str, Any], list[StoredChange]]:
    """A row of `comparisons` and its changes. Raises BadInputError where there is none."""
    heads: list[dict[str, Any]] = store.catalog.sql(_HEAD, [number]).to_pylist()
    if not heads:
        raise BadInputError(f"no comparison {number}; list them with: fsearch sql 'FROM comparisons'")
    rows = store.catalog.sql(_ROWS, [number]).to_pylist()
    return heads[0], [StoredChange(**row | {"verdict": ChangeVerdict(row["verdict"])}) for row in rows]


def _making(head: dict[str, Any], program: str) -> list[tuple[str, str]]:
    """How a comparison was made, in words."""
    words = [program, "compare", head["before"], head["after"]]
    words += [head["source"]] if head["source"] != "api" and not head["source"].startswith("run ") else []
    words += ["--where", head["condition"]] if head["condition"] else []
    words += ["--standardise"] if head["standardised"] else []
    when: datetime = head["created_at"]
    rows = [("made", when.strftime("%Y-%m-%d %H:%M")), ("phrases of", head["source"])]
    rows += [("only images that fulfil", head["condition"])] if head["condition"] else []
    rows += [("images", f"{head['images']:,} with a loss of both, of {head['either']:,} with a loss of one")]
    rows += [("encoder", head["encoder"]), ("correction", head["correction"]), ("seed", str(head["seed"]))]
    return [*rows, ("permutations", f"{head['permutations']:,}"), ("to make it again", shlex.join(words))]
