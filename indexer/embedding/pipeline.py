"""One index run: stream a source, decode beside the forward pass or before it, embed, commit shard by shard.

Committed work is never repeated: an unchanged image (by size and time) is not opened, and content that has an embedding
is not embedded again. An image that fails is quarantined in `rejected`, and the run continues.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.embedding.batch_sizes import BATCH, DEFAULT_SIZES, BatchSizes
from fsearch.indexer.embedding.encoder import Encoder
from fsearch.indexer.embedding.source_snapshot import VisitedItem
from fsearch.indexer.embedding.writer import BatchWriter, ImageRecord, RejectedItem
from fsearch.indexer.errors import BadInputError, FsearchError
from fsearch.indexer.sources.base import Item, Source, storable
from fsearch.indexer.sources.prefetch import Content, DecodedImage, decode_image, in_turns, prefetch, read_content
from fsearch.indexer.storage.catalog import Connection
from fsearch.indexer.storage.metadata import free_names, renamed_note
from fsearch.indexer.workspace.store import Store

Progress = Callable[[int, int], None]  # (images done, images in all; 0 where that is not known)


@dataclass(slots=True)
class IndexReport:
    """Numbers of image files by outcome, and a description of the FAISS index where it is not exact.

    `manifest` and `rows` say what a table of images, and a losses file, were taken for, and what became of their rows.
    `notes` are what the source left out, or took in some way that the user should know.
    """

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
    replaced_losses: int = 0
    failed_losses: int = 0
    index: str = ""
    manifest: str = ""
    rows: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PreparedImage:
    """A decoded image and the encoder's input for it; None where its content has an embedding.

    `beside` : what the companion made of it.
    """

    image: ImageRecord
    prepared: Any | None
    beside: Any = None


class Companion(Protocol):
    """What else is done with each image that a run decodes, so that it is decoded once."""

    def prepare(self, item: Item, found: DecodedImage) -> Any:
        """Take the decoded image; `found.image` is not kept. Runs in a thread."""

    def take(self, image_id: int, prepared: Any) -> None:
        """Take what `prepare` made of an image that has an identity now. In the order of the source."""

    def flush(self) -> None:
        """Commit; every image that was taken is committed."""


Outcome = PreparedImage | RejectedItem
EmbedBatch = Callable[[Sequence[Any]], NDArray[np.float32]]  # encoder inputs to (n, dim) embeddings
Engine = Callable[[Iterable[Item], BatchWriter], tuple[Iterator[Outcome], EmbedBatch]]  # outcomes in order


def index_images(
    store: Store,
    engine: Engine,
    source: Source,
    progress: Progress | None = None,
    *,
    whole: bool = True,
    sizes: BatchSizes = DEFAULT_SIZES,
    on_unchanged: Callable[[str], None] | None = None,
    also: Callable[[Connection], None] | None = None,
    companion: Companion | None = None,
) -> IndexReport:
    """Bring the workspace up to date with `source`; `engine` is called only if an image must be embedded.

    With `whole`, images that `source` no longer holds are marked missing. `on_unchanged` is called with the key of each
    unchanged image. `also` stores what belongs with the run, in its first commit. `companion` is the engine's own. What
    was done before an error is committed. Call inside `store.writer()`.
    """
    keys = source.keys()  # before anything is written: it raises where the source as a whole is unusable
    writer, report = BatchWriter(store, source, sizes.merge_every, also), IndexReport()
    flush = _flush_of(writer, companion)
    if whole and keys is not None:
        writer.snapshot.mark_expected(keys)
    tick = _ticker(progress, len(keys) if keys is not None else 0)
    try:
        todo = _todo(source, writer, report, tick, sizes.shard_rows, on_unchanged)
        first = next(todo, None)
        if first is not None:
            outcomes, embed = engine(itertools.chain([first], todo), writer)
            batch: list[PreparedImage] = []
            for outcome in outcomes:
                if isinstance(outcome, RejectedItem):
                    writer.reject(outcome)
                    report.rejected += 1
                else:
                    batch.append(outcome)
                tick()
                if len(batch) == sizes.batch:
                    _embed_batch(writer, embed, batch, report, companion)
                    batch = []
                if writer.pending >= sizes.shard_rows:
                    flush()
            _embed_batch(writer, embed, batch, report, companion)
    except FsearchError:
        flush()
        raise
    report.missing = writer.mark_missing() if whole else 0
    flush()
    report.changed, report.renamed = writer.changed, writer.renamed
    report.duplicates -= writer.renamed
    renamed = renamed_note(free_names(map(str, writer.columns)))
    report.notes = (*source.notes, *([renamed] if renamed else []))
    return report


def _ticker(progress: Progress | None, total: int) -> Callable[[], None]:
    done = itertools.count(1)
    return (lambda: progress(next(done), total)) if progress else (lambda: None)


def _todo(
    source: Source,
    writer: BatchWriter,
    report: IndexReport,
    tick: Callable[[], None],
    shard_rows: int,
    on_unchanged: Callable[[str], None] | None,
) -> Iterator[Item]:
    """The images that must be read; unchanged ones are only counted."""
    for item in map(storable, source.items()):
        slot = writer.snapshot.mark_seen(item.key)
        if slot is None:
            raise BadInputError(
                f"{source.name}: two images are called {item.key!r}; what came before the second is kept"
            )
        report.found += 1
        if not writer.snapshot.is_current(slot, item):
            yield VisitedItem.of(item, slot)
            continue
        if on_unchanged:
            on_unchanged(item.key)
        writer.add_metadata(item, slot)
        report.unchanged += 1
        if writer.pending >= shard_rows:
            writer.flush()
        tick()


def _flush_of(writer: BatchWriter, companion: Companion | None) -> Callable[[], None]:
    """Commit images, and then what the companion made of them: it names them by identities that are theirs by then."""

    def flush() -> None:
        writer.flush()
        if companion is not None:
            companion.flush()

    return flush


def local_engine(load: Callable[[], Encoder], batch: int = BATCH, companion: Companion | None = None) -> Engine:
    """Read images in threads of this process, a few batches ahead of the forward pass.

    They are decoded ahead of it too, but where it runs on the CPU: there a batch is decoded, and then embedded.
    """

    def engine(todo: Iterable[Item], writer: BatchWriter) -> tuple[Iterator[Outcome], EmbedBatch]:
        encoder = load()

        def prepare(item: Item, content: Content) -> Outcome:
            return _prepare(item, content, encoder, writer, companion)

        if getattr(encoder, "device", None) == "cpu":
            ahead = prefetch(todo, lambda item: (item, read_content(item)), 3 * batch)
            return in_turns(ahead, lambda read: prepare(*read), batch), encoder.embed_images
        return prefetch(todo, lambda item: prepare(item, read_content(item)), 3 * batch), encoder.embed_images

    return engine


def _embed_batch(
    writer: BatchWriter,
    embed: EmbedBatch,
    batch: Sequence[PreparedImage],
    report: IndexReport,
    companion: Companion | None,
) -> None:
    """Add images in their order, counting into `report`; content that has no embedding yet is embedded once."""
    new = {p.image.sha256: p.prepared for p in batch if writer.row_of(p.image.sha256) is None}
    vectors = dict(zip(new, embed(list(new.values())), strict=True)) if new else {}
    for each in batch:
        image, row = each.image, writer.row_of(each.image.sha256)
        if row is not None:
            writer.add_image(image, row)
            report.duplicates += 1
        elif np.isfinite(vectors[image.sha256]).all():
            writer.add_embedding(image, vectors[image.sha256])
            report.embedded += 1
        else:
            writer.reject(RejectedItem(image.item, "the encoder gave no finite embedding"))
            report.rejected += 1
            continue
        if companion is not None:
            companion.take(writer.identity(image), each.beside)


def _prepare(
    item: Item, content: Content, encoder: Encoder, writer: BatchWriter, companion: Companion | None
) -> Outcome:
    found = decode_image(content)
    if isinstance(found, str):
        return RejectedItem(item, found)
    image = ImageRecord(item, found.sha256, found.size, found.bytes)
    beside = None if companion is None else companion.prepare(item, found)
    prepared = None if writer.row_of(found.sha256) is not None else encoder.prepare(found.image)
    return PreparedImage(image, prepared, beside)
