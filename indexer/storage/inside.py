"""Files of a workspace, reached without following a link: the one place that deletes, and that makes new files.

A workspace may come from somebody else, and a link in it may lead anywhere. So none of its parts may be a link (the
folder itself may), a device or a pipe: each is looked at before it is opened, locked, written, renamed or deleted. New
files are made only where nothing is.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO

from fsearch.indexer.errors import WorkspaceError

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def inside(root: Path, *parts: str) -> Path:
    """`root` / `parts`. Raises WorkspaceError where something on the way below `root` is a link, a device or a pipe."""
    place = os.fspath(root)
    for part in parts:
        place = os.path.join(place, part)
        try:
            _require_plain(place, os.lstat(place).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            break
    return root.joinpath(*parts)


def require_plain_entries(folder: Path, prefix: str) -> None:
    """Raise WorkspaceError where an entry of `folder` with this `prefix` is a link, a device or a pipe.

    For an engine that chooses names of its own beside the file it is given.
    """
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(prefix):
                _require_plain(entry.path, entry.stat(follow_symlinks=False).st_mode)


def _require_plain(place: str, mode: int) -> None:
    if stat.S_ISLNK(mode):
        raise WorkspaceError(f"{place} is a link, and no part of a workspace may be one; put there what it leads to")
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise WorkspaceError(f"{place} is neither a file nor a folder, so it is not fsearch's; remove it")


def new_file(path: Path) -> IO[bytes]:
    """A new file to write; what was there before is deleted, and a link itself, not what it leads to."""
    remove(path)
    return os.fdopen(os.open(path, _NEW, 0o666), "wb")


def remove(path: Path) -> bool:
    """Delete a file, a link itself, or a folder with all that is in it; returns whether there was one."""
    try:
        if stat.S_ISDIR(path.lstat().st_mode):
            shutil.rmtree(path)  # follows no link
        else:
            path.unlink()
    except FileNotFoundError:
        return False
    return True
