"""Bring a data set and a first model's losses into a workspace: what `fsearch index` does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from fsearch.indexer.device import Device
from fsearch.indexer.embedding.encoder import identify, load_encoder
from fsearch.indexer.embedding.pipeline import Engine, IndexReport, here, index_images
from fsearch.indexer.errors import BadInputError, require_one_of
from fsearch.indexer.losses.ingest import Split, check_metadata, write_losses
from fsearch.indexer.losses.loss_file import read_losses
from fsearch.indexer.sources.resolve import Images, open_images
from fsearch.indexer.storage.layout import Layout
from fsearch.indexer.vector_index.sync import record
from fsearch.indexer.workspace import source_registry as registered
from fsearch.indexer.workspace.encoder_spec import DEMO
from fsearch.indexer.workspace.store import Store
from fsearch.search.hypotheses import check_template
from fsearch.search.losses import match_rows
from fsearch.search.query import reference_bank
from fsearch.search.session import Session

Progress = Callable[[str, int, int], None]  # (what, done, in all)
EngineName = Literal["local", "ray"]


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How a data set is brought in: everything but the images and losses themselves."""

    model: str
    encoder: str | None = None
    weights: str | None = None
    split: Split | None = None
    templates: Sequence[str] | None = None
    memory_gib: float | None = None
    recall: float | None = None
    device: Device = "auto"
    engine: EngineName = "local"
    address: str | None = None
    staging: str | None = None


def ingest(
    root: Path,
    session: Session,
    images: Any,
    losses: str | os.PathLike[str] | None,
    asked: IndexOptions,
    progress: Progress | None = None,
) -> IndexReport:
    """Embed `images` and store `losses` on them, in the workspace at `root`; see `Workspace.index`."""
    found = images if isinstance(images, Images) else open_images(images)
    Layout(root).model(asked.model)  # refuses a name that cannot be a folder
    table = read_losses(Path(losses)) if losses is not None else None
    if table:
        check_metadata(table.metadata)
    keys = found.source.keys()
    rows = match_rows(table, keys, found) if table and keys is not None else None
    _check(asked)
    store = _store_for(root, session, asked)
    with store.writer():
        store = store.remember(templates=asked.templates, memory_gib=asked.memory_gib, recall=asked.recall)
        registered.record(store, found)
        tick = named(progress, "embedding")
        with _engine(asked, store, session) as engine:
            report = index_images(store, engine, found.source, tick, whole=found.whole)
        if report.rejected == report.found:
            reasons = "reasons: fsearch info"
            raise BadInputError(f"none of the {report.found:,} images in {found.source.name} can be used; {reasons}")
        report.index = _index(store, session, asked.device, progress)
        if table:
            if rows is None:
                rows = match_rows(table, store.keys(found.source.name), found)
            report.losses = write_losses(store, rows, asked.model, table, asked.split)
            report.without_loss = report.found - report.rejected - report.losses
    return report


def named(progress: Progress | None, what: str) -> Callable[[int, int], None] | None:
    """`progress` for one kind of work."""
    return (lambda done, total: progress(what, done, total)) if progress else None


def _check(asked: IndexOptions) -> None:
    for template in asked.templates or ():
        check_template(template, "--template")
    if asked.memory_gib is not None and not asked.memory_gib > 0:
        raise BadInputError(f"--memory-gib {asked.memory_gib:g}: give a number above 0")
    require_one_of("engine", asked.engine, get_args(EngineName))
    if asked.recall is not None and not 0 < asked.recall <= 1:
        raise BadInputError(f"--recall {asked.recall:g}: give a share, above 0 and at most 1")


@contextmanager
def _engine(asked: IndexOptions, store: Store, session: Session) -> Iterator[Engine]:
    """Where images are embedded: in this process, or on a cluster that is asked only if there is something to do."""
    if asked.engine == "local":
        yield here(lambda: session.encoder(store, asked.device))
        shutil.rmtree(store.layout.staged, ignore_errors=True)  # what a cluster's run that was stopped had left
        return
    from fsearch.indexer.embedding.ray_cluster import Cluster
    from fsearch.indexer.embedding.staging import Staging

    staging = Staging(asked.staging or str(store.layout.staged.absolute()))
    with ExitStack() as stack:
        yield lambda todo, commit: stack.enter_context(Cluster(asked.address)).embedding(store.encoder, staging)(
            todo, commit
        )
    staging.clear()


def _store_for(root: Path, session: Session, asked: IndexOptions) -> Store:
    """The store, made now if need be; with the encoder that was asked for, or the one it was made with."""
    if not Layout(root).catalog.exists():
        loaded = load_encoder(
            identify(asked.encoder or DEMO, asked.weights), asked.device
        )  # before anything is written
        session.keep(loaded)
        return Store.create(root, loaded.spec)
    store = Store.open(root)
    if asked.encoder is not None or asked.weights is not None:
        store.encoder.require_same(identify(asked.encoder or store.encoder.name, asked.weights))
    return store


def _index(store: Store, session: Session, device: Device, progress: Progress | None) -> str:
    """Bring the FAISS index up; what is to be said of it."""
    before = record(store.catalog)
    store.sync_index(
        lambda: reference_bank(session.encoder(store, device), store.templates).texts,
        named(progress, "indexing"),
        device,
    )
    now = record(store.catalog)
    return str(now) if now is not None and now.lists and now != before else ""
