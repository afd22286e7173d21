"""Read a predictions file: CSV, TSV, Parquet, JSONL, npz, COCO results, or a folder of masks. Nothing is evaluated."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.choices import ScoreKind
from fsearch.indexer.losses.detections import TENSORS, is_detections, read_detections, refuse_pickle
from fsearch.indexer.losses.matching import image_key, read_keys
from fsearch.indexer.storage.column_types import listed, text_of
from fsearch.indexer.storage.files import DamagedArrayError, load_arrays
from fsearch.indexer.storage.tabular import KEY_COLUMNS, SUFFIXES, TableFile, is_table

_MASKS = (".png", ".npy", ".tif", ".tiff", ".bmp", ".gif")
_COLUMNS: Mapping[str, ScoreKind | None] = {  # usual names of prediction columns, and what they say of the scores
    "probabilities": "probabilities",
    "probs": "probabilities",
    "logits": "logits",
    "scores": None,
    "prediction": None,
    "predictions": None,
    "predicted": None,
    "pred": None,
    "embedding": None,
    "embeddings": None,
    "mask": None,
    "masks": None,
}
_PREFIXES: Mapping[str, ScoreKind | None] = {  # of groups of columns, one per class
    "prob_": "probabilities",
    "probs_": "probabilities",
    "proba_": "probabilities",
    "probability_": "probabilities",
    "p_": "probabilities",
    "logit_": "logits",
    "score_": None,
}


@dataclass(frozen=True, slots=True)
class Predictions:
    """A predictions file, as read.

    Attributes
    ----------
    keys : n strings that name images; of detections, ids or names as the ground truth has them.
    values : n predictions: an array (n, ...) or a list.
    columns : the file's further columns by name, n values each.
    classes, scores : class names and score kind as column names tell them, if they do.
    form : what a table was taken for, such as "UTF-8, commas".
    path : the file, for messages; `root` is the folder that paths in it are relative to.
    """

    keys: list[str]
    values: Any
    columns: Mapping[str, Sequence[Any]]
    path: Path
    root: Path
    classes: tuple[str, ...] = ()
    scores: ScoreKind | None = None
    form: str = ""

    def names(self) -> list[str]:
        """File and row of each prediction, for messages."""
        return [f"{self.path} row {row} ({key})" for row, key in enumerate(self.keys, start=1)]


def read_predictions(
    path: Path, wanted: Sequence[str] = (), targets: Sequence[str] = (), key_column: str | None = None
) -> Predictions:
    """Read `path`; `wanted` names the prediction columns, `targets` those of labels, `key_column` that of images.

    Labels and names are read as text. Raises BadInputError where it cannot be read.
    """
    if path.is_dir():
        return _detections(path) if is_detections(path) else _folder(path)
    kind = path.suffix.lower()
    if not path.is_file():
        raise BadInputError(f"no such predictions file: {path}")
    if kind == ".npz":
        return _npz(path, wanted)
    if kind == ".json" or kind in TENSORS:
        return _detections(path)
    refuse_pickle(path)
    if not is_table(path):
        raise BadInputError(
            f"predictions file {path}: use {', '.join((*SUFFIXES, '.npz', '.json', '.pt'))}, or a folder of masks or "
            "of a file of detections for each image"
        )
    return _table(path, wanted, targets, key_column)


def _table(path: Path, wanted: Sequence[str], targets: Sequence[str], key: str | None) -> Predictions:
    file = TableFile(
        path, "predictions file", (*targets, *([key] if key else []), *(w for w in wanted[:1] if len(wanted) == 1))
    )
    table = file.read()
    if table.num_rows == 0:
        raise BadInputError(f"predictions file {path} has no rows")
    key_column, keys = read_keys(table, path, key)
    columns, classes, scores = _columns(table.column_names, wanted, path)
    if len(columns) > 1 or (wanted and wanted[0].endswith("*")):
        values: Any = np.column_stack([_numbers(table[c], c, path) for c in columns])
    else:
        values = _values(table[columns[0]], path, columns[0])
    rest = {c: table[c].to_pylist() for c in table.column_names if c not in (key_column, *columns)}
    return Predictions(keys, values, rest, path, path.parent, classes, scores, file.form)


def _columns(
    seen: Sequence[str], wanted: Sequence[str], path: Path
) -> tuple[list[str], tuple[str, ...], ScoreKind | None]:
    """Names of the prediction columns, the class names in them, and whether they are probabilities or logits."""
    if not wanted and (best := _best_of_timm(seen)):
        wanted = [best]
    if not wanted:
        listed = next(
            (c for c in seen if c.lower() in _COLUMNS and c.lower() not in ("prediction", "predicted", "pred")), None
        )
        prefix = next((p for p in _PREFIXES if sum(c.lower().startswith(p) for c in seen) > 1), None)
        plain = next((c for c in seen if c.lower() in _COLUMNS), None)
        chosen = listed or (f"{prefix}*" if prefix else plain)
        numbers = [c for c in seen if c.isdecimal()]
        if chosen is None and len(numbers) > 1:  # a frame of scores without names
            return sorted(numbers, key=int), tuple(sorted(numbers, key=int)), None
        if chosen is None:
            raise BadInputError(
                f"{path}: no column looks like predictions (seen: {', '.join(seen)}); name it: --prediction"
            )
        wanted = [chosen]
    if len(wanted) == 1 and wanted[0].endswith("*"):
        return _group(seen, wanted[0], path)
    for column in wanted:
        if column not in seen:
            raise BadInputError(f"{path} has no column {column!r} (seen: {', '.join(seen)})")
    if len(wanted) == 1:
        return list(wanted), (), _COLUMNS.get(wanted[0].lower())
    head = wanted[0].rpartition("_")[0] + "_"
    shared = head if all(w.startswith(head) and w != head for w in wanted) else ""
    return list(wanted), tuple(w[len(shared) :] for w in wanted), None


def _group(seen: Sequence[str], pattern: str, path: Path) -> tuple[list[str], tuple[str, ...], ScoreKind | None]:
    """The columns that begin as `pattern` does, one per class, as `_columns`; numbers of classes in their order."""
    start = len(pattern) - 1
    found = [c for c in seen if fnmatch.fnmatch(c.lower(), pattern.lower())]
    if not found:
        raise BadInputError(f"{path} has no columns {pattern!r} (seen: {', '.join(seen)})")
    if all(c[start:].isdecimal() for c in found):
        found = sorted(found, key=lambda c: int(c[start:]))
    return found, tuple(c[start:] for c in found), _PREFIXES.get(pattern[:-1].lower())


def _best_of_timm(seen: Sequence[str]) -> str | None:
    """The column of the best class in a file of timm's inference.py, whose `prob_0`, `prob_1` go by rank, not by class.

    Its `label` is what the model said. None for other files.
    """
    if "filename" not in seen or not {"index", "index_0", "label_0"} & set(seen):
        return None
    return next((c for c in ("label", "label_0", "index", "index_0") if c in seen), None)


def _numbers(column: pa.ChunkedArray, name: str, path: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    try:
        return column.cast(pa.float64()).to_numpy()  # type: ignore[no-any-return]
    except pa.ArrowInvalid as error:
        raise BadInputError(f"{path}, column {name!r}: {str(error).splitlines()[0]}") from error


def _values(column: pa.ChunkedArray, path: Path, name: str) -> Any:
    """The values of one column; lists of equal length as a matrix, without a Python object per number."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        flat, count = pc.list_flatten(column), len(column)
        lengths = pc.unique(pc.list_value_length(column)).to_pylist()
        simple = pa.types.is_floating(flat.type) or pa.types.is_integer(flat.type)
        if len(lengths) == 1 and lengths[0] is not None and simple and flat.null_count == 0:
            return flat.to_numpy().reshape(count, -1)
        return column.to_pylist()
    values = column.to_pylist()
    if any(isinstance(v, str) and v.startswith(("[", "tensor(", "array(", "np.array(")) for v in values):
        places = [f"{path} row {row}, column {name!r}" for row in range(1, len(values) + 1)]
        return [None if v is None else listed(str(v), place) for v, place in zip(values, places, strict=True)]
    return values


