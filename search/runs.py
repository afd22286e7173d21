"""Stored rankings (runs): store one with all it takes to make it again, list them, show one, and diff two."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from fsearch.diagnoser.exhibits import Kind
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.catalog import Connection
from fsearch.indexer.storage.rows import insert, scalar, utc_now
from fsearch.indexer.storage.schema import columns_of
from fsearch.indexer.storage.sql import quoted
from fsearch.indexer.workspace.store import Store
from fsearch.search.answer import COLUMNS, Answer, Ranking, known
from fsearch.search.hypotheses import Hypothesis
from fsearch.search.run import Run
from fsearch.search.run_diff import RunDiff, changed, size_of_change

HIDDEN = '("by" IS NULL AND within IS NOT NULL)'  # of runs joined to rankings: a row of what the worst failure hides
_LIST = (
    'SELECT run_id, created_at, model, source, bridge, condition, "by", seed, count(*) AS hypotheses, '
    "count(*) FILTER (verdict = 'fails') AS fails FROM runs JOIN rankings USING (run_id) "
    f"WHERE NOT {HIDDEN} GROUP BY ALL ORDER BY run_id DESC"
)
_RUN_COLUMNS, _RANKING_COLUMNS = (columns_of(table) for table in ("runs", "rankings"))
_IGNORED = ("run_id", "created_at", "options")
PATIENCE = 120.0  # seconds that a ranking waits for the commit of another process


def record(
    store: Store,
    run: Run,
    answers: Sequence[Answer],
    options: Mapping[str, Any] | None = None,
    more: Callable[[Connection, int], None] | None = None,
) -> tuple[int, datetime, tuple[int, ...]]:
    """Store `answers`, in order of rank, in one transaction: its id, its time, and the catalog's generation before it.

    No other writer touches what it writes, so it waits for the end of a transaction, not of a whole run of `losses add`
    or `fit`. `options` stand in the place of the query's own, where it was another command; `more` adds to the
    transaction, from the run's number.
    """
    now = utc_now()
    with store.catalog.write(PATIENCE) as con:
        before = store.layout.generation()
        run_id = scalar(con, "SELECT coalesce(max(run_id), 0) + 1 FROM runs")
        ids = hypothesis_ids(con, [Hypothesis(a.text, a.group, a.template) for a in answers])
        made = run.as_row() | ({} if options is None else {"options": json.dumps(options)})
        insert(con, "runs", pa.Table.from_pylist([{"run_id": run_id, "created_at": now, **made}]))
        rows = [_row(run_id, rank, i, a) for rank, (i, a) in enumerate(zip(ids, answers, strict=True), start=1)]
        if rows:
            insert(con, "rankings", pa.Table.from_pylist(rows))
        evidence = {  # by key: one text may be asked twice
            (a.within or "", i, kind, n.image_id): {
                "place": place,
                "similarity": n.similarity,
                "membership": n.membership,
                "loss": n.loss,
            }
            for i, a in zip(ids, answers, strict=True)
            for kind in Kind
            for place, n in enumerate(a.images_of(kind), start=1)
        }
        _insert_keyed(con, "evidence", run_id, ("within", "hypothesis_id", "kind", "image_id"), evidence)
        histograms = {
            (rank,): asdict(a.histogram) for rank, a in enumerate(answers, start=1) if a.histogram is not None
        }
        _insert_keyed(con, "loss_histograms", run_id, ("rank",), histograms)
        shared = {  # by key: one text may be asked in two templates
            (a.within or "", a.text, other): {"overlap": overlap} for a in answers for other, overlap in a.shares_with
        }
        _insert_keyed(con, "shared_images", run_id, ("within", "hypothesis", "other"), shared)
        if more is not None:
            more(con, run_id)
    return run_id, now, before


def _insert_keyed(
    con: Connection, table: str, run_id: int, names: tuple[str, ...], rows: Mapping[tuple[Any, ...], dict[str, Any]]
) -> None:
    """Insert rows given by their key, whose columns are `names` after run_id."""
    if rows:
        full = [{"run_id": run_id, **dict(zip(names, key, strict=True)), **row} for key, row in rows.items()]
        insert(con, table, pa.Table.from_pylist(full))


def _row(run_id: int, rank: int, hypothesis_id: int, answer: Answer) -> dict[str, Any]:
    columns = {name: getattr(answer, name) for name in COLUMNS}
    return {"run_id": run_id, "rank": rank, "hypothesis_id": hypothesis_id, **columns}


def hypothesis_ids(con: Connection, hypotheses: Sequence[Hypothesis]) -> list[int]:
    """The ids of `hypotheses`; those never seen before are added."""
    known: dict[Hypothesis, int] = {
        Hypothesis(text, group, template): i
        for i, text, group, template in con.execute(
            'SELECT hypothesis_id, text, "group", template FROM hypotheses'
        ).fetchall()
    }
    first = max(known.values(), default=0) + 1
    fresh = [h for h in dict.fromkeys(hypotheses) if h not in known]
    known |= {h: first + i for i, h in enumerate(fresh)}
    if fresh:
        columns = {
            "hypothesis_id": pa.array([known[h] for h in fresh], pa.int64()),
            "text": pa.array([h.text for h in fresh], pa.string()),
            "group": pa.array([h.group for h in fresh], pa.string()),
            "template": pa.array([h.template for h in fresh], pa.string()),
        }
        insert(con, "hypotheses", pa.table(columns))
    return [known[h] for h in hypotheses]


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A ranking as it was stored: `settings` is its row of `runs`, `rows` its rows of `rankings` in order of rank."""

    run_id: int
    settings: dict[str, Any]
    rows: pa.Table

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "settings": self.settings | {"created_at": self.settings["created_at"].isoformat()},
            "ranking": [known(row) for row in self.rows.to_pylist()],
        }

    def __str__(self) -> str:
        return "\n".join(f"{name:<12} {value}" for name, value in self.settings.items() if value is not None)


