"""One index run: scan, decode beside the forward pass, embed, commit shard by shard, then catch FAISS up.

Work already committed is never done again: an unchanged file (size and time) is not even opened, and a file whose bytes
are known is not embedded. What fails is quarantined in `rejected`, and the run goes on.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fsearch.indexer.commit import Commit, Embedded, Refused, Seen
from fsearch.indexer.decode import Rejected, decode
from fsearch.indexer.encoder import Encoder
from fsearch.indexer.source import ImageFile
from fsearch.indexer.store import Store

BATCH = 64
ROWS_PER_SHARD = 2048
Progress = Callable[[int, int], None]  # (images done, images in all)


@dataclass(slots=True)
class IndexReport:
    """What an index run did, in numbers of image files."""

    found: int = 0
    embedded: int = 0
    duplicates: int = 0
    unchanged: int = 0
    changed: int = 0
    missing: int = 0
    rejected: int = 0
    losses: int = 0
    without_loss: int = 0


@dataclass(frozen=True, slots=True)
class _Read:
    """A file read in a worker thread: its hash, and the pixels unless the bytes are known already."""

    file: ImageFile
    sha256: str
    size: tuple[int, int]
    prepared: Any | None


def index_images(
    store: Store,
    load: Callable[[], Encoder],
    source: Path,
    files: Sequence[ImageFile],
    progress: Progress | None = None,
) -> IndexReport:
    """Bring the workspace up to `files` of `source`; `load` is called only if one must be read.

    Call inside `store.writer()`.
    """
    commit = Commit(store, str(source.resolve()))
    report = IndexReport(found=len(files))
    todo = [f for f in files if not commit.is_current(f)]
    report.unchanged = len(files) - len(todo)
    if todo:
        _work_off(commit, load(), todo, report, progress)
    report.changed = commit.changed
    report.missing = commit.mark_missing({f.key for f in files})
    store.index(save=True)
    return report


def _work_off(
    commit: Commit, encoder: Encoder, todo: Sequence[ImageFile], report: IndexReport, progress: Progress | None
) -> None:
    """Read, embed and commit `todo`, counting into `report`."""
    done = report.unchanged
    batch: list[_Read] = []
    for read in _read_ahead(todo, encoder, commit.rows_by_hash):
        if isinstance(read, Refused):
            commit.refuse(read)
            report.rejected += 1
        elif read.prepared is None or read.sha256 in commit.rows_by_hash:
            commit.known(Seen(read.file, read.sha256, read.size))
            report.duplicates += 1
        else:
            batch.append(read)
        done += 1
        if len(batch) == BATCH:
            _embed(commit, encoder, batch, report)
            batch = []
        if commit.pending >= ROWS_PER_SHARD:
            commit.flush()
        if progress:
            progress(done, report.found)
    _embed(commit, encoder, batch, report)
    commit.flush()


def _embed(commit: Commit, encoder: Encoder, batch: Sequence[_Read], report: IndexReport) -> None:
    """Embed what is new in `batch`, counting into `report`; twins of one content are embedded once."""
    unique = {r.sha256: r.prepared for r in batch}
    if not unique:
        return
    vectors = dict(zip(unique, encoder.embed_images(list(unique.values())), strict=True))
    for read in batch:
        if read.sha256 in commit.rows_by_hash:
            commit.known(Seen(read.file, read.sha256, read.size))
            report.duplicates += 1
        elif np.isfinite(vectors[read.sha256]).all():
            commit.add(Embedded(read.file, read.sha256, read.size, vectors[read.sha256]))
            report.embedded += 1
        else:
            commit.refuse(Refused(read.file, "the encoder gave no finite embedding"))
            report.rejected += 1


def _read_ahead(files: Sequence[ImageFile], encoder: Encoder, known: dict[str, int]) -> Iterator[_Read | Refused]:
    """Read and decode in threads, a few batches ahead of the forward pass, in the order of `files`."""
    ahead = 3 * BATCH
    with ThreadPoolExecutor(max(2, os.cpu_count() or 2), "decode") as pool:
        waiting: deque[Future[_Read | Refused]] = deque()
        try:
            for file in files:
                waiting.append(pool.submit(_read, file, encoder, known))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _read(file: ImageFile, encoder: Encoder, known: dict[str, int]) -> _Read | Refused:
    if file.escapes:
        return Refused(file, "a link that leads outside the image folder")
    try:
        data = file.path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        image = decode(data)
    except OSError as error:
        return Refused(file, f"cannot be read: {error.strerror or error}")
    except Rejected as error:
        return Refused(file, str(error))
    return _Read(file, digest, image.size, None if digest in known else encoder.prepare(image))
