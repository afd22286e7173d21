"""One index run: go through a source, decode beside the forward pass, embed, commit by shard.

Work already committed is never done again: an unchanged image (size and time) is not even opened, and one whose content
is known is not embedded. What fails is quarantined in `rejected`, and the run goes on.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.embedding.encoder import Encoder
from fsearch.indexer.embedding.writer import BatchWriter, Embedded, Refused, Seen
from fsearch.indexer.errors import BadInputError, FsearchError
from fsearch.indexer.sources.base import Item, Source, storable
from fsearch.indexer.sources.prefetch import prefetch, read_image
from fsearch.indexer.workspace.store import Store

BATCH = 64
ROWS_PER_SHARD = 2048
Progress = Callable[[int, int], None]  # (images done, images in all; 0 where that is not known)


@dataclass(slots=True)
class IndexReport:
    """What an index run did, in numbers of image files; and what the FAISS index is now, where it is not exact."""

    found: int = 0
    embedded: int = 0
    duplicates: int = 0
    unchanged: int = 0
    changed: int = 0
    renamed: int = 0
    missing: int = 0
    rejected: int = 0
    losses: int = 0
    without_loss: int = 0
    index: str = ""


@dataclass(frozen=True, slots=True)
class Ready:
    """An image that was read, and what its embedding is made from; None where its content is known already."""

    image: Seen
    prepared: Any | None


Outcome = Ready | Refused
EmbedBatch = Callable[[Sequence[Any]], NDArray[np.float32]]  # what was prepared, to (n, dim) embeddings
Engine = Callable[[Iterable[Item], BatchWriter], tuple[Iterator[Outcome], EmbedBatch]]  # images come back in order


def index_images(
    store: Store,
    engine: Engine,
    source: Source,
    progress: Progress | None = None,
    *,
    whole: bool = True,
) -> IndexReport:
    """Bring the workspace up to `source`; `engine` is called only if an image must be embedded.

    `whole` says that what `source` does not hold any more is missing. What was done before an error is kept. Call
    inside `store.writer()`.
    """
    keys = source.keys()  # before anything is written: it says what is wrong with the source as a whole
    commit, report = BatchWriter(store, source), IndexReport()
    if whole and keys is not None:
        commit.known.mark_expected(keys)
    tick = _ticker(progress, len(keys) if keys is not None else 0)
    try:
        todo = _todo(source, commit, report, tick)
        first = next(todo, None)
        if first is not None:
            outcomes, embed = engine(itertools.chain([first], todo), commit)
            _work_off(commit, outcomes, embed, report, tick)
    except FsearchError:
        commit.flush()
        raise
    commit.flush()
    report.changed, report.renamed = commit.changed, commit.renamed
    report.duplicates -= commit.renamed
    report.missing = commit.mark_missing() if whole else 0
    return report


def _ticker(progress: Progress | None, total: int) -> Callable[[], None]:
    done = itertools.count(1)
    return (lambda: progress(next(done), total)) if progress else (lambda: None)


def _todo(source: Source, commit: BatchWriter, report: IndexReport, tick: Callable[[], None]) -> Iterator[Item]:
    """The images that must be read; what is unchanged is only counted."""
    for item in map(storable, source.items()):
        if not commit.known.mark_seen(item.key):
            raise BadInputError(
                f"{source.name}: two images are called {item.key!r}; what came before the second is kept"
            )
        report.found += 1
        if not commit.known.is_current(item):
            yield item
            continue
        commit.describe(item)
        report.unchanged += 1
        if commit.pending >= ROWS_PER_SHARD:
            commit.flush()
        tick()


def here(load: Callable[[], Encoder]) -> Engine:
    """Read images in threads of this process, a few batches ahead of the forward pass."""

    def engine(todo: Iterable[Item], commit: BatchWriter) -> tuple[Iterator[Outcome], EmbedBatch]:
        encoder = load()
        return prefetch(todo, lambda item: _read(item, encoder, commit), 3 * BATCH), encoder.embed_images

    return engine


def _work_off(
    commit: BatchWriter, outcomes: Iterable[Outcome], embed: EmbedBatch, report: IndexReport, tick: Callable[[], None]
) -> None:
    """Embed and commit what was read, counting into `report`."""
    batch: list[Ready] = []
    for read in outcomes:
        if isinstance(read, Refused):
            commit.refuse(read)
            report.rejected += 1
        elif read.prepared is None or commit.embedded(read.image.sha256):
            commit.take(read.image)
            report.duplicates += 1
        else:
            batch.append(read)
        tick()
        if len(batch) == BATCH:
            _take(commit, embed, batch, report)
            batch = []
        if commit.pending >= ROWS_PER_SHARD:
            commit.flush()
    _take(commit, embed, batch, report)


def _take(commit: BatchWriter, embed: EmbedBatch, batch: Sequence[Ready], report: IndexReport) -> None:
    """Embed what is new in `batch`, counting into `report`; twins of one content are embedded once."""
    unique = {r.image.sha256: r.prepared for r in batch}
    if not unique:
        return
    vectors = dict(zip(unique, embed(list(unique.values())), strict=True))
    for read in batch:
        image = read.image
        if commit.embedded(image.sha256):
            commit.take(image)
            report.duplicates += 1
        elif np.isfinite(vectors[image.sha256]).all():
            commit.add(Embedded(image, vectors[image.sha256]))
            report.embedded += 1
        else:
            commit.refuse(Refused(image.item, "the encoder gave no finite embedding"))
            report.rejected += 1


def _read(item: Item, encoder: Encoder, commit: BatchWriter) -> Outcome:
    found = read_image(item)
    if isinstance(found, str):
        return Refused(item, found)
    seen = Seen(item, found.sha256, found.image.size, found.bytes)
    return Ready(seen, None if commit.embedded(found.sha256) else encoder.prepare(found.image))
