"""Files on disk: atomic writes, content hashes, and NumPy arrays loaded without pickle."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from fsearch.indexer.storage.inside import new_file, remove

NO_FILE = "it is a pipe or a device, not a file"


class DamagedArrayError(Exception):
    """A .npy or .npz file cannot be read; the message is one line."""


def open_regular(path: Path | str) -> IO[bytes]:
    """Open a file for reading. Raises OSError, also where it is a pipe or a device: these would be waited for."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, NO_FILE, str(path))


def load_array(file: Path | IO[bytes], mmap_mode: Literal["r"] | None = None) -> Any:
    """The array in a .npy file. Raises DamagedArrayError; OSError where there is no such file."""
    try:
        return np.load(file, mmap_mode=mmap_mode, allow_pickle=False)
    except FileNotFoundError:
        raise
    except Exception as error:  # a header is parsed as Python, and may fail as such
        raise DamagedArrayError(_line(error)) from error


def load_arrays(path: Path) -> dict[str, Any]:
    """The arrays in a .npz file, by name. Raises DamagedArrayError."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:
        raise DamagedArrayError(_line(error)) from error


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def write_atomic(path: Path, data: bytes) -> None:
    """Replace `path` by `data` so that a reader, or a crash, sees the old file or the new one, never half of one."""
    part = path.with_name(path.name + ".part")
    try:
        with new_file(part) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:  # a full disk gets back what was written
        with suppress(OSError):
            remove(part)
        raise
    fsync_folder(path.parent)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` durable (POSIX: a rename is on disk once its folder is synced)."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def content_sha256(path: Path) -> str:
    """SHA-256 of a file, or of the names, sizes and times of a folder's files."""
    if path.is_dir():
        stats = [(p.relative_to(path).as_posix(), p.stat()) for p in sorted(path.rglob("*")) if p.is_file()]
        said = "\n".join(f"{name} {s.st_size} {s.st_mtime_ns}" for name, s in stats)
        return hashlib.sha256(said.encode()).hexdigest()
    return file_sha256(path)
