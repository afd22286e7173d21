"""Random access to one value in a Parquet file, without reading the rows that follow it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fsearch.indexer.storage.parquet_batches import bounded_batches, open_parquet

_BATCH = 16  # rows may hold whole images


def read_cell(files: Sequence[Path], row: int, column: str) -> Any:
    """The value of `column` in `row`, counted from 0 through all `files`.

    Row groups before the row's own are skipped; within it, rows are decoded in small batches up to the row. Raises
    IndexError where there is no such row, pa.ArrowException or OSError where a file cannot be read.
    """
    for path in files:
        with open_parquet(path) as file:
            if row >= file.metadata.num_rows:
                row -= file.metadata.num_rows
                continue
            group = 0
            while row >= file.metadata.row_group(group).num_rows:
                row -= file.metadata.row_group(group).num_rows
                group += 1
            for batch in bounded_batches(file, [column], str(path), groups=[group], rows=_BATCH):
                if row < batch.num_rows:
                    batch.validate(full=True)  # pyarrow does not check all of a damaged file, and would crash
                    return batch.column(0)[row].as_py()
                row -= batch.num_rows
    raise IndexError(f"no row {row}")
