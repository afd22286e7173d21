"""A folder of image files, or an ImageFolder, whose sub-folders are the labels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.base import Item, reject

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


def is_image(name: str) -> bool:
    """Whether a file's name says that it is an image, and not a hidden file."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


@dataclass(frozen=True)
class Folder:
    """All image files below a folder, sorted. Hidden folders are left out; links to folders are not followed.

    With `labelled`, the folder an image lies in is its label, and a first folder named like a split its split
    (torchvision's ImageFolder). Raises BadInputError where the folder is missing, is no folder, or holds no image.
    """

    path: Path
    labelled: bool = False

    @property
    def name(self) -> str:
        """The folder's full path."""
        return str(self.path.resolve())

    @property
    def schema(self) -> pa.Schema | None:
        """Label and split, of an ImageFolder."""
        return pa.schema({"label": pa.string(), "split": pa.string()} if self.labelled else {})

    @cached_property
    def _found(self) -> list[Item]:
        if not self.path.exists():
            raise BadInputError(f"no such folder: {self.path}")
        if not self.path.is_dir():
            raise BadInputError(f"{self.path} is a file; give the folder that holds the images")
        found = sorted(self._walk(self.path.resolve()), key=lambda item: item.key)
        if not found:
            kinds = ", ".join(sorted(s.lstrip(".") for s in SUFFIXES))
            raise BadInputError(f"no images in {self.path} (looked for {kinds}, in subfolders too)")
        return found

    def keys(self) -> list[str]:
        """Paths below the folder, '/' between parts."""
        return [item.key for item in self._found]

    def items(self) -> Iterator[Item]:
        """The files."""
        return iter(self._found)

    def _walk(self, root: Path) -> Iterator[Item]:
        for parent, folders, names in os.walk(root):
            folders[:] = [f for f in folders if not f.startswith(".")]
            for path in (Path(parent, name) for name in names if is_image(name)):
                escapes = path.is_symlink() and not path.resolve().is_relative_to(root)
                status = path.lstat() if escapes or not path.exists() else path.stat()
                read = reject("a link that leads outside the image folder") if escapes else path.read_bytes
                key = path.relative_to(root).as_posix()
                yield Item(key, read, status.st_size, status.st_mtime_ns, self._label(key))

    def _label(self, key: str) -> dict[str, str | None]:
        if not self.labelled:
            return {}
        *folders, _ = key.split("/")
        if not folders:
            raise BadInputError(f"{self.path}/{key} lies in no sub-folder, so it has no label; see --kind folder")
        split = folders[0] if len(folders) > 1 and folders[0].lower() in SPLITS else None
        return {"label": folders[-1], "split": split}
