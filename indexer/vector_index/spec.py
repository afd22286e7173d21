"""Kinds of FAISS index, and the choice among them by number of vectors and memory budget.

Another kind of inverted file is a row in KINDS, its place in `choose`, and its construction in build.py.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from fsearch.indexer.errors import BadInputError

KindName = Literal["exact", "ivf-fp16", "ivf-sq8", "ivf-pq"]

EXACT_ROWS = 100_000
TARGET = 0.95  # recall
PRECISE_ROWS = 10_000_000  # past this, codes of 16 bits are not considered: every query reads a share of them
TRAINING_ROWS = 1_000_000
_PER_LIST = 50  # training vectors; FAISS warns below 39
_ID_BYTES = 8  # of a row number beside each code
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Codes:
    """How the vectors of a kind are stored.

    Attributes
    ----------
    lossless : whether an embedding, which is float16, can be reconstructed from its code bit by bit.
    rerank_factor : how many times k candidates are taken from the codes and re-ranked by the shards' own float16;
        0 where the codes are as precise as those.
    """

    lossless: bool
    rerank_factor: float


KINDS: dict[KindName, Codes] = {
    "exact": Codes(lossless=True, rerank_factor=0.0),
    "ivf-fp16": Codes(lossless=True, rerank_factor=0.0),
    "ivf-sq8": Codes(lossless=False, rerank_factor=1.1),
    "ivf-pq": Codes(lossless=False, rerank_factor=4.0),
}


@dataclass(frozen=True, slots=True)
class IndexKind:
    """A kind of index.

    Attributes
    ----------
    name : exact (float32), or an inverted file of float16, 8-bit or product-quantised codes.
    nlist : number of inverted lists; 0 for exact.
    code_size : bytes of one vector's code.
    """

    name: KindName
    nlist: int
    code_size: int

    @property
    def rerank_factor(self) -> float:
        """How many times k candidates are re-ranked; 0 for none."""
        return KINDS[self.name].rerank_factor

    @property
    def lossless(self) -> bool:
        """Whether an embedding can be reconstructed from its code bit by bit."""
        return KINDS[self.name].lossless

    @property
    def training_rows(self) -> int:
        """How many vectors it is trained on, at most."""
        return min(TRAINING_ROWS, _PER_LIST * self.nlist)

    def outgrown_by(self, other: IndexKind) -> bool:
        """Whether an index that should be `other` now must be rebuilt."""
        return self.name != other.name or self.code_size != other.code_size or other.nlist >= 2 * self.nlist > 0


def choose(rows: int, dim: int, memory_gib: float | None = None, exact_rows: int = EXACT_ROWS) -> IndexKind:
    """The most precise kind whose codes of `rows` vectors fit in `memory_gib`; half of this machine's by default.

    Up to `exact_rows` vectors the index is exact. Raises BadInputError where not even the coarsest kind fits.
    """
    if rows <= exact_rows:
        return IndexKind("exact", 0, 4 * dim)
    budget = (memory_gib or default_memory_gib()) * _GIB
    nlist = min(int(4 * rows**0.5), TRAINING_ROWS // _PER_LIST)
    options = [IndexKind("ivf-fp16", nlist, 2 * dim)] if rows <= PRECISE_ROWS else []
    options.append(IndexKind("ivf-sq8", nlist, dim))
    options += [IndexKind("ivf-pq", nlist, dim // part) for part in (4, 8, 16) if dim % part == 0]
    for kind in options:
        if rows * (kind.code_size + _ID_BYTES) <= budget:
            return kind
    least = rows * (options[-1].code_size + _ID_BYTES) / _GIB
    raise BadInputError(
        f"--memory-gib {budget / _GIB:.3g}: an index of {rows:,} vectors needs {least:.2g} GiB; allow that much"
    )


def default_memory_gib() -> float:
    """Half of this machine's memory: the index is read as a map of its file, so this is a bound, not a reservation."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2 / _GIB
