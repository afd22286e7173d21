"""The one door to everything: `Workspace` has the words of the command line, and keeps loaded parts warm."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from fsearch.indexer.device import Device, choose
from fsearch.indexer.errors import WorkspaceError, require_one_of
from fsearch.search.discovery.door import Discovers
from fsearch.search.formats.door import Exports
from fsearch.search.maintenance_door import Maintains
from fsearch.search.options import BlackBoxOptions, EngineName, IndexOptions, Named, Progress, QueryOptions, named
from fsearch.search.releases import Releases
from fsearch.search.session import Session

if TYPE_CHECKING:  # each method imports what it needs, so that a command loads no more than it uses
    import pyarrow as pa

    from fsearch.diagnoser.fit_report import FitReport
    from fsearch.indexer.embedding.pipeline import IndexReport
    from fsearch.search.answer import Answers, Ranking
    from fsearch.search.calibration import CalibrationReport
    from fsearch.search.hypotheses import Hypothesis
    from fsearch.search.losses import ModelLosses
    from fsearch.search.run_diff import RunDiff
    from fsearch.search.runs import Runs, StoredRun


class Workspace(Discovers, Releases, Exports, Maintains):
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
        black_box: BlackBoxOptions | None = None,
        options: IndexOptions | None = None,
        progress: Progress | None = None,
        **changes: Any,
    ) -> IndexReport:
        """Embed the images of a data set and store one black box's losses on them. Run it again to continue or update.

        Parameters
        ----------
        images : a path, `module:object`, a torch `Dataset`, or what `fsearch.images` makes of them.
        losses : CSV, TSV, Parquet or JSONL; a column names images by path, file name or stem, `loss` holds the losses.
        black_box : or a model that is run on the images as they are embedded, each decoded once.
        options, changes : how; `changes` are fields of IndexOptions by name: `model="resnet", encoder="ViT-B-32"`.

        Raises FsearchError before anything is written where the input is unusable.
        """
        from fsearch.search.ingest import ingest

        options = replace(options or IndexOptions(), **changes)
        return ingest(self.root, self._session, images, losses, options, progress, black_box)

    @property
    def losses(self) -> ModelLosses:
        """The losses of every black box: add, list, remove."""
        from fsearch.search.losses import ModelLosses

        return ModelLosses(self.root)

    def fit(
        self,
        model: str | None = None,
        *,
        encoder: Named | None = None,
        seed: int = 0,
        group_by: str | None = None,
        device: Device = "auto",
        engine: EngineName = "local",
        address: str | None = None,
        progress: Progress | None = None,
    ) -> FitReport:
        """Fit the ensemble of `model` (the only one by default) and measure it out of bag. See `index`."""
        from fsearch.diagnoser.fit import fit_model
        from fsearch.indexer.workspace.image_groups import bring_up_to_date
        from fsearch.search.query import reference_bank

        require_one_of("engine", engine, get_args(EngineName))
        place = choose(device)
        self._session.name(encoder)
        store = self._session.store(self.root)
        name = store.only_model(model)
        with store.writer():
            bring_up_to_date(store, lambda: store.index(device), group_by)
            reference = reference_bank(self._session.text_encoder(store, device), store.templates)
            tick = named(progress, "fitting")
            if engine == "local":
                return fit_model(store, name, reference, seed=seed, progress=tick, device=place)
            from fsearch.indexer.embedding.ray_cluster import Cluster

            with Cluster(address) as cluster:
                return fit_model(store, name, reference, seed=seed, progress=tick, distribute=cluster.distribute)

    def calibrate(
        self, labels: str | os.PathLike[str], *, encoder: Named | None = None, device: Device = "auto"
    ) -> CalibrationReport:
        """Learn how to read the encoder from labels of some hundred images: a column, or a table file. Remembered."""
        from fsearch.search.calibration import calibrate

        return calibrate(self._session, self.root, os.fspath(labels), encoder, device)

    def forget_calibration(self) -> bool:
        """Forget what labels taught; returns whether there was anything."""
        from fsearch.search.calibration import forget

        return forget(self._session.store(self.root))

    def query(
        self,
        *texts: str | Hypothesis | Sequence[str | Hypothesis],
        model: str | None = None,
        options: QueryOptions = QueryOptions(),
        encoder: Named | None = None,
        text_vectors: Any = None,
        **changes: Any,
    ) -> Answers:
        """Ask whether the model fails on images that `texts`, or a list of them, describe.

        Every phrase is a question of this fit and tested at the level of its place among all that were asked of it;
        asked again, it does not count again. To test a list together, use `rank`.

        Parameters
        ----------
        options, changes : how to ask; `changes` are fields of QueryOptions by name: `where="label = 'smiling'", top=3`.
        encoder : the workspace's encoder, named again where it is code of your own: a stored name runs no code.
        text_vectors : (q, d) embeddings of the phrases, or a .npy file of them, taken instead of the encoder's.

        Raises BadInputError for what cannot be asked, NotReadyError before a fit.

        Examples
        --------
        >>> answers = ws.query("dark skin tone", "light skin tone", where="eyewear = 'none'")
        >>> [str(answer.verdict) for answer in answers]
        ['fails', 'fine']
        >>> answers["dark skin tone"].lo > 0
        True
        """
        from fsearch.search.hypotheses import from_phrases

        self._session.name(encoder)
        options = replace(options, **changes)
        return self._ask(from_phrases(texts), model, options, text_vectors=text_vectors, one_at_a_time=True)

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
        """Rank hypotheses, or a file of them, worst first, and store the run; `out` writes a file too. See `query`.

        Examples
        --------
        >>> ranking = ws.rank(["light skin tone", "dark skin tone", "a zeppelin"])
        >>> [answer.text for answer in ranking]
        ['dark skin tone', 'light skin tone', 'a zeppelin']
        >>> str(ranking["a zeppelin"].verdict)
        'unseen'
        """
        from fsearch.search.answer import Ranking, ranked
        from fsearch.search.export import check_target, write_ranking
        from fsearch.search.hypotheses import asked_of, table_notes
        from fsearch.search.run import Run
        from fsearch.search.runs import record

        if out is not None:
            check_target(Path(out))
        asked, source = asked_of(hypotheses)
        options = replace(options, **changes)
        self._session.name(encoder)
        store = self._session.store(self.root)
        if not os.access(store.layout.catalog, os.W_OK):
            raise WorkspaceError(f"{store.layout.catalog} cannot be written, so no ranking can be stored: use query")
        answers = self._ask(asked, model, options, named(progress, "asking"), text_vectors)
        fit = self._session.fitted(store, answers.model)
        run = Run.of(store, fit, answers.images, source, options)
        order, notes = ranked(answers.answers), (*table_notes(source), *answers.notes)
        run_id, created, before = record(store, run, (*order, *answers.hidden))
        self._session.kept(before, store)
        ranking = Ranking(run_id, answers.model, order, notes, created, options.fdr, answers.hidden)
        if out is not None:
            write_ranking(ranking, Path(out))
        return ranking

    @property
    def runs(self) -> Runs:
        """The stored rankings: list them, show one, diff two."""
        from fsearch.search.runs import Runs

        return Runs(lambda: self._session.store(self.root))

    def run(self, run_id: int) -> StoredRun:
        """Deprecated: use `runs.show`."""
        warnings.warn("ws.run(N) is now ws.runs.show(N)", DeprecationWarning, stacklevel=2)
        return self.runs.show(run_id)

    def diff(self, before: int, after: int) -> RunDiff:
        """Deprecated: use `runs.diff`."""
        warnings.warn("ws.diff(N, M) is now ws.runs.diff(N, M)", DeprecationWarning, stacklevel=2)
        return self.runs.diff(before, after)

    def sql(self, query: str, *, timeout: float = 60.0) -> pa.Table:
        """Run one read-only SQL statement, for `timeout` seconds at most; files and network are out of its reach."""
        return self._session.store(self.root).catalog.sql(query, seconds=timeout)

    def _ask(
        self,
        asked: Sequence[Hypothesis],
        model: str | None,
        options: QueryOptions,
        progress: Callable[[int, int], None] | None = None,
        text_vectors: Any = None,
        one_at_a_time: bool = False,
    ) -> Answers:
        from fsearch.search.query import answer, dropped

        scope = self._session.scope(self.root, model, options, asked if text_vectors is None else ())
        slices, notes = self._session.slices(scope, options)
        account = scope.account if one_at_a_time else None
        encoder = self._session.text_encoder(scope.store, options.device, text_vectors, scope.phrases, account)
        found = answer(
            slices,
            encoder,
            asked,
            options,
            self._session.images(scope.store),
            templates=scope.store.templates if text_vectors is None else (),
            foreign_images=scope.foreign(encoder.only_side),
            progress=progress,
            account=account,
        )
        return replace(found, notes=(*found.notes, *dropped(scope.store), *notes))
