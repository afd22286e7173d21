"""What forms have in common: the rows that are written, and a target that appears whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.workspace.store import Store
from fsearch.search.selections import condition, found_name


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes
    ----------
    images : how many; `without` : how many are left out, since they could not be read.
    then : how the tool opens it: lines for the user to copy.
    """

    images: int
    then: tuple[str, ...]
    without: int = 0


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which images are written: those with a loss of `model`; where `selection` names a stored one, of its images."""

    model: str
    selection: str | None = None


def example_rows(store: Store, wanted: Wanted) -> pa.Table:
    """The present images that are wanted, as the view `examples` has them. Raises BadInputError for none."""
    chosen = "TRUE" if wanted.selection is None else condition(found_name(store, wanted.selection))
    rows = store.catalog.sql(f"FROM examples WHERE model = ? AND {chosen} ORDER BY image_id", [wanted.model])
    if rows.num_rows == 0:
        of = "" if wanted.selection is None else f" of the selection {wanted.selection!r}"
        raise BadInputError(f"no image{of} has a loss of {wanted.model!r}")
    return rows


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that becomes `out` when all went well. Raises BadInputError where `out` is there."""
    if out.exists() or not out.parent.is_dir():
        raise BadInputError(f"{out}: name a new folder, in a folder that exists")
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        yield part
        part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
