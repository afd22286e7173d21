"""Batches of a Parquet file, small enough for memory whatever the file makes of a few bytes.

A dictionary of one long value, or values that share a prefix, stand for any number of rows. So what a batch may expand
to is reckoned from the sizes of the columns, and batches get as few rows as keep that small. pyarrow ends the process
where the sizes of a damaged file contradict each other, so they are asked for only after a reader has opened them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.memory import memory_bytes

ROWS = 64  # in a batch, at most: they may hold whole images
_BATCH_BYTES, _EXPANDED_BYTES = 2**31, 2**28  # of a batch: of usual columns, of those that may expand
_DICTIONARY = 2**20  # bytes that writers let a dictionary have
_EXPANDS = 100  # times its size on disk, past which a column is taken for one that is meant to expand
_BUFFER = 2**14  # bytes of a column that are read ahead: without, the whole column of a row group


def open_parquet(path: Path) -> Any:
    """The pyarrow.parquet.ParquetFile at `path`; raises pa.ArrowException or OSError."""
    return pa.parquet.ParquetFile(path, buffer_size=_BUFFER)


def bounded_batches(
    file: Any, columns: Sequence[str], where: str, *, groups: Sequence[int] | None = None, rows: int = ROWS
) -> Iterator[pa.RecordBatch]:
    """Batches of at most `rows` of some `columns` of what `open_parquet` gives; of some row `groups` if given.

    Raises BadInputError where a row group does not fit into half of the memory, pa.ArrowException or OSError where the
    file is damaged.
    """
    paths = enumerate(map(".".join, file.reader.column_paths))
    leaves = [i for i, path in paths if any(path == c or path.startswith(f"{c}.") for c in columns)]
    for group in range(file.metadata.num_row_groups) if groups is None else groups:
        for _ in file.reader.iter_batches(0, row_groups=[group], column_indices=leaves):
            pass  # no rows, and none are read: the columns are opened, which raises where `column` would end us
        whole, usual, odd = _sizes([file.metadata.row_group(group).column(i) for i in leaves])
        if whole > memory_bytes():
            raise BadInputError(f"{where}: a row group of {whole / 2**30:.1f} GiB; write smaller row groups")
        count = max(1, min(rows, _BATCH_BYTES // max(usual, 1), _EXPANDED_BYTES // max(odd, 1)))
        yield from file.iter_batches(count, row_groups=[group], columns=list(columns))


def _sizes(chunks: Sequence[Any]) -> tuple[int, int, int]:
    """Bytes of the columns of a row group when decompressed, and of one row at most: in usual ones, and in others."""
    whole = usual = odd = 0
    for chunk in chunks:
        size = int(chunk.total_uncompressed_size)
        whole += size
        if chunk.physical_type == "BYTE_ARRAY" and _may_expand(chunk, size):
            odd += size
        elif chunk.physical_type == "BYTE_ARRAY":
            usual += min(size, _DICTIONARY)
    return whole, usual, odd


def _may_expand(chunk: Any, size: int) -> bool:
    """Whether values of text or bytes may be far longer than what is stored for each."""
    start, data = chunk.dictionary_page_offset, chunk.data_page_offset
    dictionary = data - start if chunk.has_dictionary_page and start is not None else 0
    return (
        not 0 <= dictionary <= 2 * _DICTIONARY
        or size > _EXPANDS * max(int(chunk.total_compressed_size), 1)
        or "DELTA_BYTE_ARRAY" in chunk.encodings
    )
