"""Where everything lies in a workspace folder: the one object that knows file names on disk.

Whoever asks for a path has it checked: no part of a workspace may be a link, see `inside.py`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.inside import inside

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of the workspace at `root`."""

    root: Path

    @property
    def catalog(self) -> Path:
        """The DuckDB file: the truth about rows."""
        return inside(self.root, "catalog.duckdb")

    @property
    def write_ahead_log(self) -> Path:
        """DuckDB's own log beside the catalog; there while something is not yet folded in."""
        return inside(self.root, "catalog.duckdb.wal")

    @property
    def index(self) -> Path:
        """The FAISS file, derived from the shards."""
        return inside(self.root, "index.faiss")

    @property
    def lock(self) -> Path:
        """The lock file of the one writer."""
        return inside(self.root, "writer.lock")

    @property
    def lock_holder(self) -> Path:
        """The process that holds the writer's lock, in words; there while it does."""
        return inside(self.root, "writer.pid")

    @property
    def catalog_queue(self) -> Path:
        """The lock file of whoever is opening the catalog: one at a time, so that readers cannot starve a writer."""
        return inside(self.root, "catalog.lock")

    @property
    def vectors(self) -> Path:
        """The folder of the embedding shards: the truth about vectors."""
        return inside(self.root, "vectors")

    @property
    def staged(self) -> Path:
        """Where workers of a cluster leave what they embedded, until it is committed."""
        return inside(self.root, "staged")

    @property
    def damaged(self) -> Path:
        """Quarantine of files that a repair could not rebuild."""
        return inside(self.root, "damaged")

    def aside(self, name: str) -> Path:
        """Where a repair puts the file or folder `name`."""
        return inside(self.root, "damaged", name)

    def shard(self, number: int) -> Path:
        """The file of one embedding shard, (rows, dim) float16."""
        return inside(self.root, "vectors", f"{number:05d}.npy")

    def model(self, name: str) -> Path:
        """The folder of one black box's ensemble. Raises BadInputError for a name that could leave the workspace."""
        return inside(self.root, "models", _checked(name))

    def fit_file(self, model: str, name: str) -> Path:
        """A file of one black box's ensemble: where a kill left it, if that was just before it took its place."""
        place = _checked(model) if self.model(model).exists() else f".{model}.part"
        return inside(self.root, "models", place, name)

    def fit_under_way(self, model: str) -> Path:
        """The folder in which an ensemble is written, to take its place when it is complete."""
        return inside(self.root, "models", f".{_checked(model)}.part")

    def fit_replaced(self, model: str) -> Path:
        """The folder of the ensemble whose place another one takes; there for a moment."""
        return inside(self.root, "models", f".{_checked(model)}.old")

    def fit_folders(self, model: str) -> tuple[Path, ...]:
        """All that there may be of one black box's ensemble, the folder itself last: what to delete with it."""
        return self.fit_under_way(model), self.fit_replaced(model), self.model(model)

    def log(self, name: str) -> Path:
        """The file of tracebacks that one black box left when it was run."""
        return inside(self.root, "logs", f"{_checked(name)}.log")

    def generation(self) -> tuple[int, ...]:
        """Changes whenever anything was committed: what caches compare."""
        return tuple(value for path in (self.catalog, self.write_ahead_log) for value in _version(path))


def cache_folder() -> Path:
    """The user's cache directory of fsearch; it may not exist yet. Raises RuntimeError where there is no home."""
    if own := os.environ.get("FSEARCH_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "fsearch"


def _version(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return status.st_mtime_ns, status.st_size


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise BadInputError(f"model name {name!r}: use letters, digits, '.', '_' and '-', at most 64 of them")
    return name
