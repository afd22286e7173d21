"""How much memory one piece of work may take."""

from __future__ import annotations

import os


def memory_bytes() -> int:
    """Half of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
