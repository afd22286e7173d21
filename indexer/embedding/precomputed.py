"""Image embeddings that the user has already: read from a file and taken instead of running an image tower.

Images are still decoded once, so that broken ones are quarantined and each is known by its content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from fsearch.indexer.embedding.batch_sizes import BATCH
from fsearch.indexer.embedding.custom_encoder import unit_rows
from fsearch.indexer.embedding.pipeline import Companion, EmbedBatch, Engine, Outcome, PreparedImage
from fsearch.indexer.embedding.writer import BatchWriter, ImageRecord, RejectedItem
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.base import Item
from fsearch.indexer.sources.keys import normal_key
from fsearch.indexer.sources.prefetch import prefetch, read_image
from fsearch.indexer.storage.files import DamagedArrayError, load_array, load_arrays
from fsearch.indexer.storage.regular_files import read_regular
from fsearch.indexer.storage.tabular import TableFile
from fsearch.indexer.workspace.store import Store

SUFFIXES = (".npy", ".npz", ".parquet")
VECTOR_COLUMNS = ("embedding", "embeddings", "vector", "vectors")
_MAX_KEYS = 2**31  # bytes of a list of names
_SAME = 2e-3  # difference of a coordinate that rounding to float16 explains

ReadKeys = Callable[[pa.Table, Path], tuple[str, list[str]]]


@dataclass(frozen=True, slots=True)
class EmbeddingFile:
    """Embeddings as the user has them.

    Attributes
    ----------
    path : the file, for messages.
    keys : n strings that name images, in the order of the rows.
    vectors : (n, d) float16, float32 or float64; rows of any length.
    """

    path: Path
    keys: list[str]
    vectors: NDArray[Any]

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return int(self.vectors.shape[1])


def read_embeddings(path: Path, keys: Path | None, read_keys: ReadKeys) -> EmbeddingFile:
    """Read a file of embeddings.

    A .npy holds an array (n, d), and a text file holds its keys, one a line: `keys`, or by default STEM.keys.txt beside
    it. A .npz holds the arrays `keys` and `embeddings` (or another of VECTOR_COLUMNS). A .parquet holds a column of
    keys, found by `read_keys`, and a column of lists. Raises BadInputError.
    """
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise BadInputError(f"--embeddings {path}: use {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise BadInputError(f"no such file of embeddings: {path}")
    if keys is not None and kind != ".npy":
        raise BadInputError(f"--keys is for a .npy; {path} holds its own keys")
    try:
        if kind == ".npy":
            names, vectors = _read_keys(path, keys), load_array(path, "r")
        else:
            names, vectors = _from_npz(path) if kind == ".npz" else _from_parquet(path, read_keys)
    except DamagedArrayError as error:
        raise BadInputError(f"{path} cannot be read: {error}") from error
    if vectors.ndim != 2 or not np.issubdtype(vectors.dtype, np.floating) or 0 in vectors.shape:
        raise BadInputError(f"{path} holds {vectors.dtype} {vectors.shape}; embeddings are floats of shape (n, d)")
    if len(names) != len(vectors):
        raise BadInputError(f"{path}: {len(names):,} keys for {len(vectors):,} embeddings; give one for each, in order")
    return EmbeddingFile(path, names, vectors)


def _read_keys(path: Path, keys: Path | None) -> list[str]:
    place = keys or path.with_suffix(".keys.txt")
    try:
        lines = read_regular(place, _MAX_KEYS).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise BadInputError(f"{place} is not UTF-8 text") from error
    except OSError as error:
        raise BadInputError(
            f"{path} needs the names of its images, one a line and in its order: {place} cannot be read "
            f"({error.strerror}); give --keys FILE"
        ) from error
    return _checked(lines, place)


def _from_npz(path: Path) -> tuple[list[str], NDArray[Any]]:
    arrays = load_arrays(path)
    column = next((c for c in VECTOR_COLUMNS if c in arrays), None)
    if "keys" not in arrays or column is None:
        raise BadInputError(f"{path} holds {', '.join(arrays) or 'nothing'}; it must hold 'keys' and 'embeddings'")
    return _checked([str(k) for k in arrays["keys"].ravel().tolist()], path), arrays[column]


def _from_parquet(path: Path, read_keys: ReadKeys) -> tuple[list[str], NDArray[Any]]:
    file = TableFile(path, "file of embeddings")
    column = next((c for c in VECTOR_COLUMNS if c in file.schema.names), None)
    if column is None:
        raise BadInputError(f"{path} has no column 'embedding' (seen: {', '.join(file.schema.names)})")
    table = file.read()
    _, names = read_keys(table, path)
    lists = table[column].combine_chunks()
    kind = lists.type
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not listed or not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise BadInputError(f"{path}, column {column!r}: {kind}; embeddings are lists of numbers")
    lengths = pa.compute.unique(pa.compute.list_value_length(lists)).to_pylist()
    if len(lengths) != 1 or None in lengths:
        raise BadInputError(f"{path}, column {column!r}: every row must be a list of the same length")
    flat = np.asarray(lists.flatten().to_numpy(zero_copy_only=False))
    return names, flat.reshape(len(names), -1)


def _checked(keys: Sequence[str], path: Path) -> list[str]:
    """The keys, as other files name images. Raises BadInputError for one that is missing or there twice."""
    names = [normal_key(k) for k in keys]
    first: dict[str, int] = {}
    for row, name in enumerate(names, start=1):
        if not name:
            raise BadInputError(f"{path} row {row}: the image's name is missing")
        if name in first:
            raise BadInputError(f"{path} row {row}: {name!r} is in row {first[name]} already; keep one")
        first[name] = row
    return names


class PrecomputedEngine:
    """Takes the embeddings of one source's images from a file.

    `rows` gives the row of each image that the file has, by the image's key. `stored` says which embedding the
    workspace has of an image already.
    """

    def __init__(self, file: EmbeddingFile, rows: dict[str, int], store: Store, source: str) -> None:
        self._file, self._rows = file, rows
        query = (
            "SELECT key, row FROM images WHERE source = ? AND status = 'present' "
            "AND row IN (SELECT row FROM images GROUP BY row HAVING count(*) = 1)"  # copies share an embedding
        )
        with store.catalog.read() as con:
            self._stored = dict(con.execute(query, [source]).fetchall())
        self._vectors = store.vectors()

    def engine(self, batch: int = BATCH, companion: Companion | None = None) -> Engine:
        """An engine for `index_images`."""

        def engine(todo: Iterable[Item], writer: BatchWriter) -> tuple[Iterator[Outcome], EmbedBatch]:
            return prefetch(todo, lambda item: self._prepare(item, companion), 3 * batch), np.stack

        return engine

    def verify(self, key: str) -> None:
        """Raise BadInputError where the workspace has another embedding of an unchanged image than the file."""
        if key not in self._rows or key not in self._stored:
            return
        stored = self._vectors[np.array([self._stored[key]])][0].astype(np.float32)
        if not np.allclose(stored, self._unit(self._rows[key]), atol=_SAME):
            raise BadInputError(
                f"{self._file.path}: the embedding of {key!r} is another than the one in the workspace; "
                "use another --workspace for other embeddings"
            )

    def _prepare(self, item: Item, companion: Companion | None) -> Outcome:
        found = read_image(item)
        if isinstance(found, str):
            return RejectedItem(item, found)
        row, name = self._rows.get(item.key), self._file.path.name
        if row is None:
            return RejectedItem(item, f"{name} has no embedding of it")
        vector = self._unit(row)
        if not np.isfinite(vector).all():
            fault = "zero" if np.isfinite(self._file.vectors[row]).all() else "not finite"
            return RejectedItem(item, f"its embedding in {name} (row {row + 1}) is {fault}")
        beside = None if companion is None else companion.prepare(item, found)
        return PreparedImage(ImageRecord(item, found.sha256, found.size, found.bytes), vector, beside)

    def _unit(self, row: int) -> NDArray[np.float32]:
        unit: NDArray[np.float32] = unit_rows(np.asarray(self._file.vectors[row : row + 1]))[0]
        return unit
