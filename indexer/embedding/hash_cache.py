"""SHA-256 of large local files, cached by path, size and time of change in the user's cache directory.

The cache is $FSEARCH_CACHE, else $XDG_CACHE_HOME/fsearch, else ~/.cache/fsearch. It is safe to delete at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

from fsearch.indexer.storage.files import file_sha256, write_atomic
from fsearch.indexer.storage.layout import cache_folder


def cached_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal; read again only where its size or time of change is another than cached.

    A cache that cannot be read or written costs time, nothing else. Raises OSError where the file cannot be read.
    """
    full = path.resolve()
    before = _version(full)
    try:
        entry = cache_folder() / "sha256" / f"{hashlib.sha256(os.fsencode(full)).hexdigest()[:32]}.json"
    except RuntimeError:
        return file_sha256(full)
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        cached = json.loads(entry.read_bytes())
        if cached["version"] == before and cached["path"] == str(full):
            return str(cached["sha256"])
    found = file_sha256(full)
    if _version(full) == before:  # it did not change while it was read
        with contextlib.suppress(OSError, ValueError):
            entry.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(entry, json.dumps({"path": str(full), "version": before, "sha256": found}).encode())
    return found


def _version(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