def _npz(path: Path, wanted: Sequence[str]) -> Predictions:
    try:
        arrays = load_arrays(path)
    except DamagedArrayError as error:
        raise BadInputError(f"predictions file {path} cannot be read: {error}") from error
    key = next((k for k in KEY_COLUMNS if k in arrays), None)
    if key is None and {"predictions", "label_ids"} <= arrays.keys():
        return _trainer(arrays["predictions"], arrays["label_ids"], path)
    if key is None:
        raise BadInputError(f"{path} has no array that names images (seen: {', '.join(arrays)}); call it 'image'")
    keys = [image_key(text_of(k), row, path) for row, k in enumerate(arrays.pop(key).tolist(), start=1)]
    (column, *_), _, scores = _columns(list(arrays), wanted, path)
    for name, array in arrays.items():
        if len(array) != len(keys):
            raise BadInputError(f"{path}: {len(keys)} names of images and {len(array)} rows of {name!r}")
    rest = {name: array.tolist() for name, array in arrays.items() if name != column and array.ndim == 1}
    masks = {name: list(array) for name, array in arrays.items() if name != column and array.ndim > 1}
    return Predictions(keys, arrays[column], rest | masks, path, path.parent, (), scores)


def _trainer(logits: Any, labels: Any, path: Path) -> Predictions:
    """What the Trainer of transformers predicts, in the order of its data set: rows are named as Hugging Face's are."""
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise BadInputError(
            f"{path}: predictions {logits.shape} and label_ids {labels.shape}; expected (n, C) and (n,)"
        )
    keys = [f"{row:08d}" for row in range(len(logits))]
    return Predictions(keys, logits, {"label": labels.tolist()}, path, path.parent, (), "logits")


def _detections(path: Path) -> Predictions:
    """Detections of each image."""
    keys, found = read_detections(path)
    return Predictions(keys, found, {}, path, path.parent)


def _folder(path: Path) -> Predictions:
    """The masks of a folder; a mask's path without its suffix names its image."""
    files = sorted(p.relative_to(path) for p in path.rglob("*") if p.suffix.lower() in _MASKS)
    if not files:
        raise BadInputError(f"no masks in {path} (looked for {', '.join(_MASKS)})")
    return Predictions([f.with_suffix("").as_posix() for f in files], [f.as_posix() for f in files], {}, path, path)
