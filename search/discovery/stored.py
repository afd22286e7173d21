"""A discovery in the catalog: a run like any other, where each hypothesis came from, and images that no word tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.discovery.judging import weights_in
from fsearch.diagnoser.discovery.propose import Origin, Proposal
from fsearch.indexer.storage.rows import insert
from fsearch.indexer.workspace.store import Store
from fsearch.search.answer import Answer
from fsearch.search.discovery.result import Ranked
from fsearch.search.options import DiscoverOptions
from fsearch.search.run import Run
from fsearch.search.runs import record

Images = Callable[[Proposal], tuple[NDArray[np.int64], NDArray[np.float64]] | None]


def record_discovery(
    store: Store, run: Run, options: DiscoverOptions, ranked: Sequence[Ranked[Answer]], images: Images
) -> tuple[int, datetime, tuple[int, ...]]:
    """Store a discovery in one transaction; see `runs.record`.

    `images` gives ids and chances of the images of a proposal that no word or column tells; None for others.
    """

    def more(con: Any, run_id: int) -> None:
        rows = [
            {
                "run_id": run_id,
                "rank": rank,
                "concept": r.concept,
                "origin": str(r.proposal.candidate.origin),
                "proposed_lift": r.proposal.lift,
            }
            for rank, r in enumerate(ranked, start=1)
        ]
        if rows:
            insert(con, "discoveries", pa.Table.from_pylist(rows))
        for rank, r in enumerate(ranked, start=1):
            if (found := images(r.proposal)) is not None and len(found[0]):
                ids, chances = found
                columns = {"run_id": [run_id] * len(ids), "rank": [rank] * len(ids)}
                insert(con, "discovered_images", pa.table(columns | {"image_id": ids, "membership": chances}))

    return record(store, run, [r.answer for r in ranked], asdict(options), more)


def of_set(whole: Diagnosis, proposal: Proposal) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """Ids and chances of the images of a region or conjunction; None for what words or a column tell."""
    if proposal.candidate.origin not in (Origin.REGION, Origin.CONJUNCTION):
        return None
    chances = weights_in(whole.retriever, proposal.candidate.definition)
    some = np.flatnonzero(chances >= 0.5)
    return whole.image_ids[some], chances[some]
