"""The map: images as points, by the two main directions of their embeddings (PCA), and what a part of it holds.

What is drawn is all images or a sample of MOST_POINTS; what a selection is told of is counted over all of them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.retrieval import Retriever
from fsearch.diagnoser.selection import mean_interval, within
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.sql import quoted
from fsearch.indexer.storage.vectors import blocks
from fsearch.indexer.workspace.calibration import in_force
from fsearch.indexer.workspace.store import Losses, Store
from fsearch.search.export_images import main_axes
from fsearch.search.hypotheses import from_phrases
from fsearch.search.neighbour import Neighbour
from fsearch.search.query import embed
from fsearch.search.session import Session

MOST_POINTS = 100_000
MAX_CORNERS = 500
_CATEGORIES = 8  # colours of a column of words; its other values share one
_PHRASES, _IMAGES = 12, 16
_NOT_COLOURS = frozenset({"model", "key", "image_id", "embedding_row", "source", "loss_split"})
_PHRASE_TEXTS = "SELECT DISTINCT text FROM hypotheses WHERE template IS NULL ORDER BY text LIMIT 5000"
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Colours:
    """What the points are coloured by: (n,) float32 `values`; their `names` where these are numbers of categories."""

    values: Floats
    names: tuple[str, ...] = ()


@dataclass
class ImageMap:
    """The map of one black box in one state of the workspace. Safe in threads."""

    store: Store
    model: str
    _session: Session = field(default_factory=Session)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @cached_property
    def losses(self) -> Losses:
        """The images of the map, one for each embedding."""
        return self.store.losses(self.model)

    @cached_property
    def places(self) -> Floats:
        """(n, 2) float32, within -1 and 1 in either direction."""
        vectors = self.store.vectors()
        mean, axes = main_axes(vectors)
        placed = [(np.asarray(block, np.float32) - mean) @ axes for block in blocks(vectors)]
        found = np.concatenate(placed)[self.losses.rows]
        return np.asarray(found / max(np.abs(found).max(), 1e-12), np.float32)

    @cached_property
    def shown(self) -> NDArray[np.int64]:
        """(m,) rising positions of the images that are drawn."""
        n = len(self.losses.rows)
        if n <= MOST_POINTS:
            return np.arange(n)
        return np.sort(np.random.default_rng(0).choice(n, MOST_POINTS, replace=False))

    def columns(self) -> list[str]:
        """What points can be coloured by."""
        table = self.store.catalog.sql("FROM examples LIMIT 0")
        return ["loss", *(name for name in table.column_names if name not in {"loss", *_NOT_COLOURS})]

    def colours(self, column: str) -> Colours:
        """The values of a column, by position; NaN where there is none. Raises BadInputError for no such column."""
        if column == "loss":
            return Colours(self.losses.values.astype(np.float32))
        if column not in self.columns():
            raise BadInputError(f"no column {column!r}; there are: {', '.join(self.columns())}")
        name, place = quoted(column), "row_number() OVER () - 1 FROM (SELECT unnest(?::BIGINT[]) AS image_id)"
        query = (
            f"SELECT p.place, TRY_CAST(x.{name} AS DOUBLE) AS number, CAST(x.{name} AS VARCHAR) AS word FROM "
            f"(SELECT image_id, {place}) p(image_id, place) JOIN examples x USING (image_id) "
            f"WHERE x.model = ? AND x.{name} IS NOT NULL"
        )
        rows = self.store.catalog.sql(query, [self.losses.image_ids.tolist(), self.model])
        values = np.full(len(self.losses.rows), np.nan, np.float32)
        at, numbers = rows["place"].to_numpy(), rows["number"].to_numpy().astype(np.float64)
        if not np.isnan(numbers).any():
            values[at] = numbers
            return Colours(values)
        words, codes = np.unique(np.array(rows["word"].to_pylist(), object).astype(str), return_inverse=True)
        order = np.argsort(-np.bincount(codes), kind="stable")
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        values[at] = np.minimum(rank[codes], _CATEGORIES)
        names = [str(words[i]) for i in order[:_CATEGORIES]] + (["others"] if len(order) > _CATEGORIES else [])
        return Colours(values, tuple(names))

    def memberships(self, text: str) -> Floats:
        """(n,) float32, the chance that an image shows a phrase; 0 for images that a large set does not look at."""
        with self._lock:
            found = self._retriever.find(self._embedded([text]))
        chances = np.zeros(len(self.losses.rows), np.float32)
        chances[found.neighbours[0]] = found.memberships[0]
        return chances

    @cached_property
    def _retriever(self) -> Retriever:
        learnt = in_force(self.store.calibration, self.store.encoder, self.store.templates)
        scale = self._session.text_encoder(self.store).logit_scale if learnt is None else learnt.logit_scale
        return Retriever(self.store.index(), self.losses.rows, scale)

    def _embedded(self, texts: list[str]) -> Floats:
        return embed(self._session.text_encoder(self.store), from_phrases(texts), self.store.templates)

    def page(self, column: str, text: str, area: str) -> dict[str, Any]:
        """What the page of the map says beside the points."""
        colours = self.colours(column)
        known = colours.values[np.isfinite(colours.values)]
        low, high = np.quantile(known, [0.02, 0.98]) if len(known) else (0.0, 0.0)
        return {
            "columns": self.columns(),
            "by": column,
            "lit": text,
            "names": colours.names,
            "low": float(low),
            "high": float(high),
            "drawn": len(self.shown),
            "total": len(self.losses.rows),
            "asked": urlencode({"by": column, "q": text}),
            "area": area,
            "selected": self.selection(area) if area else None,
        }

    def points(self, column: str, text: str) -> bytes:
        """Of each image that is drawn x, y, colour and how far it shows a phrase: float32, little-endian, by image."""
        lit = self.memberships(text) if text else np.zeros(len(self.losses.rows), np.float32)
        table = np.column_stack([self.places, self.colours(column).values, lit])[self.shown]
        return table.astype("<f4").tobytes()

    def selection(self, area: str) -> dict[str, Any]:
        """What lies within a polygon: how many images, their mean loss, the nearest phrases, the worst images.

        Raises BadInputError where `area` is no polygon: x,y,x,y,… with three corners or more.
        """
        inside = np.flatnonzero(within(self.places, _corners(area)))
        if not len(inside):
            return {"count": 0}
        values = self.losses.values[inside]
        order = inside[np.argsort(-values, kind="stable")[:_IMAGES]]
        query = (
            "SELECT image_id, key, label, prediction FROM examples WHERE model = ? "
            "AND list_contains(?::BIGINT[], image_id)"
        )
        ids = self.losses.image_ids[order].tolist()
        rows = {r["image_id"]: r for r in self.store.catalog.sql(query, [self.model, ids]).to_pylist()}
        images = [
            Neighbour(rows[i]["key"], i, 0.0, float(v), None, rows[i]["label"], rows[i]["prediction"])
            for i, v in zip(ids, self.losses.values[order], strict=True)
            if i in rows
        ]
        return {
            "count": len(inside),
            "mean": float(values.mean()),
            "interval": mean_interval(values, self._groups[inside]),
            "of_all": float(self.losses.values.mean()),
            "nearest": self._nearest_phrases(inside),
            "worst": images,
        }

    @cached_property
    def _groups(self) -> NDArray[np.int64]:
        """(n,) the group of repeated images of each; its own id where it has none."""
        query = "SELECT image_id, coalesce(group_id, image_id) AS group_id FROM images ORDER BY image_id"
        rows = self.store.catalog.sql(query)
        at = np.searchsorted(rows["image_id"].to_numpy(), self.losses.image_ids)
        return np.asarray(rows["group_id"].to_numpy()[at], np.int64)

    @cached_property
    def _phrases(self) -> tuple[list[str], Floats]:
        """Every phrase that was ranked, with its embedding."""
        texts = self.store.catalog.sql(_PHRASE_TEXTS)["text"].to_pylist()
        with self._lock:
            vectors = self._embedded(texts) if texts else np.empty((0, self.store.encoder.dim), np.float32)
        return texts, vectors

    def _nearest_phrases(self, inside: NDArray[np.int64]) -> list[tuple[str, float]]:
        """Phrases by how much nearer they are to the images inside than to all: the difference of mean cosines."""
        texts, embedded = self._phrases
        vectors = self.store.vectors()
        mean = np.asarray(vectors[self.losses.rows[inside]], np.float32).mean(axis=0)
        gain = embedded @ (mean - self._mean)
        return [(texts[i], float(gain[i])) for i in np.argsort(-gain, kind="stable")[:_PHRASES] if gain[i] > 0]

    @cached_property
    def _mean(self) -> Floats:
        """(d,) the mean embedding of all."""
        vectors = self.store.vectors()
        total = sum(np.asarray(block, np.float64).sum(axis=0) for block in blocks(vectors))
        return np.asarray(total / len(vectors), np.float32)


def _corners(area: str) -> NDArray[np.float64]:
    """(c, 2) from the text of a URL."""
    try:
        numbers = np.array([float(part) for part in area.split(",")])
    except ValueError:
        numbers = np.empty(0)
    if len(numbers) % 2 or not 6 <= len(numbers) <= 2 * MAX_CORNERS or not np.isfinite(numbers).all():
        raise BadInputError(f"area: give the corners of a polygon as x,y,x,y,…, {MAX_CORNERS} at most")
    return numbers.reshape(-1, 2)
