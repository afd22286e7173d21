"""Index a data set and a first model's losses into a workspace: what `fsearch index` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

from fsearch.indexer.embedding.encoder import came_along, identify, open_encoder
from fsearch.indexer.embedding.pipeline import Companion, Engine, IndexReport, index_images, local_engine
from fsearch.indexer.embedding.precomputed import EmbeddingFile, PrecomputedEngine
from fsearch.indexer.errors import BadInputError, EncoderError, require_one_of
from fsearch.indexer.losses.from_loss_file import add_loss_file
from fsearch.indexer.losses.loss_file import LossTable, read_losses
from fsearch.indexer.losses.matching import find_images, unknown_keys, workspace_images
from fsearch.indexer.sources.keys import KeyIndex
from fsearch.indexer.sources.resolve import Images, open_images
from fsearch.indexer.storage.catalog import Connection
from fsearch.indexer.storage.inside import remove
from fsearch.indexer.storage.layout import Layout
from fsearch.indexer.storage.rows import write_settings
from fsearch.indexer.vector_index.sync import store_stats, sync
from fsearch.indexer.workspace import source_registry as registered
from fsearch.indexer.workspace.encoder_spec import DEMO, EncoderSpec
from fsearch.indexer.workspace.image_groups import prepared
from fsearch.indexer.workspace.store import Store
from fsearch.indexer.workspace.trust import remember
from fsearch.search.given_embeddings import GivenEmbeddings, given_embeddings
from fsearch.search.hypotheses import check_template
from fsearch.search.ingest_black_box import PlannedRun
from fsearch.search.options import BlackBoxOptions, EngineName, IndexOptions, Progress, named
from fsearch.search.query import measuring_phrases
from fsearch.search.session import Session


def ingest(
    root: Path,
    session: Session,
    images: Any,
    losses: str | os.PathLike[str] | None,
    options: IndexOptions,
    progress: Progress | None = None,
    black_box: BlackBoxOptions | None = None,
) -> IndexReport:
    """Embed `images` and store losses of them, in the workspace at `root`; see `Workspace.index`."""
    found = images if isinstance(images, Images) else open_images(images)
    Layout(root).model(options.model)  # refuses a name that cannot be a folder
    if losses is not None and black_box is not None:
        raise BadInputError("losses come from a file or a black box: leave --losses or --black-box out")
    table = read_losses(Path(losses), options.key_column) if losses is not None else None
    keys = found.source.keys()
    if table is not None:
        _check_names(table, found, root, options)
    _check(options)
    given = given_embeddings(options, found, keys)
    run = None if black_box is None else PlannedRun.of(root, options.model, black_box, found)
    store = _store_for(root, session, options, given)
    with store.writer():
        before = store
        store = before.with_settings(templates=options.templates, memory_gib=options.memory_gib, recall=options.recall)
        registered.trust(store, found)
        recorded = store == before and registered.is_recorded(store, found)
        beside = None if run is None or options.engine != "local" else run.beside(store)
        with _engine(options, store, session, given, found, beside) as (engine, on_unchanged):
            report = index_images(
                store,
                engine,
                found.source,
                named(progress, "embedding"),
                whole=found.whole,
                sizes=options.sizes,
                on_unchanged=on_unchanged,
                also=None if recorded else partial(_record, store, found),
                companion=beside,
            )
            if beside is not None:
                beside.end()
        report.manifest = getattr(getattr(found.source, "source", found.source), "form", "")
        if report.rejected == report.found:
            reasons = "reasons: fsearch info"
            raise BadInputError(f"none of the {report.found:,} images in {found.source.name} can be used; {reasons}")
        texts = measuring_phrases(store, lambda: session.encoder(store, options.device))
        tick = named(progress, "indexing")
        _, stats = sync(store.catalog, store.vectors(), store.index_config, texts, tick, options.device)
        report.index = str(stats) if stats is not None and stats.lists else ""
        derived = [partial(store_stats, stats=stats)] if stats is not None else []
        groups = prepared(store, lambda: store.index(options.device), options.group_by)
        try:
            _finish(store, [*derived, *([groups] if groups else [])], report, options, table, found)
        except BadInputError:
            _finish(store, derived, report, options, None, found)
            raise
        if run is not None:
            run.finish(store, beside, report, options.split, named(progress, "predicting"))
    return report


def _finish(
    store: Store,
    also: Sequence[Callable[[Connection], None]],
    report: IndexReport,
    options: IndexOptions,
    table: LossTable | None,
    images: Images,
) -> None:
    """Store losses, and then whatever `also` stores, in one transaction."""

    def write(con: Connection) -> None:
        for each in also:
            each(con)

    if table:
        losses = add_loss_file(
            store,
            options.model,
            table,
            options.split,
            images=images,
            ignore_unknown=options.ignore_unknown,
            also=write,
        )
        report.rows = losses.rows
        report.losses = losses.added + losses.kept
        report.without_loss, report.replaced_losses = losses.without, losses.replaced
    elif also:
        with store.catalog.write() as con:
            write(con)


def _record(store: Store, images: Images, con: Connection) -> None:
    """Store what an index run was told: settings, and how to open the images again."""
    write_settings(con, store.settings)
    registered.record(con, images)


def _check_names(table: LossTable, images: Images, root: Path, options: IndexOptions) -> None:
    """Refuse, before anything is embedded, a losses file that names images which nobody knows."""
    keys = images.all_keys()
    if keys is None or not keys:
        return
    index = KeyIndex(keys, (), [images.base])
    unmatched = find_images(index, table.keys, keys, table.path)[1]
    if unmatched and len(unmatched) < len(table.keys) and Layout(root).catalog.exists():
        others = KeyIndex(workspace_images(Store.open(root), known=True).keys, (), [images.base])
        unmatched = [row for row in unmatched if not others.find(table.keys[row]).images]
    if unmatched and (not options.ignore_unknown or len(unmatched) == len(table.keys)):
        raise unknown_keys(index, [(row, table.keys[row]) for row in unmatched], len(table.keys), table.path)


def _check(options: IndexOptions) -> None:
    for template in options.templates or ():
        check_template(template, "--template")
    if options.memory_gib is not None and not options.memory_gib > 0:
        raise BadInputError(f"--memory-gib {options.memory_gib:g}: give a number above 0")
    require_one_of("engine", options.engine, get_args(EngineName))
    if options.recall is not None and not 0 < options.recall <= 1:
        raise BadInputError(f"--recall {options.recall:g}: give a share, above 0 and at most 1")


@contextmanager
def _engine(
    options: IndexOptions,
    store: Store,
    session: Session,
    given: GivenEmbeddings | None,
    images: Images,
    beside: Companion | None,
) -> Iterator[tuple[Engine, Callable[[str], None] | None]]:
    """Where embeddings come from: a file, this process, or a cluster that is started only if an image is new."""
    if given is not None:
        source = PrecomputedEngine(given.file, given.rows, store, images.source.name)
        yield source.engine(options.sizes.batch, beside), source.verify
        return
    if options.engine == "local":
        yield local_engine(lambda: session.encoder(store, options.device), options.sizes.batch, beside), None
        remove(store.layout.staged)  # left by a cluster's run that was stopped
        return
    from fsearch.indexer.embedding.ray_cluster import Cluster
    from fsearch.indexer.embedding.staging import Staging

    code = session.permitted(store)
    staging = Staging(options.staging or str(store.layout.staged.absolute()))
    with ExitStack() as stack:

        def engine(todo: Any, writer: Any) -> Any:
            cluster = stack.enter_context(Cluster(options.address))
            return cluster.embedding(store.encoder, staging, options.sizes, code)(todo, writer)

        yield engine, None
    staging.clear()


def _store_for(root: Path, session: Session, options: IndexOptions, given: GivenEmbeddings | None) -> Store:
    """The store, created if need be; with the encoder that was named, or the one it was created with."""
    session.name(options.encoder)
    if not Layout(root).catalog.exists():
        store = Store.create(root, _new_spec(session, options, given))
        if not (store.encoder.is_code or came_along(store.encoder, root)):
            remember(root, [store.encoder.identity])
        return store
    store = Store.open(root)
    if (given is not None) != store.encoder.precomputed:
        other = (
            "computed from the images" if given else "read from a file; give that of these images: --embeddings FILE"
        )
        hint = "; use another --workspace for --embeddings" if given else ", or only losses: fsearch losses add"
        raise BadInputError(f"the embeddings of this workspace were {other}{hint}")
    if given is not None:
        _require_dim(given.file, store.encoder)
    if options.no_text_encoder:
        store.encoder.require_same(EncoderSpec.without_text(store.encoder.dim))
    elif options.encoder is not None or options.weights is not None:
        store.encoder.require_same(replace(_named_spec(store, session, options), precomputed=given is not None))
    return store


def _new_spec(session: Session, options: IndexOptions, given: GivenEmbeddings | None) -> EncoderSpec:
    """The identity of a new workspace's encoder, which is loaded before anything is written."""
    if given is not None and options.no_text_encoder:
        return EncoderSpec.without_text(given.file.dim)
    if given is not None and options.encoder is None:
        raise BadInputError(
            "say whose text side belongs to these embeddings: --encoder NAME --weights TAG_OR_FILE, "
            "or --no-text-encoder"
        )
    loaded = open_encoder(DEMO if options.encoder is None else options.encoder, options.weights, options.device)
    if given is not None:
        _require_dim(given.file, loaded.spec)
    session.keep(loaded)
    return replace(loaded.spec, precomputed=given is not None)


def _named_spec(store: Store, session: Session, options: IndexOptions) -> EncoderSpec:
    """The identity of the encoder that is named for a workspace there is; the user's own code is loaded once."""
    if options.encoder is None and store.encoder.is_code:
        raise EncoderError(f"{store.encoder.name} is your own code and brings its own weights; leave --weights out")
    name = store.encoder.name if options.encoder is None else options.encoder
    if not store.encoder.is_code:
        return identify(name, options.weights)
    loaded = open_encoder(name, options.weights, options.device)
    session.keep(loaded)
    return loaded.spec


def _require_dim(file: EmbeddingFile, spec: EncoderSpec) -> None:
    if file.dim != spec.dim:
        raise BadInputError(f"{file.path} holds embeddings of length {file.dim}; those of {spec} have {spec.dim}")
