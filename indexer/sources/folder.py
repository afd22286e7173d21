"""A local folder of image files, or an ImageFolder, whose sub-folders are the labels."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.base import UNKNOWN_KEY, Item, reject, rejecting, sized_item, unreadable
from fsearch.indexer.sources.decode import RejectedImageError
from fsearch.indexer.sources.listing import FolderListing, LeftOut, is_image, is_key, is_left_out, label_of


@dataclass(frozen=True)
class Folder(FolderListing):
    """All image files below a folder, sorted. Hidden folders, and those of systems, are left out and counted.

    With `labelled`, the folder an image lies in is its label, and a first folder named like a split its split
    (torchvision's ImageFolder). With `allow_outside`, links to files and folders outside are followed, each folder
    once; without, such a file is rejected. Links to folders inside are never followed: what they hold has its own
    path. Raises BadInputError where the folder is missing, is no folder, or holds no image.
    """

    path: Path
    labelled: bool = False
    allow_outside: bool = False

    @property
    def name(self) -> str:
        """The folder's full path."""
        return str(self.path.resolve())

    @property
    def where(self) -> str:
        """The folder as it was named."""
        return str(self.path)

    def read(self, key: str) -> bytes:
        """The content of one file, without listing the folder. Raises RejectedImageError, see `Source.read`.

        A file that is not there counts as gone, whether or not it ever was.
        """
        with rejecting():
            root = self.path.resolve()
            parent = (root / key).parent if is_key(key, self.labelled) else None
            if parent is None or not parent.is_relative_to(root):
                raise RejectedImageError(UNKNOWN_KEY)
            if not self.allow_outside and os.path.realpath(parent) != str(parent):  # a link, which no listing follows
                raise RejectedImageError(UNKNOWN_KEY)
            data = self._item(root, key).read()
            assert isinstance(data, bytes)
            return data

    def _list(self, left_out: LeftOut) -> Iterator[Item]:
        if not self.path.exists():
            raise BadInputError(f"no such folder: {self.path}")
        if not self.path.is_dir():
            raise BadInputError(f"{self.path} is a file; give the folder that holds the images")
        root = self.path.resolve()
        for key in self._walk(root, left_out):
            yield self._item(root, key)

    def _walk(self, root: Path, left_out: LeftOut) -> Iterator[str]:
        """Keys of the image files below `root`."""
        followed: set[str] = set()
        for parent, folders, names in os.walk(root, followlinks=True):
            kept = []
            for folder in folders:
                if is_left_out(folder):
                    left_out.folder(folder)
                elif self._enters(root, Path(parent, folder), followed, left_out):
                    kept.append(folder)
            folders[:] = kept
            for name in names:
                if is_image(name):
                    yield Path(parent, name).relative_to(root).as_posix()
                else:
                    left_out.file(name)

    def _enters(self, root: Path, folder: Path, followed: set[str], left_out: LeftOut) -> bool:
        """Whether the listing goes into `folder`; targets of links that it follows are added to `followed`."""
        if not folder.is_symlink():
            return True
        target = os.path.realpath(folder)
        if Path(target).is_relative_to(root) or root.is_relative_to(target) or target in followed:
            return False
        if not self.allow_outside:
            left_out.links += 1
            return False
        followed.add(target)
        return True

    def _item(self, root: Path, key: str) -> Item:
        path = root / key
        label = label_of(key, str(self.path)) if self.labelled else {}
        target = Path(os.path.realpath(path))  # Path.resolve raises on a link to itself
        escapes = path.is_symlink() and not target.is_relative_to(root) and not self.allow_outside
        try:
            status = path.lstat() if escapes or not path.exists() else path.stat()
        except OSError as error:  # deleted since it was listed
            return Item(key, unreadable(error), 0, None, label)
        size, mtime_ns = status.st_size, status.st_mtime_ns
        if escapes:
            reason = "a link that leads outside the image folder; --allow-outside follows it"
            return Item(key, reject(reason), size, mtime_ns, label)
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISLNK(status.st_mode):  # reading a pipe would block
            return Item(key, reject("not a regular file"), size, mtime_ns, label)
        return sized_item(key, path.read_bytes, size, mtime_ns, label)
