"""Candidates from the catalog's columns: each value that enough images have, and the ends of numbers.

Columns that tell the loss by themselves (the loss again, or whether the model was right) are no insight. They are left
out, and the discovery says so; and what the model answered is no property of an image.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fsearch.diagnoser.discovery.definitions import Chosen
from fsearch.diagnoser.discovery.propose import REPEATS, Candidate, Origin
from fsearch.diagnoser.discovery.regions import area
from fsearch.diagnoser.membership import ENOUGH
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.sql import literal, quoted
from fsearch.indexer.workspace.store import Store

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]

MOST_VALUES = 64  # of a column, the most frequent; and of a number, before its ends are asked about instead
ENDS = (0.1, 0.25)  # shares of the images at either end of a number
_LONGEST = 80  # characters of a value that is asked about
_NO_PROPERTY = ("model", "key", "loss", "prediction", "loss_split", "image_id", "embedding_row", "predicted_loss")
_SIMPLE = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of the images of one model, one row an embedding.

    Attributes
    ----------
    rows : (n,) global row of each; `images` : how many embeddings the index has.
    """

    table: pa.Table
    rows: Rows
    images: int

    @classmethod
    def read(cls, store: Store, model: str, images: int, names: Sequence[str] | None = None) -> Columns:
        """From the view `examples`; `names`, if given, are the only ones. Raises BadInputError for one that is none."""
        found = store.catalog.sql(
            "SELECT * FROM examples WHERE model = ? QUALIFY row_number() OVER "
            "(PARTITION BY embedding_row ORDER BY image_id) = 1 ORDER BY embedding_row",
            [model],
        )
        own = [n for n in found.column_names if n not in _NO_PROPERTY]
        for name in names or ():
            if name not in found.column_names:
                raise BadInputError(f"--column {name}: no such column of the images; there are: {', '.join(own)}")
        rows = found["embedding_row"].to_numpy().astype(np.int64)
        return cls(found.select(list(names) if names else own), rows, images)

    def agreeing(self, other: Columns, rows: Rows) -> Columns:
        """Of images at global `rows`, which both have, the columns that say the same in both.

        What a losses file says of an image is a property of it where the file of another model says so too.
        """
        own, others = (c.table.take(np.searchsorted(c.rows, rows)) for c in (self, other))
        same = [n for n in own.column_names if n in others.column_names and own[n].equals(others[n])]
        return Columns(own.select(same), rows, self.images)

    def candidates(self) -> dict[str, list[Candidate]]:
        """The candidates of each column that has some."""
        found = {name: self._of(name, self.table[name].combine_chunks()) for name in self.table.column_names}
        return {name: some for name, some in found.items() if some}

    def captions(self) -> list[str]:
        """The names of columns that hold sentences: nearly each image another, of several words."""
        return [
            name
            for name, kind in zip(self.table.column_names, self.table.schema.types, strict=True)
            if pa.types.is_string(kind) and _sentences(self.table[name])
        ]

    def chosen(self, holds: NDArray[np.bool_]) -> Chosen:
        """The images for which `holds`, (n,) bool."""
        every = np.zeros(self.images, bool)
        every[self.rows[holds]] = True
        return Chosen(every)

    def _of(self, name: str, column: Any) -> list[Candidate]:
        shown = name if _SIMPLE.fullmatch(name) else quoted(name)
        if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
            return []
        counts = sorted(pc.value_counts(column).to_pylist(), key=lambda c: (-c["counts"], str(c["values"])))
        number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        if number and len(counts) > MOST_VALUES:
            return self._ends(shown, column)
        often = [c["values"] for c in counts if c["counts"] >= ENOUGH and c["values"] is not None][:MOST_VALUES]
        values = [v for v in often if len(str(v)) <= _LONGEST] if len(counts) > 1 else []
        return [
            Candidate(
                f"{shown} = {v if number else literal(str(v))}",
                Origin.COLUMN,
                self.chosen(_true(pc.equal(column, pa.scalar(v, column.type)))),
            )
            for v in values
        ]

    def _ends(self, shown: str, column: Any) -> list[Candidate]:
        values = np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
        finite = values[np.isfinite(values)]
        found = {}
        for share in ENDS if len(finite) else ():
            low, high = (float(v) for v in np.quantile(finite, [share, 1 - share], method="nearest"))
            found[f"{shown} <= {low:g}"] = values <= float(f"{low:g}")
            found[f"{shown} >= {high:g}"] = values >= float(f"{high:g}")
        return [
            Candidate(name, Origin.COLUMN, self.chosen(holds))
            for name, holds in found.items()
            if ENOUGH <= holds.sum() <= len(values) / 2
        ]


def repeating(found: dict[str, list[Candidate]], rows: Rows, losses: Floats) -> dict[str, str]:
    """Columns that tell the loss by themselves: the name of each, and of the candidate that tells it best.

    One does if nearly every image of a candidate loses more, or less, than every other, among images at global `rows`.
    """
    told: dict[str, str] = {}
    for name, candidates in found.items():
        for candidate in candidates:
            inside = candidate.definition.weights(np.empty((0, 0), np.float32), rows)
            if min(inside.sum(), (1 - inside).sum()) >= ENOUGH / 2:
                apart = area(losses, inside)
                if max(apart, 1 - apart) >= REPEATS:
                    told.setdefault(name, candidate.name)
    return told


def _sentences(column: Any) -> bool:
    some = [v for v in column.slice(0, 500).to_pylist() if v]
    different = len(set(some)) > max(MOST_VALUES, len(some) / 2)
    return different and sum(len(v.split()) >= 3 for v in some) > len(some) / 2


def _true(mask: Any) -> NDArray[np.bool_]:
    return np.asarray(pc.fill_null(mask, False).to_numpy(zero_copy_only=False), bool)