class Runs:
    """The stored rankings of a workspace, in the words of `fsearch runs`; `store` opens the workspace."""

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store

    def list(self) -> pa.Table:
        """Every run, newest first."""
        return self._store().catalog.sql(_LIST)

    def show(self, run_id: int) -> StoredRun:
        """One run. Raises BadInputError where there is none of this number."""
        catalog = self._store().catalog
        runs, rankings = (f"SELECT {', '.join(map(quoted, names))}" for names in (_RUN_COLUMNS, _RANKING_COLUMNS))
        settings = catalog.sql(f"{runs} FROM runs WHERE run_id = ?", [run_id]).to_pylist()
        if not settings:
            raise BadInputError(f"no run {run_id}; list them with: fsearch runs")
        rows = catalog.sql(f"{rankings} FROM rankings WHERE run_id = ? ORDER BY rank", [run_id])
        return StoredRun(run_id, settings[0], rows)

    def ranking(self, run_id: int | None = None) -> Ranking:
        """A run, the last by default, as `rank` returned it: answers with their images. Raises BadInputError."""
        from fsearch.indexer.workspace.image_places import ImagePlaces
        from fsearch.search.stored_ranking import latest_run, stored_ranking

        store = self._store()
        return stored_ranking(store, ImagePlaces(store), latest_run(store) if run_id is None else run_id)

    def report(
        self,
        run_id: int | None = None,
        *,
        comparison: int | None = None,
        beside: Sequence[int] = (),
        out: str | os.PathLike[str] = "report.html",
        **options: Any,
    ) -> Path:
        """Write a run, the last by default, or a stored comparison of two models, as one file to send.

        Parameters
        ----------
        comparison : number of a comparison to write in place of a run.
        beside : numbers of comparisons that the run's report shows too.
        options : fields of ReportOptions.

        Raises BadInputError where there is none of such a number.
        """
        from fsearch.indexer.workspace.image_reader import ImageReader
        from fsearch.search.web.change_report import change_report
        from fsearch.search.web.report import report
        from fsearch.search.web.sent import ReportOptions, write

        store, how = self._store(), ReportOptions(**options)
        reader = ImageReader(store)
        if comparison is None:
            return write(Path(out), lambda: report(store, reader, run_id, how, beside))
        if run_id is not None or beside:
            raise BadInputError("a report is of a run or of a comparison: give one number")
        return write(Path(out), lambda: change_report(store, reader, comparison, how))

    def diff(self, before: int, after: int) -> RunDiff:
        """What changed from one run to another: settings, verdicts, ranks and lifts."""
        old, new = self.show(before), self.show(after)
        names = [n for n in old.settings if n not in _IGNORED and old.settings[n] != new.settings[n]]
        settings = tuple((n, old.settings[n], new.settings[n]) for n in names)
        sides = [{(r["hypothesis"], r["within"]): r for r in run.rows.to_pylist()} for run in (old, new)]
        rows = [changed(key, sides[0].get(key), sides[1].get(key)) for key in dict.fromkeys([*sides[1], *sides[0]])]
        rows.sort(key=size_of_change, reverse=True)
        return RunDiff(before, after, settings, pa.Table.from_pylist(rows))

    def __call__(self) -> pa.Table:
        """Deprecated: use `list`."""
        warnings.warn("ws.runs() is now ws.runs.list()", DeprecationWarning, stacklevel=2)
        return self.list()
