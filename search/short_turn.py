"""Short turns of the one writer: what the page stores takes the writer's lock for one transaction, and waits for it."""

from __future__ import annotations

import time
from collections.abc import Callable

from fsearch.indexer.errors import WorkspaceError

PATIENCE = 5.0  # seconds that a short turn waits for another writer
_POLL = 0.05


def in_turn(store: Callable[[], None], patience: float = PATIENCE) -> None:
    """Call `store` as soon as no other process writes. Raises WorkspaceError where one does not end in time."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return store()
        except WorkspaceError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_POLL)
