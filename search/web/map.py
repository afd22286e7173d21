"""The map: images as points, by the two main directions of their embeddings (PCA) or by UMAP, and what a part holds.

What is drawn is all images or a sample of MOST_POINTS; what a selection is told of is counted over all of them by PCA,
over those that are drawn by UMAP.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.selection import within
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.sql import quoted
from fsearch.indexer.storage.vectors import blocks
from fsearch.indexer.workspace.store import Losses, Store
from fsearch.search.export import row_tuples
from fsearch.search.export_images import main_axes
from fsearch.search.hypotheses import from_phrases
from fsearch.search.selections import members
from fsearch.search.web.chances import Chances
from fsearch.search.web.map_part import Parts, corners
from fsearch.search.web.umap_places import cached, place

MOST_POINTS = 100_000
_CATEGORIES = 8  # colours of a column of words; its other values share one
_NOT_COLOURS = frozenset({"model", "key", "image_id", "embedding_row", "source", "loss_split"})
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of the map: the column that colours it, the phrase or the kept selection that is lit, a part.

    `placed` is how its images are placed: "pca" or "umap".
    """

    by: str = "loss"
    phrase: str = ""
    selection: str = ""
    area: str = ""
    placed: str = "pca"

    def words(self, *names: str) -> str:
        """The words of a URL that ask the same; of some of its `names`, where given."""
        words = {"by": self.by, "q": self.phrase, "s": self.selection, "area": self.area, "placed": self.placed}
        return urlencode({n: v for n, v in words.items() if v and n in (names or words)})


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

    @cached_property
    def losses(self) -> Losses:
        """The images of the map, one for each embedding."""
        return self.store.losses(self.model)

    @cached_property
    def places(self) -> Floats:
        """(n, 2) float32, within -1 and 1 in either direction, by PCA."""
        vectors = self.store.vectors()
        mean, axes = main_axes(vectors)
        placed = [(np.asarray(block, np.float32) - mean) @ axes for block in blocks(vectors)]
        return _scaled(np.concatenate(placed)[self.losses.rows])

    @cached_property
    def umap(self) -> Floats | None:
        """The same by UMAP, NaN for images that are not drawn; None where it was not made: see `make_umap`."""
        found = cached(self.store, self.losses.rows[self.shown])
        return None if found is None else self._spread(found)

    def make_umap(self) -> None:
        """Place the images by UMAP, and cache that. Raises NotReadyError where umap-learn is not installed."""
        self.umap = self._spread(place(self.store, self.losses.rows[self.shown], self.places[self.shown]))

    def _spread(self, places: Floats) -> Floats:
        every = np.full((len(self.losses.rows), 2), np.nan, np.float32)
        every[self.shown] = _scaled(places - (places.min(axis=0) + places.max(axis=0)) / 2)
        return every

    def placed(self, how: str) -> Floats:
        """(n, 2) places by "pca" or "umap". Raises BadInputError where they are not known."""
        if how == "pca":
            return self.places
        if how != "umap" or self.umap is None:
            raise BadInputError(f"placed={how!r}: there is pca, and umap after: fsearch serve --map umap")
        return self.umap

    @cached_property
    def shown(self) -> NDArray[np.int64]:
        """(m,) rising positions of the images that are drawn."""
        n = len(self.losses.rows)
        if n <= MOST_POINTS:
            return np.arange(n)
        return np.sort(np.random.default_rng(0).choice(n, MOST_POINTS, replace=False))

    @cached_property
    def columns(self) -> list[str]:
        """What points can be coloured by: columns of which some image has a value."""
        names = self.store.catalog.sql("FROM examples LIMIT 0").column_names
        counts = ", ".join(f"count({quoted(name)})" for name in names)
        (found,) = row_tuples(self.store.catalog.sql(f"SELECT {counts} FROM examples WHERE model = ?", [self.model]))
        known = [name for name, count in zip(names, found, strict=True) if count and name not in _NOT_COLOURS]
        return ["loss", *(name for name in known if name != "loss")]

    def colours(self, column: str) -> Colours:
        """The values of a column, by position; NaN where there is none. Raises BadInputError for no such column."""
        if column == "loss":
            return Colours(self.losses.values.astype(np.float32))
        if column not in self.columns:
            raise BadInputError(f"no column {column!r} with a value; there are: {', '.join(self.columns)}")
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

    @cached_property
    def _chances(self) -> Chances:
        return Chances(self.store, self.losses.rows, self.model)

    @cached_property
    def parts(self) -> Parts:
        """What parts of it hold."""
        return Parts(self.store, self.model, self.losses, lambda texts: self._chances.embedded(from_phrases(texts)))

    def within(self, asked: Asked) -> NDArray[np.int64]:
        """(m,) positions of the images in a polygon. Raises BadInputError where the area is none."""
        return np.flatnonzero(within(self.placed(asked.placed), corners(asked.area)))

    def selected(self, name: str) -> NDArray[np.int64]:
        """(m,) positions of the images of a kept selection. Raises BadInputError where there is none of that name."""
        query = "SELECT DISTINCT row FROM images JOIN (SELECT unnest(?::BIGINT[]) AS image_id) USING (image_id)"
        rows = self.store.catalog.sql(query, [members(self.store, name).tolist()])["row"].to_numpy()
        return np.flatnonzero(np.isin(self.losses.rows, rows))

    def page(self, asked: Asked) -> dict[str, Any]:
        """What the page of the map says beside the points."""
        colours = self.colours(asked.by)
        known = colours.values[np.isfinite(colours.values)]
        low, high = np.quantile(known, [0.02, 0.98]) if len(known) else (0.0, 0.0)
        return {
            "columns": self.columns,
            "asked": asked,
            "ways": ["pca"] if self.umap is None else ["pca", "umap"],
            "names": colours.names,
            "low": float(low),
            "high": float(high),
            "drawn": len(self.shown),
            "total": len(self.losses.rows),
            "selected": self.selection(asked),
        }

    def points(self, asked: Asked) -> bytes:
        """Of each image that is drawn x, y, colour and how far it is lit: float32, little-endian, by image."""
        lit = np.zeros(len(self.losses.rows), np.float32)
        if asked.phrase:
            lit[:] = self._chances.of(*from_phrases([asked.phrase]))
        if asked.selection:
            lit[self.selected(asked.selection)] = 1
        table = np.column_stack([self.placed(asked.placed), self.colours(asked.by).values, lit])[self.shown]
        return table.astype("<f4").tobytes()

    def selection(self, asked: Asked) -> dict[str, Any] | None:
        """What the polygon or the kept selection holds that was asked for; None where neither was."""
        if asked.area:
            return self.parts.held(self.within(asked)) | {"area": asked.area, "name": ""}
        if asked.selection:
            return self.parts.held(self.selected(asked.selection)) | {"area": "", "name": asked.selection}
        return None


def _scaled(places: NDArray[np.floating]) -> Floats:
    """Places within -1 and 1, the same unit in either direction."""
    return np.asarray(places / max(np.abs(places).max(), 1e-12), np.float32)
