"""A Hugging Face data set on disk, as `Dataset.save_to_disk` or `DatasetDict.save_to_disk` writes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.base import UNKNOWN_KEY, Item, current, encoded_item, first_line, rejecting
from fsearch.indexer.sources.decode import RejectedImageError
from fsearch.indexer.sources.paths import PathResolver
from fsearch.indexer.storage.regular_files import NO_FILE, find_irregular
from fsearch.indexer.storage.tabular import name_classes
from fsearch.indexer.storage.union import differences, in_columns, union_schema

_BATCH = 64


@dataclass(frozen=True)
class SavedDataset:
    """The rows of a saved data set, memory-mapped; a dictionary's splits one after the other, in the column `split`.

    Keys are row numbers, after the split's name where there are several. Images that it only names are read below
    `paths.root`. Raises BadInputError where it has no image column.
    """

    path: Path
    paths: PathResolver
    column: str | None = None

    @property
    def name(self) -> str:
        """The folder's full path."""
        return str(self.path.resolve())

    @property
    def schema(self) -> pa.Schema:
        """The columns beside the image, classes by name, and the split."""
        fields = [
            pa.field(f.name, pa.string()) if f.name in self._classes else f
            for f in union_schema(r.features.arrow_schema for r in self._splits.values())
            if f.name != self._image and not pa.types.is_struct(f.type)
        ]
        return pa.schema([*fields, *([pa.field("split", pa.string())] if len(self._splits) > 1 else [])])

    @property
    def notes(self) -> tuple[str, ...]:
        """Columns that differ from split to split."""
        return differences([(split, rows.features.arrow_schema) for split, rows in self._splits.items()])

    @cached_property
    def _splits(self) -> dict[str, Any]:
        try:
            import datasets
        except ImportError as error:
            raise BadInputError("Hugging Face data sets need the library datasets: pip install datasets") from error
        odd = find_irregular(self.path)
        if odd is not None:
            raise BadInputError(f"data set {self.path} cannot be read: {odd.name}: {NO_FILE}")
        try:
            loaded = datasets.load_from_disk(str(self.path))
        except Exception as error:  # of a damaged description it raises whatever it stumbles over
            raise BadInputError(f"data set {self.path} cannot be read: {first_line(error)}") from error
        return dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"": loaded}

    @cached_property
    def _image(self) -> str:
        import datasets

        splits = [rows.features for rows in self._splits.values()]
        images = [c for c, f in splits[0].items() if all(isinstance(s.get(c, f), datasets.Image) for s in splits)]
        images = [c for c in images if all(c in s for s in splits)]
        if self.column is not None and self.column not in images:
            raise BadInputError(
                f"data set {self.path}: {self.column!r} is no image column (those are: {', '.join(images)})"
            )
        if not images:
            raise BadInputError(f"data set {self.path} has no image column (seen: {', '.join(splits[0])})")
        return self.column or images[0]

    @cached_property
    def _classes(self) -> frozenset[str]:
        """Columns whose numbers have names, in some split."""
        return frozenset(c for rows in self._splits.values() for c in _class_names(rows))

    def keys(self) -> list[str]:
        """Row numbers, after the split's name."""
        return [_key(split, i) for split, rows in self._splits.items() for i in range(len(rows))]

    def items(self) -> Iterator[Item]:
        """The rows."""
        schema = self.schema
        mtime_ns = max(p.stat().st_mtime_ns for p in self._files())
        for split, rows in self._undecoded.items():
            number, classes = 0, _class_names(self._splits[split])
            for table in rows.iter(_BATCH):
                images = table[self._image].to_pylist()
                rest = table.select([c for c in schema.names if c in table.column_names]).to_pylist()
                for image, row in zip(images, rest, strict=True):
                    known = name_classes(row, classes) | ({"split": split} if split else {})
                    yield self._item(_key(split, number), image, in_columns(known, schema), mtime_ns)
                    number += 1

    def read(self, key: str) -> bytes:
        """The image of one row, from the memory-mapped table. Raises RejectedImageError, see `Source.read`."""
        with rejecting():
            data = current(self, [self.path, *self._files()])._find(key).read()
            assert isinstance(data, bytes)
            return data

    def _find(self, key: str) -> Item:
        split, _, number = key.rpartition("/")
        rows = self._undecoded.get(split, ())
        row = int(number) if number.isascii() and number.isdigit() else len(rows)
        if row >= len(rows) or key != _key(split, row):
            raise RejectedImageError(UNKNOWN_KEY)
        (image,) = rows[row : row + 1][self._image].to_pylist()
        return self._item(key, image, {}, 0)

    def _files(self) -> list[Path]:
        return sorted(self.path.rglob("*.arrow"))

    @cached_property
    def _undecoded(self) -> dict[str, Any]:
        """The splits, their images as encoded bytes in Arrow tables."""
        import datasets

        encoded = datasets.Image(decode=False)
        return {s: r.cast_column(self._image, encoded).with_format("arrow") for s, r in self._splits.items()}

    def _item(self, key: str, image: dict[str, Any] | None, row: dict[str, Any], mtime_ns: int) -> Item:
        if image and image.get("bytes") is None and image.get("path"):
            return replace(self.paths.item(self.paths.key(image["path"], str(self.path)), row), key=key)
        return encoded_item(key, (image or {}).get("bytes"), mtime_ns, row)


def _class_names(rows: Any) -> dict[str, list[str]]:
    import datasets

    return {c: f.names for c, f in rows.features.items() if isinstance(f, datasets.ClassLabel)}


def _key(split: str, row: int) -> str:
    return f"{split}/{row:08d}" if split else f"{row:08d}"
