"""What is asked of the index of a workspace, and what is known of its file. Light to import: no FAISS."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.storage.catalog import Catalog
from fsearch.indexer.vector_index.spec import EXACT_ROWS, TARGET

Progress = Callable[[int, int], None]  # (vectors added, vectors in all)
Texts = Callable[[], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class IndexConfig:
    """Constraints on the index of a workspace, stored in its settings.

    Attributes
    ----------
    memory_gib : at most so much memory; half of the machine's by default.
    recall : at least so much recall, at both depths.
    exact_rows : up to so many vectors the index is exact.
    """

    memory_gib: float | None = None
    recall: float = TARGET
    exact_rows: int = EXACT_ROWS

    @classmethod
    def from_json(cls, text: str) -> IndexConfig:
        """The constraints that `as_json` gave."""
        return cls(**json.loads(text))

    def as_json(self) -> str:
        """Those that differ from the defaults, so that a later default reaches workspaces that never chose."""
        return json.dumps({f.name: value for f in fields(self) if (value := getattr(self, f.name)) != f.default})


@dataclass(frozen=True, slots=True)
class IndexStats:
    """Statistics of the index file: the one row of the table `vector_index`, whose columns these fields are."""

    kind: str
    rows: int
    lists: int
    probes: int
    bytes: int
    recall_100: float
    recall_2048: float
    target: float
    measured_rows: int
    queries: int
    sha256: str
    saved_at: datetime

    @property
    def missed(self) -> bool:
        """Whether its recall is below the target."""
        return min(self.recall_100, self.recall_2048) < self.target

    def __str__(self) -> str:
        if not self.lists:
            return f"{self.kind}, {self.rows:,} vectors"
        found = f"recall@100 {self.recall_100:.3f}, recall@2048 {self.recall_2048:.3f}"
        line = f"{self.kind}, {self.rows:,} vectors, {self.probes:,} of {self.lists:,} lists a query; {found}"
        missed = f", below the {self.target:g} asked for: allow more with --memory-gib"
        return line + (missed if self.missed else "")


def read_stats(catalog: Catalog) -> IndexStats | None:
    """Statistics of the index file; None before the first one."""
    with catalog.read() as con:
        names = ", ".join(f.name for f in fields(IndexStats))
        rows = con.sql(f"SELECT {names} FROM vector_index").to_arrow_table().to_pylist()
    return IndexStats(**rows[0]) if rows else None
