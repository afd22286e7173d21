"""One connection for several reads of a catalog, which a writer lets go of while it rests. For `catalog.py` alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_REST = 0.5  # seconds without a read after which a yielding connection is closed


@dataclass(slots=True)
class SharedConnection:
    """The connection that reads of the catalog at `path` share, once there is one.

    While it is open no other process can write. One that is `yielding` is closed when nobody has read for a moment, so
    that a run of minutes keeps nobody waiting.
    """

    path: Path
    yielding: bool
    _connection: Any = None
    _reads: int = 0  # that are going on
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _rest: threading.Timer | None = None

    def begin(self, connect: Callable[[], Any]) -> Any:
        """A cursor for one read, to be closed before `end` is called."""
        with self._lock:
            self._wake()
            if self._connection is None:
                self._connection = connect()
            self._reads += 1
            return self._connection.cursor()

    def end(self) -> None:
        """One read has ended."""
        with self._lock:
            self._reads -= 1
            if self.yielding and self._reads == 0:
                self._rest = threading.Timer(_REST, self._close_unused)
                self._rest.daemon = True
                self._rest.start()

    def close(self) -> None:
        """Close the connection, if there is one; the next read opens another."""
        with self._lock:
            self._wake()
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _close_unused(self) -> None:
        with self._lock:
            if self._reads == 0:
                self.close()

    def _wake(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
