"""`fsearch export`: every image of a black box in one Parquet file, in the form that other tools take.

The column `image` has the Hugging Face form (a struct of bytes and path) and is declared as such, so that `datasets`
gives pictures; `x`, `y` and `neighbors` are what embedding-atlas draws. Written batch by batch: memory stays small.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.decode import RejectedImageError
from fsearch.indexer.storage.vectors import Embeddings, blocks
from fsearch.indexer.workspace.image_places import ImageRow
from fsearch.indexer.workspace.image_reader import ImageReader
from fsearch.indexer.workspace.store import Store
from fsearch.search.formats.target import Wanted, example_rows

NEIGHBORS = 16
_ROWS = 1_024  # written at a time
_VALUES = ((pa.types.is_string, "string"), (pa.types.is_boolean, "bool"))
_NUMBERS = (pa.types.is_integer, pa.types.is_floating)
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What an export holds beside path, loss, label, prediction, predicted loss and the images' own columns.

    Attributes
    ----------
    images : the encoded images themselves.
    vectors : their embeddings; xy : the two main directions of these (PCA).
    neighbors : of each image the NEIGHBORS nearest: rows of the file, and one less the cosine.
    """

    images: bool = False
    vectors: bool = False
    xy: bool = False
    neighbors: bool = False


def export_images(
    store: Store, wanted: Wanted, out: Path, options: ExportOptions, progress: Progress | None = None
) -> int:
    """Write the images that are `wanted` to `out`, whole or not at all; how many.

    Raises BadInputError where `out` is no .parquet in a folder, or a column of the images would stand twice.
    """
    import pyarrow.parquet

    if out.suffix.lower() != ".parquet" or not out.parent.is_dir():
        raise BadInputError(f"{out}: give a .parquet file in a folder that exists")
    rows = example_rows(store, wanted)
    reader, more = ImageReader(store), _Columns.of(store, rows["embedding_row"].to_numpy(), options)
    part, writer = out.with_name(out.name + ".part"), None
    try:
        for start in range(0, rows.num_rows, _ROWS):
            batch = _batch(rows.slice(start, _ROWS), reader, more, options)
            if writer is None:
                writer = pyarrow.parquet.ParquetWriter(part, batch.schema)
            writer.write_table(batch)
            if progress:
                progress(min(start + _ROWS, rows.num_rows), rows.num_rows)
        assert writer is not None
        writer.close()
        part.replace(out)
    finally:
        if writer is not None and writer.is_open:
            writer.close()
        part.unlink(missing_ok=True)
    return int(rows.num_rows)


@dataclass(frozen=True, slots=True)
class _Columns:
    """What is made from the embeddings: their rows in the order of the file, and what was asked for."""

    vectors: Embeddings
    rows: NDArray[np.int64]
    axes: tuple[NDArray[np.float64], NDArray[np.float64]] | None
    nearest: Callable[[NDArray[np.float32]], tuple[NDArray[Any], NDArray[Any]]] | None

    @classmethod
    def of(cls, store: Store, rows: NDArray[np.int64], options: ExportOptions) -> _Columns:
        vectors = store.vectors()
        axes = main_axes(vectors) if options.xy else None
        return cls(vectors, rows, axes, _searcher(store, rows) if options.neighbors else None)


def _searcher(
    store: Store, rows: NDArray[np.int64]
) -> Callable[[NDArray[np.float32]], tuple[NDArray[Any], NDArray[Any]]]:
    """What finds the nearest rows of the file; of images with one embedding, the first stands for all."""
    index = store.index()
    place = np.full(len(index), -1, np.int64)
    place[rows[::-1]] = np.arange(len(rows))[::-1]
    allowed = place >= 0
    k = min(NEIGHBORS + 1, int(allowed.sum()))

    def nearest(queries: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[Any]]:
        similarities, found = index.search(queries, k, allowed)
        return place[found], 1 - similarities

    return nearest


def _batch(rows: pa.Table, reader: ImageReader, more: _Columns, options: ExportOptions) -> pa.Table:
    """Rows of the view `examples` with the columns asked for."""
    pairs = zip(rows["source"].to_pylist(), rows["key"].to_pylist(), strict=True)
    where = [ImageRow(source, key, None, None) for source, key in pairs]
    at = rows["embedding_row"].to_numpy()
    found = {name: rows[name] for name in rows.column_names if name != "embedding_row"}
    added: dict[str, Any] = {"path": pa.array([reader.place(w) for w in where], pa.string())}
    if options.images:
        kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
        added["image"] = pa.array([_encoded(reader, w) for w in where], kind)
    if options.vectors or options.xy or options.neighbors:
        added |= _embedded(np.asarray(more.vectors[at], np.float32), more, options)
    for name in [name for name in found if name in added]:  # the user's own column keeps its content
        found[f"{name}_"] = found.pop(name)
    table = pa.table({**added, **found})
    return table.replace_schema_metadata(_declared(table.schema))


def _embedded(vectors: NDArray[np.float32], more: _Columns, options: ExportOptions) -> dict[str, Any]:
    added: dict[str, Any] = {}
    if options.vectors:
        added["vector"] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    if more.axes is not None:
        mean, axes = more.axes
        places = (vectors - mean) @ axes
        added |= {"x": pa.array(places[:, 0]), "y": pa.array(places[:, 1])}
    if more.nearest is not None:
        ids, distances = more.nearest(vectors)
        pairs = [{"ids": i.tolist(), "distances": d.tolist()} for i, d in zip(ids, distances, strict=True)]
        added["neighbors"] = pa.array(
            pairs, pa.struct({"ids": pa.list_(pa.int64()), "distances": pa.list_(pa.float64())})
        )
    return added


def _encoded(reader: ImageReader, image: ImageRow) -> dict[str, Any] | None:
    """The Hugging Face form of an image; None for one that is gone."""
    try:
        data = reader.data(image.source, image.key)
    except RejectedImageError:
        return None
    if not isinstance(data, bytes):
        file = io.BytesIO()
        data.save(file, "PNG")
        data = file.getvalue()
    return {"bytes": data, "path": image.key}


def main_axes(vectors: Embeddings) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (d,) and the two directions (d, 2) of largest variance; each points where its largest part is positive."""
    total, square, n = np.zeros(()), np.zeros(()), 0
    for block in blocks(vectors):
        values = np.asarray(block, np.float64)
        total, square, n = total + values.sum(axis=0), square + values.T @ values, n + len(values)
    mean = total / n
    _, directions = np.linalg.eigh(square / n - np.outer(mean, mean))
    axes = directions[:, :-3:-1]
    return mean, axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])


def _declared(schema: pa.Schema) -> dict[bytes, bytes] | None:
    """The metadata by which `datasets` takes `image` for images; None where it has no name for a column's type."""
    features = {field.name: {"_type": "Image"} if field.name == "image" else _feature(field.type) for field in schema}
    if "image" not in features or None in features.values():
        return None
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


def _feature(kind: pa.DataType) -> Any:
    if any(is_number(kind) for is_number in _NUMBERS):
        return {"dtype": {"double": "float64", "float": "float32"}.get(str(kind), str(kind)), "_type": "Value"}
    if pa.types.is_fixed_size_list(kind):
        return {"feature": _feature(kind.value_type), "length": kind.list_size, "_type": "Sequence"}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "Sequence"}
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    return next(({"dtype": name, "_type": "Value"} for is_kind, name in _VALUES if is_kind(kind)), None)
