"""Files on disk: atomic writes, content hashes, and NumPy arrays loaded without pickle."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from fsearch.indexer.storage.inside import new_file, remove
from fsearch.indexer.storage.memory import memory_bytes
from fsearch.indexer.storage.regular_files import open_regular


class DamagedArrayError(Exception):
    """A .npy or .npz file cannot be read; the message is one line."""


def load_array(file: Path | IO[bytes], mmap_mode: Literal["r"] | None = None) -> Any:
    """The array in a .npy file. Raises DamagedArrayError; OSError where there is no such file."""
    try:
        if isinstance(file, Path):
            open_regular(file).close()
        return np.load(file, mmap_mode=mmap_mode, allow_pickle=False)
    except FileNotFoundError:
        raise
    except Exception as error:  # a header is parsed as Python, and may fail as such
        raise DamagedArrayError(_line(error)) from error


def load_arrays(path: Path) -> dict[str, Any]:
    """The arrays in a .npz file, by name. Raises DamagedArrayError."""
    try:
        with open_regular(path) as opened, np.load(opened, allow_pickle=False) as file:
            size = sum(member.file_size for member in file.zip.infolist())
            if size > memory_bytes():
                raise DamagedArrayError(
                    f"it unpacks to {size / 2**30:.1f} GiB, more than half of this machine's memory"
                )
            return {name: file[name] for name in file.files}
    except DamagedArrayError:
        raise
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
    """The SHA-256 of a file's content, in hexadecimal. Raises OSError."""
    with open_regular(path) as file:
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
