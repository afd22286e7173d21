"""Comparisons in the catalog: one is stored with all it takes to make it again. SQL reads them back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import pyarrow as pa

from fsearch.diagnoser.changes import Change
from fsearch.diagnoser.estimate import PERMUTATIONS
from fsearch.indexer.storage.rows import insert, scalar, utc_now
from fsearch.indexer.workspace.store import Store
from fsearch.search.compare.result import COLUMNS, ChangeAnswer
from fsearch.search.hypotheses import Hypothesis
from fsearch.search.options import CompareOptions
from fsearch.search.run import versions
from fsearch.search.runs import PATIENCE, hypothesis_ids


def record(
    store: Store, head: dict[str, Any], options: CompareOptions, whole: Change, answers: Sequence[ChangeAnswer]
) -> tuple[int, datetime, tuple[int, ...]]:
    """Store `answers`, in order of rank, in one transaction: its number, its time, the catalog's generation before it.

    As a ranking does, it waits for the end of another process's transaction, not of its whole work. `head` has the
    columns of `comparisons` that only the caller knows: before, after, source, images, either.
    """
    now = utc_now()
    with store.catalog.write(PATIENCE) as con:
        before = store.layout.generation()
        number = scalar(con, "SELECT coalesce(max(comparison_id), 0) + 1 FROM comparisons")
        ids = hypothesis_ids(con, [Hypothesis(a.text, a.group, a.template) for a in answers])
        row = head | {
            "comparison_id": number,
            "created_at": now,
            "condition": options.where,
            "correction": options.fdr,
            "standardised": options.standardise,
            "encoder": str(store.encoder),
            "templates": json.dumps(store.templates),
            "seed": options.seed,
            "permutations": PERMUTATIONS,
            "versions": versions(),
            "options": json.dumps(asdict(options)),
        }
        insert(con, "comparisons", pa.Table.from_pylist([row]))
        rows = [
            {"comparison_id": number, "rank": rank, "hypothesis_id": i, **{n: getattr(a, n) for n in COLUMNS}}
            for rank, (i, a) in enumerate(zip((None, *ids), (whole, *answers), strict=True))
        ]
        insert(con, "changes", pa.Table.from_pylist(rows))
    return number, now, before
