"""Tables of images: CSV, TSV, JSONL or Parquet that hold paths, URLs, or the encoded images themselves.

Parquet as Hugging Face `datasets` writes it (a struct of bytes and path) is one of them, class names included.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.base import UNKNOWN_KEY, Item, current, encoded_item, reject_duplicates, rejecting
from fsearch.indexer.sources.decode import RejectedImageError
from fsearch.indexer.sources.parquet_cell import read_cell
from fsearch.indexer.sources.paths import PathResolver
from fsearch.indexer.storage.tabular import TableFile, class_names, count_rows, name_classes
from fsearch.indexer.storage.union import differences, in_columns, union_schema

PATHS = ("image", "path", "file", "filename", "file_name", "image_path", "url", "uri", "image_url")
PIXELS = ("image", "img", "bytes", "jpg", "jpeg", "png", "image_bytes")
IDS = ("key", "id", "image_id", "name", "file_name", "filename", "path")


@dataclass(frozen=True)
class Manifest:
    """The images that one table, or a folder of Parquet files, lists; a column that a file lacks is empty there.

    `column` names the column of images, where that is not clear from its name. Its paths are relative to `paths.root`.
    Raises BadInputError, before any image is read, for a path outside of it, a URL that is not allowed, or two rows
    with one key.
    """

    path: Path
    paths: PathResolver
    column: str | None = None

    @property
    def name(self) -> str:
        """The table's full path."""
        return str(self.path.resolve())

    @property
    def form(self) -> str:
        """How many rows were read, and what the table was taken for."""
        return f"{self.path} ({self._tables[0].form}): {len(self._keys):,} rows read"

    @property
    def schema(self) -> pa.Schema:
        """The columns beside the image; classes by name."""
        wanted = [f for f in self._columns if f.name != self._image.name and not _binary(f.type)]
        return pa.schema([pa.field(f.name, pa.string()) if f.name in self._classes else f for f in wanted])

    @property
    def notes(self) -> tuple[str, ...]:
        """Columns that differ from file to file."""
        return differences([(t.path.name, t.schema) for t in self._tables])

    @cached_property
    def _files(self) -> list[Path]:
        return self._list_files()

    def _list_files(self) -> list[Path]:
        return sorted(self.path.rglob("*.parquet")) if self.path.is_dir() else [self.path]

    @cached_property
    def _tables(self) -> list[TableFile]:
        return [TableFile(file, "manifest") for file in self._files]

    @cached_property
    def _columns(self) -> pa.Schema:
        return union_schema(t.schema for t in self._tables)

    @cached_property
    def _classes(self) -> frozenset[str]:
        """Columns whose numbers have names, in some file."""
        return frozenset(c for t in self._tables for c in class_names(t.schema))

    @cached_property
    def _image(self) -> pa.Field:
        """The column that holds the images."""
        columns = {f.name: f for f in self._columns}
        if self.column is not None and self.column in columns:
            return columns[self.column]
        seen = ", ".join(columns)
        if self.column is not None:
            raise BadInputError(f"manifest {self.path} has no column {self.column!r} (seen: {seen})")
        found = next((columns[c] for c in PIXELS if c in columns and _holds_pixels(columns[c].type)), None)
        found = found or next((columns[c] for c in PATHS if c in columns and _is_text(columns[c].type)), None)
        found = found or next((f for f in self._columns if _holds_pixels(f.type)), None)
        if found is None:
            raise BadInputError(
                f"manifest {self.path}: no column looks like images (seen: {seen}); name it: --image-column"
            )
        return found

    @cached_property
    def _keys(self) -> list[str]:
        without = next((t.path for t in self._tables if self._image.name not in t.schema.names), None)
        if without is not None:
            raise BadInputError(
                f"manifest {without} has no column {self._image.name!r}, which holds the images elsewhere"
            )
        keys = self._path_keys() if self._holds_paths else self._pixel_keys()
        if not keys:
            raise BadInputError(f"manifest {self.path} has no rows")
        reject_duplicates(keys, str(self.path))
        return keys

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {key: row for row, key in enumerate(self._keys)}

    def keys(self) -> list[str]:
        """The paths or URLs; of images in the table, an id column, else their own path, else the row's number."""
        return self._keys

    def items(self) -> Iterator[Item]:
        """The rows."""
        keys, schema = iter(self._keys), self.schema
        for table in self._tables:
            mtime_ns, classes = table.path.stat().st_mtime_ns, class_names(table.schema)
            for batch in table.batches():
                images = batch.column(self._image.name)
                rest = batch.select([c for c in schema.names if c in batch.schema.names]).to_pylist()
                for image, row, key in zip(images, rest, keys, strict=False):
                    yield self._item(key, image.as_py(), in_columns(name_classes(row, classes), schema), mtime_ns)

    def read(self, key: str) -> bytes:
        """The image of one row. Raises RejectedImageError, see `Source.read`.

        The keys of the table are read once. Of a Parquet file with encoded images, a call reads the image column of one
        row group, up to the row.
        """
        with rejecting():
            data = current(self, [self.path, *self._list_files()])._find(key).read()
            assert isinstance(data, bytes)
            return data

    def _find(self, key: str) -> Item:
        row = self._rows.get(key)
        if row is None:
            raise RejectedImageError(UNKNOWN_KEY)
        image = None if self._holds_paths else read_cell(self._files, row, self._image.name)
        return self._item(key, image, {}, 0)

    def _item(self, key: str, image: Any, row: dict[str, Any], mtime_ns: int) -> Item:
        if self._holds_paths:
            return self.paths.item(key, row)
        data = image.get("bytes") if isinstance(image, dict) else image
        if data is None and isinstance(image, dict) and image.get("path"):
            return replace(self.paths.item(self.paths.key(image["path"], str(self.path)), row), key=key)
        return encoded_item(key, data, mtime_ns, row)

    @property
    def _holds_paths(self) -> bool:
        """Whether the images are paths or URLs, so that these are the keys."""
        return _is_text(self._image.type)

    def _path_keys(self) -> list[str]:
        texts = self._values(self._image.name)
        keys = []
        for row, text in enumerate(texts, start=1):
            if not isinstance(text, str) or not text.strip():
                raise BadInputError(f"{self.path} row {row}, column {self._image.name!r}: the image's path is missing")
            keys.append(self.paths.key(text.strip(), f"{self.path} row {row}"))
        return keys

    def _pixel_keys(self) -> list[str]:
        shared = set.intersection(*(set(t.schema.names) for t in self._tables))
        own = next((f.name for f in self._columns if f.name in IDS and f.name in shared - {self._image.name}), None)
        if own is not None:
            keys = ["" if v is None else str(v).strip() for v in self._values(own)]
            if "" in keys:
                raise BadInputError(f"{self.path} row {keys.index('') + 1}, column {own!r}: the image's id is missing")
            return keys
        if pa.types.is_struct(self._image.type) and "path" in {f.name for f in self._image.type}:
            paths = [v["path"] if v else None for v in self._values(f"{self._image.name}.path")]
            if all(paths) and max(Counter(paths).values(), default=0) == 1:
                return [str(p) for p in paths]
        return [f"{i:08d}" for i in range(sum(count_rows(f) for f in self._files))]

    def _values(self, column: str) -> list[Any]:
        """One column of all files; no other column is read."""
        return [v for t in self._tables for b in t.batches([column]) for v in b.column(0).to_pylist()]


def _binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind))


def _holds_pixels(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(f.name == "bytes" and _binary(f.type) for f in kind)
    return _binary(kind)
