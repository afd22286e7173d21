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


def example_rows(store: Store, model: str) -> pa.Table:
    """Every present image with a loss of `model`, as the view `examples` has it. Raises BadInputError for none."""
    rows = store.catalog.sql("FROM examples WHERE model = ? ORDER BY image_id", [model])
    if rows.num_rows == 0:
        raise BadInputError(f"no image has a loss of {model!r}")
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
