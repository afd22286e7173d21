"""Read a losses file: CSV, TSV, Parquet or JSONL of one loss per image. A file is wholly valid, or refused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.choices import Split
from fsearch.indexer.losses.matching import read_keys
from fsearch.indexer.storage.column_types import number, texts_of
from fsearch.indexer.storage.delimited import ROW_NAME
from fsearch.indexer.storage.metadata import free_names, renamed_note
from fsearch.indexer.storage.tabular import TableFile, find_column

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
    form : what the file was taken for, such as "UTF-8, commas".
    note : columns that are stored under another name.
    """

    keys: list[str]
    values: list[float]
    labels: list[str | None]
    predictions: list[str | None]
    metadata: pa.Table
    path: Path
    form: str = ""
    note: str = ""

    def splits(self) -> list[Split | None]:
        """Whether the model was trained on each of the n images, by the file's column 'split'; None where unknown."""
        column = next((c for c in self.metadata.column_names if c.lower() == "split"), None)
        if column is None:
            return [None] * len(self.keys)
        texts = [None if v is None else str(v).strip().lower() for v in self.metadata[column].to_pylist()]
        return [None if not t else "train" if t in TRAINING else "held-out" for t in texts]


def read_losses(path: Path, key_column: str | None = None) -> LossTable:
    """Read and check a losses file, whose images `key_column` names, by default found by its name.

    Raises BadInputError naming the row and column of the first error.
    """
    file = TableFile(path, "losses file", [key_column] if key_column else ())
    table = file.read()
    if table.num_rows == 0:
        raise BadInputError(f"losses file {path} has no rows")
    seen = ", ".join(table.column_names)
    key_column, keys = read_keys(table, path, key_column)
    loss_column = find_column(table.column_names, [LOSS_COLUMN])
    if loss_column is None:
        raise BadInputError(
            f"losses file {path} has no column 'loss' (seen: {seen}); rename the one that holds the losses"
        )
    values = [_loss(v, row, path) for row, v in enumerate(table[loss_column].to_pylist(), start=1)]
    optional = [find_column(table.column_names, [c]) for c in _OPTIONAL]
    labels, predictions = (_texts(table, c) for c in optional)
    taken = [c for c in (key_column, loss_column, *optional, ROW_NAME) if c in table.column_names]
    own = table.drop_columns(taken)
    names = _own_names(own)
    metadata = own.rename_columns([names[c] for c in own.column_names])
    return LossTable(keys, values, labels, predictions, metadata, path, file.form, renamed_note(names))


def _own_names(metadata: pa.Table) -> dict[str, str]:
    """What the file's columns are called here. Raises BadInputError for two that differ only in case."""
    lowered: dict[str, str] = {}
    for name in metadata.column_names:
        if name.lower() in lowered:
            raise BadInputError(f"the columns {lowered[name.lower()]!r} and {name!r} differ only in case; rename one")
        lowered[name.lower()] = name
    return free_names(metadata.column_names, {"label"})


def _loss(value: object, row: int, path: Path) -> float:
    try:
        loss = math.nan if value is None else number(value) if isinstance(value, str) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise BadInputError(f"{path} row {row}, column 'loss': {value!r} is not a number") from None
    if not math.isfinite(loss):
        said = "missing or NaN" if math.isnan(loss) else loss
        raise BadInputError(f"{path} row {row}, column 'loss': {said}; all must be finite: leave such rows out")
    return loss


def _texts(table: pa.Table, column: str | None) -> list[str | None]:
    return [None] * table.num_rows if column is None else texts_of(table[column].to_pylist())
