"""A stored run as a ranking again: findings, groups, images and histograms read back from the catalog."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

from fsearch.diagnoser.choices import Correction
from fsearch.diagnoser.exhibits import Histogram, Kind
from fsearch.diagnoser.verdict import Verdict
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.sql import quoted
from fsearch.indexer.workspace.image_places import ImagePlaces, ImageRow
from fsearch.indexer.workspace.store import Store
from fsearch.search.answer import COLUMNS, Answer, Ranking
from fsearch.search.neighbour import Neighbour

_ROWS = (
    f"SELECT rank, hypothesis_id, group_, template, {', '.join(map(quoted, COLUMNS))} FROM rankings r JOIN "
    '(SELECT hypothesis_id, "group" AS group_, template FROM hypotheses) USING (hypothesis_id) '
    "WHERE run_id = ? ORDER BY rank"
)
_IMAGES = (
    "SELECT e.within, e.hypothesis_id, e.kind, e.image_id, e.similarity, e.membership, e.loss, x.source, x.key, "
    "x.label, x.prediction FROM evidence e JOIN examples x ON x.image_id = e.image_id AND x.model = ? "
    "WHERE e.run_id = ? ORDER BY e.place"
)
_DISCOVERED = (
    "SELECT d.rank, d.origin, d.concept, h.hypothesis AS head FROM discoveries d "
    "JOIN rankings h ON h.run_id = d.run_id AND h.rank = d.concept WHERE d.run_id = ? ORDER BY d.rank"
)
_SHARED = "SELECT within, hypothesis, other, overlap FROM shared_images WHERE run_id = ? ORDER BY overlap DESC"


def latest_run(store: Store) -> int:
    """The number of the last run. Raises BadInputError where there is none."""
    (run_id,) = store.catalog.sql("SELECT max(run_id) AS run_id FROM runs")["run_id"].to_pylist()
    if run_id is None:
        raise BadInputError("no run is stored yet; make one with: fsearch rank FILE")
    return int(run_id)


def stored_ranking(store: Store, places: ImagePlaces, run_id: int) -> Ranking:
    """The ranking of one run, with the images that are still there. Raises BadInputError where there is none."""
    query = 'SELECT model, created_at, correction, "by" FROM runs WHERE run_id = ?'
    run = store.catalog.sql(query, [run_id]).to_pylist()
    if not run:
        raise BadInputError(f"no run {run_id}; list them with: fsearch runs")
    model = run[0]["model"]
    images: dict[tuple[str, int], dict[str, list[Neighbour]]] = defaultdict(lambda: defaultdict(list))
    for row in store.catalog.sql(_IMAGES, [model, run_id]).to_pylist():
        images[row["within"], row["hypothesis_id"]][row["kind"]].append(_neighbour(row, places))
    shared: dict[tuple[str, str], list[tuple[str, float]]] = defaultdict(list)
    for row in store.catalog.sql(_SHARED, [run_id]).to_pylist():
        shared[row["within"], row["hypothesis"]].append((row["other"], row["overlap"]))
    histograms = {
        row["rank"]: Histogram(*(tuple(row[name]) for name in ("edges", "shows", "rest")))
        for row in store.catalog.sql(
            "SELECT rank, edges, shows, rest FROM loss_histograms WHERE run_id = ?", [run_id]
        ).to_pylist()
    }
    answers = tuple(
        _answer(row, images[row["within"] or "", row["hypothesis_id"]], shared, histograms.get(row["rank"]))
        for row in store.catalog.sql(_ROWS, [run_id]).to_pylist()
    )
    answers = _discovered(answers, store.catalog.sql(_DISCOVERED, [run_id]).to_pylist())
    shown = sum(a.within is None or run[0]["by"] is not None for a in answers)
    correction: Correction = run[0]["correction"] or "bh"
    return Ranking(run_id, model, answers[:shown], (), run[0]["created_at"], correction, answers[shown:])


def _discovered(answers: tuple[Answer, ...], rows: list[dict[str, Any]]) -> tuple[Answer, ...]:
    """The answers of a discovery with what the catalog says of their concepts; of another run, as they are."""
    below: dict[int, list[str]] = defaultdict(list)
    for row in rows:
        if row["rank"] != row["concept"]:
            below[row["concept"]].append(answers[row["rank"] - 1].text)
    told = {row["rank"]: row for row in rows}
    return tuple(
        a
        if (known := told.get(rank)) is None
        else replace(
            a,
            origin=known["origin"],
            wording_of=None if known["concept"] == rank else known["head"],
            wordings=tuple(below[rank]),
        )
        for rank, a in enumerate(answers, start=1)
    )


def _neighbour(row: dict[str, Any], places: ImagePlaces) -> Neighbour:
    image = ImageRow(row["source"], row["key"], row["label"], row["prediction"])
    return Neighbour(
        image.key,
        row["image_id"],
        row["similarity"],
        row["loss"],
        row["membership"],
        image.label,
        image.prediction,
        places.place(image),
    )


def _answer(
    row: dict[str, Any],
    images: dict[str, list[Neighbour]],
    shared: dict[tuple[str, str], list[tuple[str, float]]],
    histogram: Histogram | None,
) -> Answer:
    values: dict[str, Any] = {name: row[name] for name in COLUMNS} | {"verdict": Verdict(row["verdict"])}
    values |= {str(kind): tuple(images.get(kind, ())) for kind in Kind}
    values |= {"group": row["group_"], "template": row["template"], "histogram": histogram}
    return Answer(**values, shares_with=tuple(shared.get((row["within"] or "", row["hypothesis"]), ())))
