"""The one door to everything: `Workspace` has the words of the command line, and keeps loaded parts warm."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa

from fsearch.diagnoser.estimate import PERMUTATIONS
from fsearch.diagnoser.fit_report import FitReport
from fsearch.indexer.device import Device, choose
from fsearch.indexer.embedding.encoder import Named
from fsearch.indexer.embedding.pipeline import IndexReport
from fsearch.indexer.errors import require_one_of
from fsearch.indexer.losses.loss_file import Split
from fsearch.indexer.workspace.compact import CompactReport
from fsearch.search import maintenance
from fsearch.search.answer import Answers, Ranking, ranked
from fsearch.search.export import check_target, write_ranking
from fsearch.search.hypotheses import Hypothesis, from_phrases, read_hypotheses
from fsearch.search.ingest import EngineName, IndexOptions, Progress, ingest, named
from fsearch.search.inventory import Info, inventory
from fsearch.search.losses import ModelLosses
from fsearch.search.maintenance import Checked
from fsearch.search.options import QueryOptions
from fsearch.search.query import answer, reference_bank
from fsearch.search.runs import Run, RunDiff, Runs, StoredRun, record
from fsearch.search.session import Session

DEFAULT_MODEL = "model"


class Workspace:
    """A workspace folder. Opening costs nothing; a folder that is not there yet is made by `index`."""

    def __init__(self, root: str | os.PathLike[str], encoder: Named | None = None) -> None:
        self.root = Path(root)
        self._session = Session(encoder)

    def __repr__(self) -> str:
        return f"fsearch.open({str(self.root)!r})"

    def index(
        self,
        images: Any,
        losses: str | os.PathLike[str] | None = None,
        *,
        model: str = DEFAULT_MODEL,
        encoder: Named | None = None,
        weights: str | None = None,
        embeddings: str | os.PathLike[str] | None = None,
        keys: str | os.PathLike[str] | None = None,
        no_text_encoder: bool = False,
        split: Split | None = None,
        templates: Sequence[str] | None = None,
        memory_gib: float | None = None,
        recall: float | None = None,
        device: Device = "auto",
        engine: EngineName = "local",
        address: str | None = None,
        staging: str | None = None,
        progress: Progress | None = None,
    ) -> IndexReport:
        """Embed the images of a data set and store one black box's losses on them. Run it again to continue or update.

        Parameters
        ----------
        images : a path, `module:object`, a torch `Dataset`, or what `fsearch.images` makes of them.
        losses : CSV, TSV, Parquet or JSONL; a column names images by path, file name or stem, `loss` holds the losses.
        model : name of the black box the losses come from.
        encoder, weights : "demo"; an open_clip name, or a configuration .json, with a hub tag or local file; a folder
            `local-dir:FOLDER` or repository `hf-hub:ORG/NAME`; or an encoder of your own, as `module:attribute` or the
            object itself, with embed_images, embed_texts, dim and logit_scale. Remembered by the workspace.
        embeddings : .npy, .npz or .parquet of the images' embeddings; `encoder` then names their text side.
        keys : names of the images of a .npy, one a line; by default STEM.keys.txt beside it.
        no_text_encoder : with `embeddings`: there is no text side, and queries bring `text_vectors`.
        split : whether the losses are of images the model was trained on ("train") or not ("held-out").
        templates : what phrases are put into, each with {}; averaged in text space; remembered by the workspace.
        memory_gib : the most that the FAISS index may take; by default half of this machine's. Remembered.
        recall : the share of the true nearest images it must find, where it is not exact; 0.95 at first. Remembered.
        device : "cpu" or "cuda"; by default the GPU where there is one.
        engine : "local" embeds in this process, "ray" on the Ray cluster at `address` (one on this machine by default).
        staging : with "ray", a folder that every machine sees, or an fsspec URL; by default inside the workspace.

        Raises FsearchError before anything is written where the input is unusable.
        """
        asked = IndexOptions(
            model, encoder, weights, split, templates, memory_gib, recall, device, engine, address, staging
        )
        asked = replace(asked, embeddings=embeddings, keys=keys, no_text_encoder=no_text_encoder)
        return ingest(self.root, self._session, images, losses, asked, progress)

    @property
    def losses(self) -> ModelLosses:
        """The losses of every black box: add, list, remove."""
        return ModelLosses(self.root)

    def fit(
        self,
        model: str | None = None,
        *,
        encoder: Named | None = None,
        seed: int = 0,
        device: Device = "auto",
        engine: EngineName = "local",
        address: str | None = None,
        progress: Progress | None = None,
    ) -> FitReport:
        """Fit the ensemble of `model` (the only one by default) and measure it out of bag. See `index`."""
        from fsearch.diagnoser.fit import fit_model

        require_one_of("engine", engine, get_args(EngineName))
        place = choose(device)
        self._session.name(encoder)
        store = self._session.store(self.root)
        name = store.only_model(model)
        with store.writer():
            reference, tick = (
                reference_bank(self._session.encoder(store, device), store.templates),
                named(progress, "fitting"),
            )
            if engine == "local":
                return fit_model(store, name, reference, seed=seed, progress=tick, device=place)
            from fsearch.indexer.embedding.ray_cluster import Cluster

            with Cluster(address) as cluster:
                return fit_model(store, name, reference, seed=seed, progress=tick, distribute=cluster.distribute)

    def query(
        self,
        *texts: str | Hypothesis,
        model: str | None = None,
        options: QueryOptions = QueryOptions(),
        encoder: Named | None = None,
        text_vectors: Any = None,
        **changes: Any,
    ) -> Answers:
        """Ask whether the model fails on images that `texts` describe.

        Parameters
        ----------
        options, changes : how to ask; `changes` are fields of QueryOptions by name: `where="label = 'smiling'", top=3`.
        encoder : the workspace's encoder, named again where it is code of your own: a stored name runs no code.
        text_vectors : (q, d) embeddings of the phrases, or a .npy file of them, taken instead of the encoder's.

        Raises BadInputError for what cannot be asked, NotReadyError before a fit.
        """
        self._session.name(encoder)
        return self._ask(from_phrases(texts), model, replace(options, **changes), text_vectors=text_vectors)

    def rank(
        self,
        hypotheses: str | os.PathLike[str] | Sequence[str | Hypothesis],
        *,
        model: str | None = None,
        out: str | os.PathLike[str] | None = None,
        options: QueryOptions = QueryOptions(),
        encoder: Named | None = None,
        text_vectors: Any = None,
        progress: Progress | None = None,
        **changes: Any,
    ) -> Ranking:
        """Rank a file (or sequence) of hypotheses, worst first, and store the run with its evidence. See `query`.

        `out` also writes the ranking to a .parquet, .csv or .json file.
        """
        if out is not None:
            check_target(Path(out))
        if isinstance(hypotheses, str | os.PathLike):
            asked, source = read_hypotheses(Path(hypotheses)), str(hypotheses)
        else:
            asked, source = from_phrases(hypotheses), "api"
        options = replace(options, **changes)
        self._session.name(encoder)
        store = self._session.store(self.root)
        with store.writer():
            answers = self._ask(asked, model, options, named(progress, "asking"), text_vectors)
            fit = self._session.fitted(store, answers.model).report
            run = Run(
                model=answers.model,
                encoder=str(store.encoder),
                source=source,
                options=options,
                permutations=PERMUTATIONS,
                templates=store.templates,
                images=answers.images,
                fit_seed=fit.seed,
                fit_images=fit.sampled,
            )
            order = ranked(answers.answers)
            run_id, created = record(store, run, order)
            self._session.nothing_changed(store)
        ranking = Ranking(run_id, answers.model, order, answers.notes, created, options.fdr)
        if out is not None:
            write_ranking(ranking, Path(out))
        return ranking

    @property
    def runs(self) -> Runs:
        """The stored rankings: list them, show one, diff two."""
        return Runs(lambda: self._session.store(self.root))

    def run(self, run_id: int) -> StoredRun:
        """Deprecated: use `runs.show`."""
        warnings.warn("ws.run(N) is now ws.runs.show(N)", DeprecationWarning, stacklevel=2)
        return self.runs.show(run_id)

    def diff(self, before: int, after: int) -> RunDiff:
        """Deprecated: use `runs.diff`."""
        warnings.warn("ws.diff(N, M) is now ws.runs.diff(N, M)", DeprecationWarning, stacklevel=2)
        return self.runs.diff(before, after)

    def sql(self, query: str) -> pa.Table:
        """Run one read-only SQL statement over the catalog; files and network are out of its reach."""
        return self._session.store(self.root).catalog.sql(query)

    def check(self, *, repair: bool = False, progress: Progress | None = None) -> Checked:
        """Read every file and row, say what is damaged, and make again what can be if `repair`."""
        return maintenance.check(self.root, repair, named(progress, "checking"))

    def compact(self) -> CompactReport:
        """Forget missing images, and give back the room of embeddings that no image uses. Fits must be made again."""
        return maintenance.compact(self.root)

    def info(self) -> Info:
        """What the workspace holds."""
        return inventory(self._session.store(self.root))

    def _ask(
        self,
        asked: Sequence[Hypothesis],
        model: str | None,
        options: QueryOptions,
        progress: Callable[[int, int], None] | None = None,
        text_vectors: Any = None,
    ) -> Answers:
        store = self._session.store(self.root)
        slices, notes = self._session.slices(store, store.only_model(model), options)
        encoder = self._session.text_encoder(store, options.device, text_vectors)
        foreign = encoder.only_side is not None and store.images_of_other_size(encoder.only_side) > 0
        found = answer(
            slices,
            encoder,
            asked,
            options,
            store.keys_of,
            templates=store.templates if text_vectors is None else (),
            foreign_images=foreign,
            progress=progress,
        )
        return replace(found, notes=(*found.notes, *notes))
