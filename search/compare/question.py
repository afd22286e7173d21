"""What a comparison is about: the two models, and the phrases where no file gives them. Names are resolved here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.sql import check_predicate
from fsearch.indexer.workspace.store import Store
from fsearch.search.hypotheses import Hypothesis

DISCOVER = "discover"  # the source of phrases that nobody listed
_PHRASES = (
    'SELECT h.text, h."group", h.template FROM rankings r JOIN hypotheses h USING (hypothesis_id) '
    "WHERE list_contains(?::BIGINT[], r.run_id) GROUP BY ALL ORDER BY min(r.run_id), min(r.rank)"
)
_SAID = "model, loss, prediction, predicted_loss, loss_split"  # by a model: not what an image is
_WHERE = (
    "SELECT DISTINCT embedding_row FROM (SELECT * FROM (SELECT * EXCLUDE ({}) FROM examples WHERE model IN (?, ?)) "
    "WHERE ({}\n))"
)


@dataclass(frozen=True, slots=True)
class Named:
    """One side of a comparison: a model, named by itself or by a stored run of it."""

    model: str
    run_id: int | None = None


def named(store: Store, name: str) -> Named:
    """What `name` stands for: a model or, if it is a number, a stored run. Raises BadInputError."""
    models = store.models()
    if name in models:
        return Named(name)
    if name.isdecimal():
        rows = store.catalog.sql("SELECT model FROM runs WHERE run_id = ?", [int(name[:18])]).to_pylist()
        if not rows:
            raise BadInputError(f"no model and no run {name}; list runs with: fsearch runs")
        if rows[0]["model"] not in models:
            raise BadInputError(f"run {name} is of model {rows[0]['model']!r}, whose losses are gone")
        return Named(rows[0]["model"], int(name))
    raise BadInputError(f"no losses of model {name!r}; this workspace has: {', '.join(models) or 'none'}")


def require_two(before: Named, after: Named) -> None:
    """Raise BadInputError where both are one model: there is nothing to pair."""
    if before.model != after.model:
        return
    if before.run_id is None or after.run_id is None:
        raise BadInputError(
            f"{before.model!r} would be compared with itself; a comparison pairs two models on the same images (for "
            "two data sets of one model, whose images are others, ask within each: fsearch rank FILE --by source)"
        )
    raise BadInputError(
        f"runs {before.run_id} and {after.run_id} are both of model {before.model!r}, whose earlier losses are not "
        f"kept, so nothing can be paired; what their answers differ in: "
        f"fsearch runs diff {before.run_id} {after.run_id}"
    )


def phrases_of(store: Store, before: Named, after: Named) -> tuple[list[Hypothesis], str]:
    """The phrases of the runs that were named, else of the last run of either model, and what they come from.

    Raises BadInputError where there is none.
    """
    runs = [side.run_id for side in (before, after) if side.run_id is not None]
    if not runs:
        found = store.catalog.sql(
            "SELECT max(run_id) AS run_id FROM runs WHERE model IN (?, ?)", [before.model, after.model]
        ).to_pylist()
        runs = [row["run_id"] for row in found if row["run_id"] is not None]
    rows: list[dict[str, Any]] = store.catalog.sql(_PHRASES, [runs]).to_pylist() if runs else []
    if not rows:
        raise BadInputError("name a file of hypotheses: no run of either model is stored to take phrases from")
    asked: dict[tuple[str, str | None], Hypothesis] = {}
    for row in rows:
        asked.setdefault((row["text"].lower(), row["template"]), Hypothesis(row["text"], row["group"], row["template"]))
    return list(asked.values()), " and ".join(f"run {i}" for i in runs)


def rows_where(store: Store, before: Named, after: Named, condition: str) -> NDArray[np.int64]:
    """(n,) rising global rows of the images of either model that fulfil an SQL predicate on what they are.

    What a model said of them is out of its reach: images chosen by one model's high losses have lower ones by the other
    whatever it does (regression to the mean). Raises BadInputError where the predicate is none, or names such a column.
    """
    check_predicate(condition)
    try:
        found = store.catalog.sql(_WHERE.format(_SAID, condition), [before.model, after.model])
    except BadInputError as error:
        said = str(error).removeprefix("SQL: ")
        raise BadInputError(
            f"where: {said}; images are chosen here by what they are, not by a model's loss or prediction"
        ) from error
    return np.sort(found["embedding_row"].to_numpy())
