"""The log of a black box's exceptions, logs/MODEL.log in the workspace: tracebacks with the images they are of."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path


class TracebackLog:
    """Writes at most `limit` tracebacks to `path`; the first of a run replaces those of earlier runs."""

    def __init__(self, path: Path, limit: int) -> None:
        self.path, self._limit = path, limit
        self.count = 0

    def write(self, error: BaseException, keys: Sequence[str]) -> None:
        """Add the traceback of an exception on the images `keys`."""
        self.count += 1
        if self.count > self._limit:
            return
        self.path.parent.mkdir(exist_ok=True)
        with self.path.open("a" if self.count > 1 else "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"on {len(keys)} images, the first: {', '.join(keys[:3])}\n")
            file.write("".join(traceback.format_exception(error)) + "\n")


def error_line(error: BaseException) -> str:
    """Type and first line of an exception."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
