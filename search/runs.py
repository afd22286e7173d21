"""Store a ranking as a run: the rows, the images behind them, and what it takes to make it again."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from fsearch import __version__
from fsearch.indexer.storage.catalog import Connection, insert, scalar, utc_now
from fsearch.indexer.workspace.store import Store
from fsearch.search.answer import Answer
from fsearch.search.hypothesis import Hypothesis

_ENGINES = ("torch", "open_clip_torch", "xgboost", "duckdb", "numpy", "scipy")


@dataclass(frozen=True, slots=True)
class Run:
    """What a ranking was made with."""

    model: str
    bridge: str
    encoder: str
    seed: int
    permutations: int
    source: str
    condition: str | None
    by: str | None
    correction: str
    templates: tuple[str, ...]
    images: int
    fit_seed: int
    fit_images: int

    def as_row(self) -> dict[str, Any]:
        """One row of the table `runs`, but for its id and time."""
        return asdict(self) | {"templates": json.dumps(self.templates), "versions": _versions()}


def record(store: Store, run: Run, answers: Sequence[Answer]) -> tuple[int, datetime]:
    """Store `answers`, in order of rank, in one transaction. Call inside `store.writer()`."""
    now = utc_now()
    with store.catalog.write() as con:
        run_id = scalar(con, "SELECT coalesce(max(run_id), 0) + 1 FROM runs")
        ids = _hypothesis_ids(con, [a.hypothesis for a in answers])
        insert(con, "runs", pa.Table.from_pylist([{"run_id": run_id, "created_at": now, **run.as_row()}]))
        rows = [_row(run_id, rank, i, a) for rank, (i, a) in enumerate(zip(ids, answers, strict=True), start=1)]
        insert(con, "rankings", pa.Table.from_pylist(rows))
        evidence = {  # by key: copies of one image may stand in two slices
            (i, n.image_id): {"similarity": n.similarity, "loss": n.loss}
            for i, a in zip(ids, answers, strict=True)
            for n in a.nearest
        }
        _insert_keyed(con, "evidence", run_id, ("hypothesis_id", "image_id"), evidence)
        shared = {  # by key: one text may be asked in two templates
            (a.within or "", a.text, other): {"overlap": overlap} for a in answers for other, overlap in a.shares_with
        }
        _insert_keyed(con, "shared_images", run_id, ("within", "hypothesis", "other"), shared)
    return run_id, now


def _insert_keyed(
    con: Connection, table: str, run_id: int, names: tuple[str, ...], rows: Mapping[tuple[Any, ...], dict[str, Any]]
) -> None:
    """Insert rows given by their key, whose columns are `names` after run_id."""
    if rows:
        full = [{"run_id": run_id, **dict(zip(names, key, strict=True)), **row} for key, row in rows.items()]
        insert(con, table, pa.Table.from_pylist(full))


def _row(run_id: int, rank: int, hypothesis_id: int, answer: Answer) -> dict[str, Any]:
    row = answer.as_row()
    del row["group"], row["template"]
    return {"run_id": run_id, "rank": rank, "hypothesis_id": hypothesis_id, **row}


def _hypothesis_ids(con: Connection, hypotheses: Sequence[Hypothesis]) -> list[int]:
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


def _versions() -> str:
    found = {"fsearch": __version__}
    for name in _ENGINES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return json.dumps(found)
