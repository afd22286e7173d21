"""A local folder of image files, or an ImageFolder, whose sub-folders are the labels."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.base import UNKNOWN_KEY, Item, reject, rejecting, sized_item, unreadable
from fsearch.indexer.sources.decode import RejectedImageError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})


def is_image(name: str) -> bool:
    """Whether a file name has an image suffix and is not hidden."""
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def is_key(key: str, labelled: bool = False) -> bool:
    """Whether a listing of a folder may contain `key`: an image, relative, in no hidden folder, without `..`.

    Below a `labelled` folder, an ImageFolder, it must lie in a sub-folder.
    """
    *folders, name = key.split("/")
    if not is_image(name) or "\0" in key or (labelled and not folders):
        return False
    return all(f and not f.startswith(".") for f in folders)


def label_schema(labelled: bool) -> pa.Schema:
    """The metadata of a folder: label and split of an ImageFolder, else none."""
    return pa.schema({"label": pa.string(), "split": pa.string()} if labelled else {})


def label_of(key: str, folder: str) -> dict[str, str | None]:
    """Label and split of an ImageFolder's file, from its path. Raises BadInputError for one in no sub-folder."""
    *folders, _ = key.split("/")
    if not folders:
        raise BadInputError(f"{folder}/{key} lies in no sub-folder, so it has no label; see --kind folder")
    split = folders[0] if len(folders) > 1 and folders[0].lower() in SPLITS else None
    return {"label": folders[-1], "split": split}


def no_images(folder: str) -> BadInputError:
    """The error for a folder without images."""
    kinds = ", ".join(sorted(s.lstrip(".") for s in SUFFIXES))
    return BadInputError(f"no images in {folder} (looked for {kinds}, in subfolders too)")


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
        return label_schema(self.labelled)

    @cached_property
    def _found(self) -> list[Item]:
        if not self.path.exists():
            raise BadInputError(f"no such folder: {self.path}")
        if not self.path.is_dir():
            raise BadInputError(f"{self.path} is a file; give the folder that holds the images")
        root = self.path.resolve()
        found = [self._item(root, key) for key in sorted(_walk(root))]
        if not found:
            raise no_images(str(self.path))
        return found

    def keys(self) -> list[str]:
        """Paths below the folder, '/' between parts."""
        return [item.key for item in self._found]

    def items(self) -> Iterator[Item]:
        """The files."""
        return iter(self._found)

    def read(self, key: str) -> bytes:
        """The content of one file, without listing the folder. Raises RejectedImageError, see `Source.read`.

        A file that is not there counts as gone, whether or not it ever was.
        """
        with rejecting():
            root = self.path.resolve()
            parent = (root / key).parent if is_key(key, self.labelled) else None
            if parent is None or not parent.is_relative_to(root) or os.path.realpath(parent) != str(parent):
                raise RejectedImageError(UNKNOWN_KEY)  # the last: a link to a folder, which no listing follows
            data = self._item(root, key).read()
            assert isinstance(data, bytes)
            return data

    def _item(self, root: Path, key: str) -> Item:
        path = root / key
        label = label_of(key, str(self.path)) if self.labelled else {}
        target = Path(os.path.realpath(path))  # Path.resolve raises on a link to itself
        escapes = path.is_symlink() and not target.is_relative_to(root)
        try:
            status = path.lstat() if escapes or not path.exists() else path.stat()
        except OSError as error:  # deleted since it was listed
            return Item(key, unreadable(error), 0, None, label)
        size, mtime_ns = status.st_size, status.st_mtime_ns
        if escapes:
            return Item(key, reject("a link that leads outside the image folder"), size, mtime_ns, label)
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISLNK(status.st_mode):  # reading a pipe would block
            return Item(key, reject("not a regular file"), size, mtime_ns, label)
        return sized_item(key, path.read_bytes, size, mtime_ns, label)


def _walk(root: Path) -> Iterator[str]:
    """Keys of the image files below `root`."""
    for parent, folders, names in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith(".")]
        for name in filter(is_image, names):
            yield Path(parent, name).relative_to(root).as_posix()
