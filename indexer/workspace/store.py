"""A workspace on disk: create or open it, lock it for writing, and read back what it holds.

A crash at any instant is harmless by the order of writing: shard file first, then one transaction that names it, then
the FAISS file. Opening for writing drops shard files that no transaction names; the index is topped up from the shards.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsearch.indexer.device import Device
from fsearch.indexer.errors import BadInputError, NotReadyError, WorkspaceError
from fsearch.indexer.storage.catalog import Catalog
from fsearch.indexer.storage.layout import Layout
from fsearch.indexer.storage.locks import writer_lock
from fsearch.indexer.storage.rows import scalar
from fsearch.indexer.storage.schema import VERSION
from fsearch.indexer.storage.schema.migrations import migrate
from fsearch.indexer.storage.shards import Shard, drop_orphans
from fsearch.indexer.storage.sql import check_predicate, quoted
from fsearch.indexer.storage.vectors import Vectors
from fsearch.indexer.vector_index.exact_search import ExactSearch, NearestImages
from fsearch.indexer.vector_index.index_stats import IndexConfig, Progress, Texts
from fsearch.indexer.workspace.calibration import Calibration
from fsearch.indexer.workspace.encoder_spec import EncoderSpec
from fsearch.indexer.workspace.settings import parsed

if TYPE_CHECKING:
    from fsearch.indexer.vector_index.index import VectorIndex


@dataclass(frozen=True, slots=True)
class Losses:
    """The losses of one black box on the images that are present, in order of global row.

    Images of identical bytes share an embedding and count once, with their mean loss: copies are no further evidence.

    Attributes
    ----------
    image_ids : (n,) int64, the first image of each embedding.
    rows : (n,) int64, global row of each embedding, rising.
    values : (n,) float64, the losses.
    """

    model: str
    image_ids: NDArray[np.int64]
    rows: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Store:
    """An open workspace. Reading needs no lock; writing happens inside `with store.writer():`.

    Attributes
    ----------
    templates : what phrases were to be put into, when it was opened; none for phrases as they are.
    index_config : how much memory the index may take, and how much it must find.
    calibration : what the user's labels taught, of this encoder or of one that was here before.
    """

    layout: Layout
    encoder: EncoderSpec
    templates: tuple[str, ...] = ()
    index_config: IndexConfig = field(default_factory=IndexConfig)
    calibration: Calibration | None = None

    @property
    def catalog(self) -> Catalog:
        """The rows."""
        return Catalog(self.layout)

    @classmethod
    def open(cls, root: Path) -> Store:
        """Open the workspace at `root`.

        Raises NotReadyError where there is none, WorkspaceError where it is unusable.
        """
        layout = Layout(root)
        if not layout.catalog.exists():
            raise NotReadyError(f"no workspace at {root}; make one with: fsearch index IMAGES --losses FILE")
        settings = Catalog(layout).settings()
        store = cls(layout, *parsed(settings, layout.catalog))
        if int(settings["schema_version"]) < VERSION:
            with store.writer():
                version = int(store.catalog.settings()["schema_version"])  # another process may have been first
                if version < VERSION:
                    migrate(store.catalog, version)
        return store

    @classmethod
    def create(cls, root: Path, encoder: EncoderSpec) -> Store:
        """Make an empty workspace at `root` for embeddings of `encoder`."""
        layout = Layout(root)
        if root.exists() and not root.is_dir():
            raise WorkspaceError(f"{root} is a file; a workspace is a folder")
        layout.vectors.mkdir(parents=True, exist_ok=True)
        Catalog(layout).create(encoder.as_settings())
        return cls(layout, encoder)

    @contextmanager
    def writer(self, *, tidy: bool = True) -> Iterator[None]:
        """Hold the workspace for writing. Raises WorkspaceError at once where another process does.

        Shard files that a crash left are deleted first, unless not `tidy`. Reads within share a connection.
        """
        with writer_lock(self.layout), self.catalog.shared(yielding=True):
            if tidy:
                drop_orphans(self.layout, self.shards())
            yield

    def shards(self) -> list[Shard]:
        """The committed shards, in order."""
        with self.catalog.read() as con:
            rows = con.execute("SELECT shard, rows, sha256 FROM shards ORDER BY shard").fetchall()
        return [Shard(*row) for row in rows]

    def vectors(self) -> Vectors:
        """Every embedding, (rows, dim) float16, by global row, read as far as asked."""
        return Vectors(self.layout, self.shards(), self.encoder.dim)

    def index(self, device: Device = "auto", vectors: Vectors | None = None) -> NearestImages:
        """What finds the nearest of every committed row: all of them, or FAISS on `device` where they are many.

        `vectors` are those of the shards, where they are at hand.
        """
        if vectors is None:
            vectors = self.vectors()
        if len(vectors) <= self.index_config.exact_rows:
            return ExactSearch(vectors)
        from fsearch.indexer.vector_index.sync import open_approximate

        return open_approximate(self.catalog, vectors, device)

    def sync_index(
        self, texts: Texts | None = None, progress: Progress | None = None, device: Device = "auto"
    ) -> VectorIndex:
        """Bring the index file up to the committed shards; `texts` gives phrases to measure it with. For the writer."""
        from fsearch.indexer.vector_index.sync import store_stats, sync

        index, stats = sync(self.catalog, self.vectors(), self.index_config, texts, progress, device)
        if stats is not None:
            with self.catalog.write() as con:
                store_stats(con, stats)
        return index

    def keys(self, source: str) -> list[str]:
        """Keys of the images of one source that are present."""
        query = "SELECT key FROM images WHERE source = ? AND status = 'present' ORDER BY image_id"
        with self.catalog.read() as con:
            return [key for (key,) in con.execute(query, [source]).fetchall()]

    def models(self) -> list[str]:
        """Names of the black boxes whose losses are here."""
        with self.catalog.read() as con:
            return [name for (name,) in con.execute("SELECT DISTINCT model FROM losses ORDER BY model").fetchall()]

    def only_model(self, name: str | None) -> str:
        """`name`, or the one black box there is. Raises NotReadyError where there is none, or no telling which."""
        models = self.models()
        if not models:
            raise NotReadyError(f"no losses in {self.layout.root}; add them with: fsearch index IMAGES --losses FILE")
        if name is None and len(models) == 1:
            return models[0]
        if name not in models:
            asked = f"no losses of model {name!r}" if name else "several models"
            raise NotReadyError(f"{asked}; this workspace has: {', '.join(models)} (choose with --model)")
        return name

    def losses(self, model: str) -> Losses:
        """The losses of `model` on the images that are present."""
        query = (
            "SELECT min(l.image_id) AS image_id, i.row, avg(l.loss) AS loss "
            "FROM losses l JOIN images i USING (image_id) "
            "WHERE l.model = ? AND i.status = 'present' GROUP BY i.row ORDER BY i.row"
        )
        with self.catalog.read() as con:
            found = con.execute(query, [model]).fetchnumpy()  # pyarrow's own to_numpy imports pandas
            total = scalar(con, "SELECT coalesce(sum(rows), 0) FROM shards")
        rows = found["row"]
        if np.ma.is_masked(rows) or (len(rows) and not (rows[0] >= 0 and rows[-1] < total)):
            raise WorkspaceError(f"{self.layout.catalog}: images have no embedding; run: fsearch check --repair")
        return Losses(model, *(np.asarray(found[name]) for name in ("image_id", "row", "loss")))

    def rows_where(self, model: str, condition: str) -> NDArray[np.int64]:
        """(n,) rising global rows of the images of `model` that fulfil an SQL predicate on the view `examples`.

        Raises BadInputError where the predicate is none.
        """
        query = f"SELECT DISTINCT embedding_row FROM (SELECT * FROM examples WHERE ({condition}\n)) WHERE model = ?"
        check_predicate(condition)
        return np.sort(self._examples(query, model, "--where")["embedding_row"].to_numpy())

    def rows_by(self, model: str, column: str) -> dict[str, NDArray[np.int64]]:
        """The global rows of the images of `model`, by their value in one column of the view `examples`; null is none.

        Raises BadInputError where there is no such column, or nothing in it.
        """
        name = quoted(column)
        query = (
            f"SELECT CAST({name} AS VARCHAR) AS value, list_sort(list(DISTINCT embedding_row)) AS rows FROM examples "
            f"WHERE model = ? AND {name} IS NOT NULL GROUP BY value ORDER BY value"
        )
        found = self._examples(query, model, f"--by {column}")
        if not found.num_rows:  # columns of a losses file belong to its model
            raise BadInputError(f"--by {column}: no image of model {model!r} has a value there; another model's may")
        return {
            v: np.asarray(r, np.int64) for v, r in zip(*(found[c].to_pylist() for c in ("value", "rows")), strict=True)
        }

    def _examples(self, query: str, model: str, option: str) -> pa.Table:
        try:
            return self.catalog.sql(query, [model])
        except BadInputError as error:
            said = str(error).removeprefix("SQL: ")
            raise BadInputError(f'{option}: {said}; see its columns: fsearch sql "FROM examples LIMIT 1"') from error

    def training_share(self, model: str) -> float | None:
        """Share of the losses that are of images the model was trained on; None where that was not said of any."""
        query = "SELECT avg(CAST(split = 'train' AS INTEGER)) FROM losses WHERE model = ?"
        with self.catalog.read() as con:
            row = con.execute(query, [model]).fetchone()
        return None if row is None or row[0] is None else float(row[0])

    def with_settings(
        self, *, templates: Sequence[str] | None = None, memory_gib: float | None = None, recall: float | None = None
    ) -> Store:
        """The store with other settings, those that are given; `settings` has them for the catalog."""
        config = replace(
            self.index_config,
            memory_gib=memory_gib or self.index_config.memory_gib,
            recall=recall or self.index_config.recall,
        )
        return replace(self, templates=self.templates if templates is None else tuple(templates), index_config=config)

    @property
    def settings(self) -> dict[str, str]:
        """The settings that may change, as the catalog holds them."""
        return {"templates": json.dumps(list(self.templates)), "index": self.index_config.as_json()}

    def sides(self) -> tuple[int, int]:
        """The least and the greatest side of the images that are present, in pixels; 0 where there is none."""
        query = (
            "SELECT coalesce(least(min(width), min(height)), 0), coalesce(greatest(max(width), max(height)), 0) "
            "FROM images WHERE status = 'present'"
        )
        with self.catalog.read() as con:
            least, greatest = con.execute(query).fetchall()[0]
        return int(least), int(greatest)
