"""The images behind a stored change: they show the phrase, and their loss moved the way the phrase's did.

A comparison stores numbers, no images: these are found anew, by the losses as they are now.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.exhibits import SHOWS
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.workspace.image_reader import ImageReader
from fsearch.indexer.workspace.store import Store
from fsearch.search.compare.question import Named, rows_where
from fsearch.search.compare.result import MovedImage
from fsearch.search.hypotheses import Hypothesis
from fsearch.search.web.chances import Chances

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Shows = Hypothesis | str | dict[int, float] | None  # what tells which images


@dataclass
class Sides:
    """Two models of a workspace, as their losses are now, on the images that a comparison is about. Safe in threads."""

    store: Store
    before: str
    after: str
    standardised: bool
    condition: str | None

    @cached_property
    def _pairs(self) -> tuple[Rows, Rows, Floats, Floats]:
        """(n,) global rows and ids of the images with a loss of both, and these losses. Raises BadInputError."""
        known = self.store.models()
        if gone := [name for name in (self.before, self.after) if name not in known]:
            raise BadInputError(f"the losses of {gone[0]!r} are gone")
        old, new = self.store.losses(self.before), self.store.losses(self.after)
        rows, b, a = np.intersect1d(old.rows, new.rows, assume_unique=True, return_indices=True)
        if not len(rows):
            raise BadInputError(f"no image has a loss of both {self.before!r} and {self.after!r} any more")
        pair = old.values[b], new.values[a]
        if self.standardised:
            pair = _standard(pair[0]), _standard(pair[1])
        kept = np.ones(len(rows), bool)
        if self.condition is not None:
            kept = np.isin(rows, rows_where(self.store, Named(self.before), Named(self.after), self.condition))
        return rows[kept], new.image_ids[a][kept], pair[0][kept], pair[1][kept]

    @cached_property
    def _either(self) -> Chances:
        """Of the images with a loss of either, as when the models were compared."""
        rows = np.union1d(self.store.losses(self.before).rows, self.store.losses(self.after).rows)
        return Chances(self.store, rows, self.before)

    def _chances(self, of: Shows) -> Floats:
        """(n,) the chance that an image with both losses is of it."""
        rows, ids, _, _ = self._pairs
        if of is None:
            return np.ones(len(ids))
        if isinstance(of, str):
            return np.isin(rows, rows_where(self.store, Named(self.before), Named(self.after), of)).astype(np.float64)
        if isinstance(of, dict):
            return np.array([of.get(i, 0.0) for i in ids.tolist()])
        return self._either.of(of)[np.searchsorted(self._either.rows, rows)]

    def moved(self, of: Shows, change: float, reader: ImageReader, top: int) -> list[MovedImage]:
        """At most `top` images that are of it and moved as `change` says: the most telling first.

        `of` : a phrase, an SQL predicate, or ids of images with their chances; None for any image.
        """
        _, ids, before, after = self._pairs
        chances = self._chances(of)
        pull = np.where(chances >= SHOWS, chances * (after - before), 0.0) * (1.0 if change >= 0 else -1.0)
        chosen = np.argsort(-pull, kind="stable")[:top]
        chosen = chosen[pull[chosen] > 0]
        rows = reader.described(self.after, ids[chosen])
        return [
            MovedImage(row.key, int(ids[i]), float(chances[i]), float(before[i]), float(after[i]), reader.place(row))
            for i in chosen
            if (row := rows.get(int(ids[i]))) is not None
        ]


def _standard(losses: Floats) -> Floats:
    """Losses less their mean, in their standard deviations."""
    return np.asarray((losses - losses.mean()) / (losses.std() or 1.0))
