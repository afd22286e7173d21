"""The one door to everything: `Workspace` has the words of the command line, and keeps loaded parts warm."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from fsearch.diagnoser import fitted as fits
from fsearch.diagnoser.bridge import BRIDGES, DEFAULT, Bridge
from fsearch.diagnoser.diagnosis import PERMUTATIONS, Diagnosis
from fsearch.diagnoser.fitted import FitReport
from fsearch.indexer.encoder import Encoder, identify, load_encoder
from fsearch.indexer.errors import BadInput
from fsearch.indexer.indexing import IndexReport, index_images
from fsearch.indexer.ingest import check_metadata, write_losses
from fsearch.indexer.layout import Layout
from fsearch.indexer.losses import match, read_losses
from fsearch.indexer.source import scan
from fsearch.indexer.spec import DEMO
from fsearch.indexer.store import Store
from fsearch.search import runs
from fsearch.search.answer import Answers, Hypothesis, Info, Ranking, ranked
from fsearch.search.ask import ask, reference_mean
from fsearch.search.hypotheses import from_phrases, read_hypotheses
from fsearch.search.inventory import inventory

Progress = Callable[[str, int, int], None]  # (what, done, in all)
DEFAULT_MODEL = "model"


class Workspace:
    """A workspace folder. Opening costs nothing; a folder that is not there yet is made by `index`."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self._generation: tuple[int, ...] | None = None
        self._diagnoses: dict[str, Diagnosis] = {}
        self._encoder: Encoder | None = None

    def __repr__(self) -> str:
        return f"fsearch.open({str(self.root)!r})"

    def index(
        self,
        images: str | os.PathLike[str],
        losses: str | os.PathLike[str] | None = None,
        *,
        model: str = DEFAULT_MODEL,
        encoder: str | None = None,
        weights: str | None = None,
        progress: Progress | None = None,
    ) -> IndexReport:
        """Embed the images of a folder and store one black box's losses on them. Run it again to continue or update.

        Parameters
        ----------
        losses : CSV, TSV, Parquet or JSONL; a column names images by path, file name or stem, `loss` holds the losses.
        model : name of the black box the losses come from.
        encoder, weights : an open_clip name with a hub tag or local file, or "demo"; remembered by the workspace.

        Raises FsearchError before anything is written where the input is unusable.
        """
        source = Path(images)
        files = scan(source)
        Layout(self.root).model(model)  # refuses a name that cannot be a folder
        table = read_losses(Path(losses)) if losses is not None else None
        keys = [files[i].key for i in match(table, [f.key for f in files], source)] if table else []
        if table:
            check_metadata(table.metadata)
        store = self._store_for(encoder, weights)
        with store.writer():
            tick = _named(progress, "embedding")
            report = index_images(store, lambda: self._warm(store), source, files, tick)
            if report.rejected == report.found:
                raise BadInput(f"none of the {report.found:,} images in {source} can be used; reasons: fsearch info")
            if table:
                report.losses = write_losses(store, str(source.resolve()), model, table, keys)
                report.without_loss = report.found - report.rejected - report.losses
        return report

    def fit(self, model: str | None = None, *, seed: int = 0, progress: Progress | None = None) -> FitReport:
        """Fit the ensemble of `model` (the only one by default) and measure it out of bag."""
        from fsearch.diagnoser.fit import fit_model

        store = Store.open(self.root)
        name = store.only_model(model)
        with store.writer():
            return fit_model(store, name, seed=seed, progress=_named(progress, "fitting"))

    def query(
        self,
        *texts: str,
        model: str | None = None,
        top: int = 8,
        bridge: Bridge = DEFAULT,
        seed: int = 0,
    ) -> Answers:
        """Ask whether the model fails on images that `texts` describe. `top` nearest images are shown with each."""
        hypotheses = from_phrases(texts)
        return self._ask(Store.open(self.root), hypotheses, model, top, bridge, seed)

    def rank(
        self,
        hypotheses: str | os.PathLike[str] | Sequence[str | Hypothesis],
        *,
        model: str | None = None,
        top: int = 8,
        bridge: Bridge = DEFAULT,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Ranking:
        """Rank a file (or sequence) of hypotheses, worst first, and store the run with its evidence."""
        if isinstance(hypotheses, str | os.PathLike):
            asked, source = read_hypotheses(Path(hypotheses)), str(hypotheses)
        else:
            phrases = [h.text if isinstance(h, Hypothesis) else h for h in hypotheses]
            plain = from_phrases(phrases)
            asked = [h if isinstance(h, Hypothesis) else p for h, p in zip(hypotheses, plain, strict=True)]
            source = "api"
        store = Store.open(self.root)
        with store.writer():
            answers = self._ask(store, asked, model, top, bridge, seed, _named(progress, "asking"))
            run = runs.Run(answers.model, bridge, str(store.encoder), seed, PERMUTATIONS, source)
            order = ranked(answers.answers)
            run_id, created = runs.record(store, run, order)
            self._generation = store.generation()  # what was written changes no diagnosis
        return Ranking(run_id, answers.model, order, answers.notes, created)

    def sql(self, query: str) -> pa.Table:
        """Run one read-only SQL statement over the catalog; files and network are out of its reach."""
        return Store.open(self.root).catalog.sql(query)

    def info(self) -> Info:
        """What the workspace holds."""
        return inventory(Store.open(self.root))

    def _store_for(self, encoder: str | None, weights: str | None) -> Store:
        """The store, made now if need be; with the encoder that was asked for, or the one it was made with."""
        if not Layout(self.root).catalog.exists():
            self._encoder = load_encoder(identify(encoder or DEMO, weights))  # before anything is written
            return Store.create(self.root, self._encoder.spec)
        store = Store.open(self.root)
        if encoder is not None or weights is not None:
            store.encoder.require_same(identify(encoder or store.encoder.name, weights))
        return store

    def _warm(self, store: Store) -> Encoder:
        if self._encoder is None or self._encoder.spec != store.encoder:
            self._encoder = load_encoder(store.encoder)
        return self._encoder

    def _ask(
        self,
        store: Store,
        asked: Sequence[Hypothesis],
        model: str | None,
        top: int,
        bridge: Bridge,
        seed: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> Answers:
        if bridge not in BRIDGES:
            raise BadInput(f"unknown bridge {bridge!r}; use one of: {', '.join(BRIDGES)}")
        diagnosis = self._diagnosis(store, store.only_model(model))
        encoder = self._warm(store)
        text_mean = reference_mean(encoder) if bridge == "shift" else None
        foreign = encoder.only_side is not None and store.images_of_other_size(encoder.only_side) > 0
        return ask(
            diagnosis,
            encoder,
            asked,
            top=top,
            bridge=bridge,
            text_mean=text_mean,
            seed=seed,
            foreign_images=foreign,
            progress=progress,
        )

    def _diagnosis(self, store: Store, model: str) -> Diagnosis:
        """The model's diagnosis, built anew only when something was committed since."""
        generation = store.generation()
        if generation != self._generation:
            self._diagnoses, self._generation = {}, generation
        if model not in self._diagnoses:
            fitted = fits.load(store.layout, model)
            self._diagnoses[model] = Diagnosis(fitted, store.losses(model), store.index(), store.vectors)
        return self._diagnoses[model]


def _named(progress: Progress | None, what: str) -> Callable[[int, int], None] | None:
    return (lambda done, total: progress(what, done, total)) if progress else None
