"""The pages that compare: two runs of a model, and stored comparisons of two models (`fsearch compare`)."""

from __future__ import annotations

from typing import Any

from fsearch.diagnoser.change_verdict import ChangeVerdict
from fsearch.indexer.errors import BadInputError
from fsearch.search.web.changes import StoredChange, StoredComparison
from fsearch.search.web.frame import STRIP, Frame, Reading
from fsearch.search.web.moved import Sides

_LIST = (
    "SELECT c.comparison_id, c.created_at, c.before, c.after, c.condition, c.standardised, w.verdict, w.change, "
    "count(*) FILTER (r.verdict = 'worse' AND {0}) AS worse, count(*) FILTER ({0}) AS phrases "
    "FROM comparisons c JOIN changes r USING (comparison_id) "
    "JOIN changes w ON w.comparison_id = c.comparison_id AND w.rank = 0 GROUP BY ALL "
    "ORDER BY c.comparison_id DESC LIMIT 100"
).format("r.rank > 0 AND coalesce(r.concept, r.rank) = r.rank")


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
        found = StoredComparison.of(read.store, number)
        chosen = (1 if len(found.changes) > 1 else 0) if rank is None else rank
        if not 0 <= chosen < len(found.changes):
            raise BadInputError(f"comparison {number} has no rank {chosen}")
        change, after = found.changes[chosen], found.head["after"]
        images, without = self._moved(read, found.head, change)
        values = self.frame(after if after in read.models else None) | found.values()
        return values | {
            "made": found.making(self.program),
            "change": change,
            "count": len(found.changes),
            "moved": images,
            "without": without,
            "chosen": chosen,
            "command": self.command("report", "--comparison", number, "-o", "report.html"),
        }

    def _moved(self, read: Reading, head: dict[str, Any], change: StoredChange) -> tuple[list[Any], str]:
        """The images of a change, and why there are none where these cannot be found any more."""
        if change.verdict == ChangeVerdict.UNSEEN:
            return [], ""
        key = head["before"], head["after"], bool(head["standardised"]), head["condition"]
        try:
            sides = read.sides.setdefault(key, Sides(read.store, *key))
            of = change.shown_by(read.store, head["comparison_id"])
            return sides.moved(of, change.change, read.reader, STRIP), ""
        except BadInputError as error:
            return [], str(error)
