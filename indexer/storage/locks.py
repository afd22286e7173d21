"""Locks between processes: the lock of the one writer, and the queue of those who open the catalog.

Both are locks of the operating system on an open file, so they are released when their process ends, even by SIGKILL.
The one file that imports filelock and fcntl.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fsearch.indexer.errors import WorkspaceError
from fsearch.indexer.storage.inside import remove
from fsearch.indexer.storage.layout import Layout

_HELD = "{} is held by others"
_POLL = 0.001  # seconds between two tries, where the system has no queue for a lock


@contextmanager
def writer_lock(layout: Layout) -> Iterator[None]:
    """Hold the workspace for writing. Raises WorkspaceError at once where another process, or this one, holds it.

    The holder's process id is in a file of its own: a locked file cannot be read on Windows, and older versions of
    filelock truncate it.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(layout.lock)
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        holder = _read(layout.lock_holder) or "another process"
        raise WorkspaceError(f"{layout.root} is being written by {holder}; wait for it to end") from error
    try:
        held_by = layout.lock_holder
        with suppress(OSError):  # a full disk must not keep out `compact`, which frees space
            held_by.write_text(f"process {os.getpid()}")
        yield
    finally:
        with suppress(OSError):
            remove(layout.lock_holder)
        lock.release()


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


@contextmanager
def queue(path: Path, seconds: float | None = None) -> Iterator[None]:
    """Hold the lock file at `path`, waiting for it if need be. Where it cannot be written, nobody waits.

    Raises TimeoutError, an OSError, where its turn does not come within `seconds`; without them it waits for ever.

    The wait is in the kernel, which wakes whoever waits as soon as the lock is free. filelock polls, and who polls
    first is chance: beside eight readers a writer waited up to 1.6 s (polling every 50 ms) or 0.8 s (every ms), and
    one reader got three times the turns of another, where the kernel's wait never took more than 0.32 s.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        with _polled(path, seconds):
            yield
        return
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    except OSError:
        yield
        return
    held = True
    try:
        if seconds is None:
            fcntl.flock(handle, fcntl.LOCK_EX)
        else:
            held = _flock_within(handle, seconds)
        if not held:
            raise TimeoutError(_HELD.format(path))
        yield
    finally:
        if held:
            os.close(handle)


def _flock_within(handle: int, seconds: float) -> bool:
    """Whether the open file is locked within `seconds`; where it is not, it is closed, here or later.

    The kernel's wait has no limit, so a thread waits in its queue, and lets go at once of a lock that comes too late.
    """
    import fcntl
    from concurrent.futures import Future

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        turn: Future[None] = Future()

    def wait() -> None:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if turn.set_running_or_notify_cancel():
            turn.set_result(None)
        else:
            os.close(handle)

    threading.Thread(target=wait, daemon=True).start()
    try:
        turn.result(seconds)
    except TimeoutError:
        return not turn.cancel()  # it may have come at this moment
    return True


@contextmanager
def _polled(path: Path, seconds: float | None) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=-1 if seconds is None else seconds, poll_interval=_POLL)
    except Timeout as error:
        raise TimeoutError(_HELD.format(path)) from error
    except OSError:
        yield
        return
    try:
        yield
    finally:
        lock.release()
