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
from fsearch.search.compare.result import COLUMNS, Placed
from fsearch.search.discovery.stored import Images
from fsearch.search.hypotheses import Hypothesis
from fsearch.search.options import CompareOptions
from fsearch.search.run import versions
from fsearch.search.runs import PATIENCE, hypothesis_ids


def record(
    store: Store, head: dict[str, Any], options: CompareOptions, whole: Change, places: Sequence[Placed], of_set: Images
) -> tuple[int, datetime, tuple[int, ...]]:
    """Store a comparison in one transaction: its number, its time, and the catalog's generation before it.

    As a ranking does, it waits for the end of another process's transaction, not of its whole work.

    Parameters
    ----------
    head : the columns of `comparisons` that only the caller knows: before, after, source, images, either.
    places : what changed, in order of rank; of_set : see `record_discovery`.
    """
    answers = [place.answer for place in places]
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
            {"comparison_id": number, "rank": rank, "hypothesis_id": i, **{n: getattr(a, n) for n in COLUMNS}, **found}
            for rank, (i, a, found) in enumerate(
                zip((None, *ids), (whole, *answers), (_of_found(None), *map(_of_found, places)), strict=True)
            )
        ]
        insert(con, "changes", pa.Table.from_pylist(rows))
        for rank, place in enumerate(places, start=1):
            if place.proposal is not None and (images := of_set(place.proposal)) is not None and len(images[0]):
                columns = {"comparison_id": [number] * len(images[0]), "rank": [rank] * len(images[0])}
                insert(con, "changed_images", pa.table(columns | {"image_id": images[0], "membership": images[1]}))
    return number, now, before


def _of_found(place: Placed | None) -> dict[str, Any]:
    """The columns of what nobody listed."""
    if place is None or place.proposal is None:
        return {"origin": None, "concept": None, "proposed_change": None}
    return {"origin": place.answer.origin, "concept": place.concept, "proposed_change": place.proposal.lift}
