"""Read a losses file and match its keys to images. Nothing is written here: a file is either wholly good or refused."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet

from fsearch.indexer.errors import BadInput

KEY_COLUMNS = ("image", "key", "path", "file", "filename", "file_name", "image_path", "image_id", "name", "id")
LOSS_COLUMN = "loss"
_OWN = ("label", "prediction")
_READERS: dict[str, Callable[[Path], pa.Table]] = {
    ".csv": lambda p: pa.csv.read_csv(p),
    ".tsv": lambda p: pa.csv.read_csv(p, parse_options=pa.csv.ParseOptions(delimiter="\t")),
    ".parquet": lambda p: pa.parquet.read_table(p),
    ".jsonl": lambda p: pa.json.read_json(p),
}
TABLE_SUFFIXES = tuple(_READERS)


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


def read_table(path: Path, what: str) -> pa.Table:
    """Read a CSV, TSV, Parquet or JSONL file. `what` names it in messages. Raises BadInput."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise BadInput(f"{what} {path}: use {', '.join(TABLE_SUFFIXES)}")
    if not path.is_file():
        raise BadInput(f"no such {what}: {path}")
    try:
        return reader(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadInput(f"{what} {path} cannot be read: {str(error).splitlines()[0]}") from error


def read_losses(path: Path) -> LossTable:
    """Read and check a losses file. Raises BadInput naming the row and column of the first thing wrong."""
    table = read_table(path, "losses file")
    if table.num_rows == 0:
        raise BadInput(f"losses file {path} has no rows")
    seen = ", ".join(table.column_names)
    key_column = next((c for c in KEY_COLUMNS if c in table.column_names), None)
    if key_column is None:
        raise BadInput(f"losses file {path} has no column that names images (seen: {seen}); call it 'image'")
    if LOSS_COLUMN not in table.column_names:
        raise BadInput(f"losses file {path} has no column 'loss' (seen: {seen}); rename the one that holds the losses")
    keys = [_key(k, row, path) for row, k in enumerate(table[key_column].to_pylist(), start=1)]
    _refuse_repeats(keys, path)
    values = [_loss(v, row, path) for row, v in enumerate(table[LOSS_COLUMN].to_pylist(), start=1)]
    own = {c: _texts(table, c) for c in _OWN}
    metadata = table.drop_columns([c for c in (key_column, LOSS_COLUMN, *_OWN) if c in table.column_names])
    return LossTable(keys, values, own["label"], own["prediction"], metadata, path)


def match(table: LossTable, images: Sequence[str], source: Path = Path()) -> list[int]:
    """The index into `images` (keys relative to the folder `source`) of each row of `table`.

    A key names an image by its path below the source, else by file name, else by stem; a path that leads through the
    source is taken as below it. Raises BadInput for a key that names none or several, and for two that name the same.
    """
    above = {f"{source.as_posix()}/", f"{source.absolute().as_posix()}/", f"{source.resolve().as_posix()}/"}
    by_path = {key: [i] for i, key in enumerate(images)}
    by_name, by_stem = defaultdict(list), defaultdict(list)
    for i, key in enumerate(images):
        by_name[PurePosixPath(key).name].append(i)
        by_stem[PurePosixPath(key).stem].append(i)
    found: list[int] = []
    lost: list[str] = []
    for row, key in enumerate(table.keys, start=1):
        below = next((key.removeprefix(a) for a in above if key.startswith(a)), key)
        hits = by_path.get(below) or by_name.get(key) or by_stem.get(key) or []
        if len(hits) > 1:
            both = " and ".join(images[i] for i in hits[:2])
            raise BadInput(f"{table.path} row {row}: {key!r} may be {both}; give the path below the image folder")
        if not hits:
            lost.append(f"{key!r} (row {row})")
        found += hits
    if lost:
        raise BadInput(
            f"{table.path}: {len(lost)} of {len(table.keys)} keys match no image, first {lost[0]}; "
            f"images are named like {images[0]!r}"
        )
    _refuse_repeats([images[i] for i in found], table.path)
    return found


def _key(value: object, row: int, path: Path) -> str:
    text = "" if value is None else str(value).replace("\\", "/").removeprefix("./").strip()
    if not text:
        raise BadInput(f"{path} row {row}: the image's name is missing")
    return text


def _refuse_repeats(keys: Sequence[str], path: Path) -> None:
    first: dict[str, int] = {}
    for row, key in enumerate(keys, start=1):
        if key in first:
            raise BadInput(f"{path} row {row}: {key!r} has a loss already in row {first[key]}; keep one")
        first[key] = row


def _loss(value: object, row: int, path: Path) -> float:
    try:
        loss = math.nan if value is None else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise BadInput(f"{path} row {row}, column 'loss': {value!r} is not a number") from None
    if not math.isfinite(loss):
        raise BadInput(
            f"{path} row {row}, column 'loss': {'missing or NaN' if value is None else value}; all must be finite"
        )
    return loss


def _texts(table: pa.Table, column: str) -> list[str | None]:
    if column not in table.column_names:
        return [None] * table.num_rows
    return [None if v is None else str(v) for v in table[column].to_pylist()]
