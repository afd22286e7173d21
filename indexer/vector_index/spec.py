"""Which index, by how many vectors there are and how much memory it may take."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from fsearch.indexer.errors import BadInputError

Name = Literal["exact", "ivf-fp16", "ivf-sq8", "ivf-pq"]

EXACT_ROWS = 100_000
PRECISE_ROWS = 10_000_000  # past this, codes of 16 bits are not considered: every query reads a share of them
TRAINING_ROWS = 1_000_000
_PER_LIST = 50  # training vectors; FAISS warns below 39
_ID = 8  # bytes of a row number beside each code
_GIB = 2**30


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of index.

    Attributes
    ----------
    name : exact (float32), or an inverted file of float16, 8-bit or product-quantised codes.
    lists : how many inverted lists; 0 for exact.
    code : bytes of one vector's code.
    """

    name: Name
    lists: int
    code: int

    @property
    def candidates(self) -> float:
        """How many times k are taken from the codes, to be ranked again by the shards' own float16.

        0 where the codes are those float16 already, or better.
        """
        return {"ivf-sq8": 1.1, "ivf-pq": 4.0}.get(self.name, 0.0)

    @property
    def lossless(self) -> bool:
        """Whether a vector can be had back from its code to the bit."""
        return self.name in ("exact", "ivf-fp16")

    @property
    def training_rows(self) -> int:
        """How many vectors it is trained on, at most."""
        return min(TRAINING_ROWS, _PER_LIST * self.lists)

    def outgrown_by(self, other: Kind) -> bool:
        """Whether an index that should be `other` now must be built anew."""
        return self.name != other.name or self.code != other.code or other.lists >= 2 * self.lists > 0


def choose(rows: int, dim: int, memory_gib: float | None = None) -> Kind:
    """The most precise kind whose codes of `rows` vectors fit in `memory_gib`; half of this machine's by default.

    Raises BadInputError where not even the coarsest fits.
    """
    if rows <= EXACT_ROWS:
        return Kind("exact", 0, 4 * dim)
    budget = (memory_gib or default_memory_gib()) * _GIB
    lists = min(int(4 * rows**0.5), TRAINING_ROWS // _PER_LIST)
    options = [Kind("ivf-fp16", lists, 2 * dim)] if rows <= PRECISE_ROWS else []
    options.append(Kind("ivf-sq8", lists, dim))
    options += [Kind("ivf-pq", lists, dim // part) for part in (4, 8, 16) if dim % part == 0]
    for kind in options:
        if rows * (kind.code + _ID) <= budget:
            return kind
    least = rows * (options[-1].code + _ID) / _GIB
    raise BadInputError(
        f"--memory-gib {budget / _GIB:.3g}: an index of {rows:,} vectors needs {least:.2g} GiB; allow that much"
    )


def default_memory_gib() -> float:
    """Half of this machine's memory: the index is read as a map of its file, so this is a bound, not a reservation."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2 / _GIB
