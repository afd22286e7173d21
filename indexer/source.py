"""Find the images of a folder: their keys, sizes and times. Nothing is opened here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fsearch.indexer.errors import BadInput

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One file that its name says is an image.

    Attributes
    ----------
    key : path relative to the source folder, with "/" between parts.
    size : bytes.
    mtime_ns : time of last change, nanoseconds.
    escapes : the file is a link that leads outside the source folder.
    """

    key: str
    path: Path
    size: int
    mtime_ns: int
    escapes: bool = False


def scan(folder: Path) -> list[ImageFile]:
    """All image files below `folder`, sorted by key. Hidden folders are left out; links to folders are not followed.

    Raises BadInput where the folder is missing, is no folder, or holds no image.
    """
    if not folder.exists():
        raise BadInput(f"no such folder: {folder}")
    if not folder.is_dir():
        raise BadInput(f"{folder} is a file; give the folder that holds the images")
    root = folder.resolve()
    files = sorted(_walk(root), key=lambda f: f.key)
    if not files:
        kinds = ", ".join(sorted(s.lstrip(".") for s in SUFFIXES))
        raise BadInput(f"no images in {folder} (looked for {kinds}, in subfolders too)")
    return files


def _walk(root: Path) -> Iterator[ImageFile]:
    for parent, folders, names in os.walk(root):
        folders[:] = [f for f in folders if not f.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if path.suffix.lower() not in SUFFIXES or name.startswith("."):
                continue
            escapes = path.is_symlink() and not path.resolve().is_relative_to(root)
            status = path.lstat() if escapes or not path.exists() else path.stat()
            yield ImageFile(path.relative_to(root).as_posix(), path, status.st_size, status.st_mtime_ns, escapes)
