"""Batches of a Parquet file, small enough for memory whatever the file makes of a few bytes.

A dictionary of one long value, or values that share a prefix, stand for any number of rows. So what a batch may expand
to is reckoned from the sizes of the columns, and batches get as few rows as keep that small.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.memory import memory_bytes

ROWS = 64  # in a batch, at most: they may hold whole images
_BATCH_BYTES, _EXPANDED_BYTES = 2**31, 2**28  # of a batch: of usual columns, of those that may expand
_DICTIONARY = 2**20  # bytes that writers let a dictionary have
_EXPANDS = 100  # times its size on disk, past which a column is taken for one that is meant to expand


def bounded_batches(
    file: Any, columns: Sequence[str], where: str, *, groups: Sequence[int] | None = None, rows: int = ROWS
) -> Iterator[pa.RecordBatch]:
    """Batches of at most `rows` of some `columns` of a pyarrow.parquet.ParquetFile; of some row `groups` if given.

    Raises BadInputError where a row group does not fit into half of the memory.
    """
    for group in range(file.metadata.num_row_groups) if groups is None else groups:
        whole, usual, odd = _sizes(file.metadata.row_group(group), columns)
        if whole > memory_bytes():
            raise BadInputError(f"{where}: a row group of {whole / 2**30:.1f} GiB; write smaller row groups")
        count = max(1, min(rows, _BATCH_BYTES // max(usual, 1), _EXPANDED_BYTES // max(odd, 1)))
        yield from file.iter_batches(count, row_groups=[group], columns=list(columns))


def _sizes(group: Any, columns: Sequence[str]) -> tuple[int, int, int]:
    """Bytes of a row group when it is decompressed, and of one row at most: in usual columns, and in others."""
    whole = usual = odd = 0
    for i in range(group.num_columns):
        chunk = group.column(i)
        path = str(chunk.path_in_schema)
        if not any(path == c or path.startswith(f"{c}.") for c in columns):
            continue
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
