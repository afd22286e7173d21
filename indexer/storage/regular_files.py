"""Open what the user, or a data set, names as a file, and nothing else: a pipe or a device would be waited for."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

NO_FILE = "it is a pipe or a device, not a file"


def open_regular(path: Path | str) -> BufferedReader:
    """Open a file for reading. Raises OSError, also where it is a pipe or a device: these would be waited for."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, NO_FILE, str(path))


def find_irregular(folder: Path) -> Path | None:
    """A pipe or device somewhere below a folder that a library will read; None where there is none."""
    return next((p for p in folder.rglob("*") if p.exists() and not (p.is_file() or p.is_dir())), None)


def read_regular(path: Path | str, most: int) -> bytes:
    """The content of a file of at most `most` bytes. Raises OSError for a larger one, a pipe or a device."""
    with open_regular(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", str(path))
    return data
