"""Read a losses file: CSV, TSV, Parquet or JSONL of one loss per image. A file is wholly valid, or refused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.choices import Split
from fsearch.indexer.losses.matching import read_keys
from fsearch.indexer.storage.metadata import RESERVED
from fsearch.indexer.storage.tabular import read_table

LOSS_COLUMN = "loss"
TRAINING = ("train", "training", "trn")  # values of a column 'split' that mean: the model was trained on this image
_OPTIONAL = ("label", "prediction")


@dataclass(frozen=True, slots=True)
class LossTable:
    """A losses file, read and checked.

    Attributes
    ----------
    keys : n strings that name images.
    values : n finite floats.
    labels, predictions : n strings or None each.
    metadata : the file's further columns, n rows.
    path : the file, for messages.
    """

    keys: list[str]
    values: list[float]
    labels: list[str | None]
    predictions: list[str | None]
    metadata: pa.Table
    path: Path

    def splits(self) -> list[Split | None]:
        """Whether the model was trained on each of the n images, by the file's column 'split'; None where unknown."""
        column = next((c for c in self.metadata.column_names if c.lower() == "split"), None)
        if column is None:
            return [None] * len(self.keys)
        texts = [None if v is None else str(v).strip().lower() for v in self.metadata[column].to_pylist()]
        return [None if not t else "train" if t in TRAINING else "held-out" for t in texts]


def read_losses(path: Path) -> LossTable:
    """Read and check a losses file. Raises BadInputError naming the row and column of the first error."""
    table = read_table(path, "losses file")
    if table.num_rows == 0:
        raise BadInputError(f"losses file {path} has no rows")
    seen = ", ".join(table.column_names)
    key_column, keys = read_keys(table, path)
    if LOSS_COLUMN not in table.column_names:
        raise BadInputError(
            f"losses file {path} has no column 'loss' (seen: {seen}); rename the one that holds the losses"
        )
    values = [_loss(v, row, path) for row, v in enumerate(table[LOSS_COLUMN].to_pylist(), start=1)]
    labels, predictions = (_texts(table, c) for c in _OPTIONAL)
    metadata = table.drop_columns([c for c in (key_column, LOSS_COLUMN, *_OPTIONAL) if c in table.column_names])
    _check_columns(metadata)
    return LossTable(keys, values, labels, predictions, metadata, path)


def _check_columns(metadata: pa.Table) -> None:
    """Raise BadInputError for a column whose name the catalog uses itself, or two that differ only in case."""
    lowered: dict[str, str] = {}
    for name in metadata.column_names:
        if name.lower() in RESERVED or name.lower() == "label":
            raise BadInputError(f"the column {name!r} has a name fsearch uses itself; rename it")
        if name.lower() in lowered:
            raise BadInputError(f"the columns {lowered[name.lower()]!r} and {name!r} differ only in case; rename one")
        lowered[name.lower()] = name


def _loss(value: object, row: int, path: Path) -> float:
    try:
        loss = math.nan if value is None else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise BadInputError(f"{path} row {row}, column 'loss': {value!r} is not a number") from None
    if not math.isfinite(loss):
        raise BadInputError(
            f"{path} row {row}, column 'loss': {'missing or NaN' if value is None else value}; all must be finite"
        )
    return loss


def _texts(table: pa.Table, column: str) -> list[str | None]:
    if column not in table.column_names:
        return [None] * table.num_rows
    return [None if v is None else str(v) for v in table[column].to_pylist()]
