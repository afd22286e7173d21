"""A Hugging Face data set on disk, as `Dataset.save_to_disk` or `DatasetDict.save_to_disk` leaves it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.base import Item, held_item
from fsearch.indexer.sources.paths import Places
from fsearch.indexer.storage.tabular import name_classes

_BATCH = 64


def is_saved(folder: Path) -> bool:
    """Whether a folder was written by `save_to_disk`."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


@dataclass(frozen=True)
class SavedDataset:
    """The rows of a saved data set, memory-mapped; a dictionary's splits one after the other, in the column `split`.

    Keys are row numbers, after the split's name where there are several. Images that it only names are read below
    `places.root`. Raises BadInputError where it has no image column.
    """

    path: Path
    places: Places
    column: str | None = None

    @property
    def name(self) -> str:
        """The folder's full path."""
        return str(self.path.resolve())

    @property
    def schema(self) -> pa.Schema:
        """The columns beside the image, classes by name, and the split."""
        first = next(iter(self._splits.values()))
        types = first.features.arrow_schema
        fields = [
            pa.field(c, pa.string()) if c in self._classes else types.field(c)
            for c in first.column_names
            if c != self._image and not pa.types.is_struct(types.field(c).type)
        ]
        return pa.schema([*fields, *([pa.field("split", pa.string())] if len(self._splits) > 1 else [])])

    @cached_property
    def _splits(self) -> dict[str, Any]:
        try:
            import datasets
        except ImportError as error:
            raise BadInputError("Hugging Face data sets need the library datasets: pip install datasets") from error
        try:
            loaded = datasets.load_from_disk(str(self.path))
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise BadInputError(f"data set {self.path} cannot be read: {str(error).splitlines()[0]}") from error
        return dict(loaded) if isinstance(loaded, datasets.DatasetDict) else {"": loaded}

    @cached_property
    def _image(self) -> str:
        import datasets

        features = next(iter(self._splits.values())).features
        images = [c for c, f in features.items() if isinstance(f, datasets.Image)]
        if self.column is not None and self.column not in images:
            raise BadInputError(
                f"data set {self.path}: {self.column!r} is no image column (those are: {', '.join(images)})"
            )
        if not images:
            raise BadInputError(f"data set {self.path} has no image column (seen: {', '.join(features)})")
        return self.column or images[0]

    @cached_property
    def _classes(self) -> dict[str, list[str]]:
        import datasets

        features = next(iter(self._splits.values())).features
        return {c: f.names for c, f in features.items() if isinstance(f, datasets.ClassLabel)}

    def keys(self) -> list[str]:
        """Row numbers, after the split's name."""
        return [_key(split, i) for split, rows in self._splits.items() for i in range(len(rows))]

    def items(self) -> Iterator[Item]:
        """The rows."""
        import datasets

        wanted = self.schema.names
        changed = max(p.stat().st_mtime_ns for p in self.path.rglob("*.arrow"))
        for split, rows in self._splits.items():
            undecoded = rows.cast_column(self._image, datasets.Image(decode=False)).with_format("arrow")
            number = 0
            for table in undecoded.iter(_BATCH):
                images = table[self._image].to_pylist()
                rest = table.select([c for c in wanted if c in table.column_names]).to_pylist()
                for image, row in zip(images, rest, strict=True):
                    yield self._item(_key(split, number), image, row | ({"split": split} if split else {}), changed)
                    number += 1

    def _item(self, key: str, image: dict[str, Any] | None, row: dict[str, Any], changed: int) -> Item:
        row = name_classes(row, self._classes)
        if image and image.get("bytes") is None and image.get("path"):
            return self.places.item(self.places.key(image["path"], str(self.path)), row)
        return held_item(key, (image or {}).get("bytes"), changed, row)


def _key(split: str, row: int) -> str:
    return f"{split}/{row:08d}" if split else f"{row:08d}"
