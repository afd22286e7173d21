"""Read a losses file and match its keys to images. Nothing is written here: a file is either wholly good or refused."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.tabular import read_table

KEY_COLUMNS = ("image", "key", "path", "file", "filename", "file_name", "image_path", "image_id", "name", "id")
LOSS_COLUMN = "loss"
_OWN = ("label", "prediction")


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


def read_losses(path: Path) -> LossTable:
    """Read and check a losses file. Raises BadInputError naming the row and column of the first thing wrong."""
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
    own = {c: _texts(table, c) for c in _OWN}
    metadata = table.drop_columns([c for c in (key_column, LOSS_COLUMN, *_OWN) if c in table.column_names])
    return LossTable(keys, values, own["label"], own["prediction"], metadata, path)


def read_keys(table: pa.Table, path: Path) -> tuple[str, list[str]]:
    """The column of `table` that names images, and what it holds.

    Raises BadInputError where there is none, or one twice.
    """
    column = next((c for c in KEY_COLUMNS if c in table.column_names), None)
    if column is None:
        seen = ", ".join(table.column_names)
        raise BadInputError(f"{path} has no column that names images (seen: {seen}); call it 'image'")
    keys = [image_key(k, row, path) for row, k in enumerate(table[column].to_pylist(), start=1)]
    _refuse_repeats(keys, path)
    return column, keys


def match(
    keys: Sequence[str],
    images: Sequence[str],
    path: Path,
    base: Path = Path(),
    *,
    sources: Sequence[str] = (),
    partial: bool = False,
) -> list[int | None]:
    """The index into `images` of each of `keys`, which stand in the file `path`; None, if `partial`, for no image.

    A key names an image by its path below the source, with or without its ending, else by file name, else by stem; a
    path that leads through the source's folder `base` is taken as below it. `sources`, of each image, tell images of
    one key in several sources apart: SOURCE/KEY is one of them. Raises BadInputError for a key that names several
    images, for two that name the same, and unless `partial` for one that names none.
    """
    above = {f"{base.as_posix()}/", f"{base.absolute().as_posix()}/", f"{base.resolve().as_posix()}/"}
    by_path, by_path_stem, by_name, by_stem = (defaultdict[str, list[int]](list) for _ in range(4))
    for i, key in enumerate(images):
        below = PurePosixPath(key)
        by_path[key].append(i)
        if sources:
            by_path[f"{sources[i]}/{key}"].append(i)
        by_path_stem[str(below.with_suffix("")) if below.name else key].append(i)
        by_name[below.name].append(i)
        by_stem[below.stem].append(i)
    found: list[int | None] = []
    lost: list[str] = []
    for row, key in enumerate(keys, start=1):
        below_key = next((key.removeprefix(a) for a in above if key.startswith(a)), key)
        hits = (
            by_path.get(key)
            or by_path.get(below_key)
            or by_path_stem.get(below_key)
            or by_name.get(key)
            or by_stem.get(key)
            or []
        )
        if len(hits) > 1:
            both = " and ".join(f"{sources[i]}/{images[i]}" if sources else images[i] for i in hits[:2])
            whole = "the source and the path below it" if sources else "the path below the image folder"
            raise BadInputError(f"{path} row {row}: {key!r} may be {both}; give {whole}")
        if not hits:
            lost.append(f"{key!r} (row {row})")
        found.append(hits[0] if hits else None)
    if len(lost) == len(keys) or (lost and not partial):
        like = f"images are named like {images[0]!r}" if images else "there are no images"
        raise BadInputError(f"{path}: {len(lost)} of {len(keys)} keys match no image, first {lost[0]}; {like}")
    _refuse_repeats([images[i] for i in found if i is not None], path)
    return found


def image_key(value: object, row: int, path: Path) -> str:
    """How an image is named in a file. Raises BadInputError where it is not."""
    text = "" if value is None else str(value).replace("\\", "/").removeprefix("./").strip()
    if not text:
        raise BadInputError(f"{path} row {row}: the image's name is missing")
    return text


def _refuse_repeats(keys: Sequence[str], path: Path) -> None:
    first: dict[str, int] = {}
    for row, key in enumerate(keys, start=1):
        if key in first:
            raise BadInputError(f"{path} row {row}: {key!r} has a loss already in row {first[key]}; keep one")
        first[key] = row


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
