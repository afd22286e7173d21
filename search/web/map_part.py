"""What a part of the map holds: how many images, their mean loss, the phrases that are nearest, the highest losses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.selection import mean_interval
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.vectors import blocks
from fsearch.indexer.workspace.store import Losses, Store
from fsearch.search.neighbour import Neighbour

MAX_CORNERS = 500
_PHRASES, _IMAGES = 12, 16
_PHRASE_TEXTS = "SELECT DISTINCT text FROM hypotheses WHERE template IS NULL ORDER BY text LIMIT 5000"
Floats = NDArray[np.float32]


@dataclass
class Parts:
    """The parts of the map of one black box. `embedded` gives the embeddings of phrases, (q, d) float32."""

    store: Store
    model: str
    losses: Losses
    embedded: Callable[[list[str]], Floats]

    def held(self, inside: NDArray[np.int64]) -> dict[str, Any]:
        """What is known of the images at some positions, (m,)."""
        if not len(inside):
            return {"count": 0}
        values = self.losses.values[inside]
        return {
            "count": len(inside),
            "mean": float(values.mean()),
            "interval": mean_interval(values, self._groups[inside]),
            "of_all": float(self.losses.values.mean()),
            "nearest": self._nearest_phrases(inside),
            "worst": self._worst(inside[np.argsort(-values, kind="stable")[:_IMAGES]]),
        }

    def _worst(self, order: NDArray[np.int64]) -> list[Neighbour]:
        query = (
            "SELECT image_id, key, label, prediction FROM examples WHERE model = ? "
            "AND list_contains(?::BIGINT[], image_id)"
        )
        ids = self.losses.image_ids[order].tolist()
        rows = {r["image_id"]: r for r in self.store.catalog.sql(query, [self.model, ids]).to_pylist()}
        return [
            Neighbour(rows[i]["key"], i, 0.0, float(v), None, rows[i]["label"], rows[i]["prediction"])
            for i, v in zip(ids, self.losses.values[order], strict=True)
            if i in rows
        ]

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
        vectors = self.embedded(texts) if texts else np.empty((0, self.store.encoder.dim), np.float32)
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


def corners(area: str) -> NDArray[np.float64]:
    """(c, 2) the corners of a polygon, from the text of a URL: x,y,x,y,… Raises BadInputError for another text."""
    try:
        numbers = np.array([float(part) for part in area.split(",")])
    except ValueError:
        numbers = np.empty(0)
    if len(numbers) % 2 or not 6 <= len(numbers) <= 2 * MAX_CORNERS or not np.isfinite(numbers).all():
        raise BadInputError(f"area: give the corners of a polygon as x,y,x,y,…, {MAX_CORNERS} at most")
    return numbers.reshape(-1, 2)
