"""Read CSV and TSV: every cell as text first, then each column as the narrowest type that all its cells fit."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.column_types import CellType, TypeGuess, from_text
from fsearch.indexer.storage.dialect import Dialect, rows, sniff

ROW_NAME = "row_name"  # of a first column without one that holds no numbers
MAX_LINES = 200_000_000  # with those that have no content
_CELLS, CHARACTERS = 2**18, 2**27  # that are converted at once


@dataclass(frozen=True, slots=True)
class _Columns:
    """What one reading of the whole file tells.

    Attributes
    ----------
    positions, names, kinds : the columns that are read, in their order; those without name and content are left out.
    blank, short : rows without content, which are left out, and rows that end early, whose other cells are empty.
    """

    positions: list[int]
    names: list[str]
    kinds: list[CellType]
    rows: int
    blank: int
    short: int


class Delimited:
    """A CSV or TSV file. `text` holds names of columns, in lower case, that are text whatever they look like."""

    def __init__(self, path: Path, text: Collection[str] = ()) -> None:
        self._path, self._text, self._short = path, text, 0

    @cached_property
    def dialect(self) -> Dialect:
        """How the file is written."""
        return sniff(self._path)

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns; the file is read once for it."""
        found = self._columns
        empty = pa.array([], pa.string())
        types = [from_text(empty, kind).type for kind in found.kinds]
        return pa.schema(list(zip(found.names, types, strict=True)))

    @property
    def notes(self) -> list[str]:
        """What the reader did beyond reading."""
        found = self._columns
        said = ["decimal commas"] if "decimal comma" in found.kinds else []
        said += [f"{found.blank:,} rows without content left out"] if found.blank else []
        return said + ([f"{found.short:,} rows end early, their other cells are empty"] if found.short else [])

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows that have content."""
        found, schema = self._columns, self.schema
        for chunk in self._chunks():
            columns = list(zip(*(r for r in chunk if any(r)), strict=True))
            if not columns:
                continue
            cells = [pa.array(columns[i], pa.string()) for i in found.positions]
            values = [from_text(c, kind) for c, kind in zip(cells, found.kinds, strict=True)]
            yield pa.RecordBatch.from_arrays(values, schema=schema)

    def _chunks(self) -> Iterator[list[list[str]]]:
        """Rows of stripped cells, each as wide as the header."""
        width = len(self.dialect.names)
        most, chunk, size = max(1, _CELLS // width), [], 0
        for number, row in enumerate(rows(self._path, self.dialect), start=1):
            if number > MAX_LINES:
                raise BadInputError(f"{self._path} has more than {MAX_LINES:,} rows; at most so many are read")
            chunk.append(self._even(row, number, width))
            size += sum(map(len, row))
            if len(chunk) == most or size > CHARACTERS:
                yield chunk
                chunk, size = [], 0
        if chunk:
            yield chunk

    def _even(self, row: list[str], number: int, width: int) -> list[str]:
        cells = [c.strip() for c in row]
        if len(cells) > width and not any(cells[width:]):
            return cells[:width]
        if len(cells) > width or (len(cells) == 1 < width and cells != [""]):
            hint = "; write numbers with a point, or use semicolons" if len(cells) > width else ""
            raise BadInputError(f"{self._path} row {number}: {len(cells)} cells where the header has {width}{hint}")
        self._short += len(cells) < width and any(cells)
        return cells + [""] * (width - len(cells))

    @cached_property
    def _columns(self) -> _Columns:
        names = self.dialect.names
        guesses = [TypeGuess(self.dialect.separator) for _ in names]
        count = blank = self._short = 0
        for chunk in self._chunks():
            full = [r for r in chunk if any(r)]
            count, blank = count + len(full), blank + len(chunk) - len(full)
            for guess, cells in zip(guesses, zip(*full, strict=True), strict=False):
                guess.see(pa.array(cells, pa.string()))
        kept = [i for i, name in enumerate(names) if name or not (guesses[i].empty or self._are_numbers(i, guesses))]
        kinds = [self._kind(i, guesses) for i in kept]
        named = [names[i] or (f"column_{i + 1}" if i else ROW_NAME) for i in kept]
        return _Columns(kept, named, kinds, count, blank, self._short)

    def _are_numbers(self, column: int, guesses: Sequence[TypeGuess]) -> bool:
        """Whether a first column without a name holds the numbers of rows, as pandas and R write them."""
        return column == 0 and guesses[0].kind == "int"

    def _kind(self, column: int, guesses: Sequence[TypeGuess]) -> CellType:
        if self.dialect.names[column].lower() in self._text:
            return "text"
        if guesses[column].may_be_thousands and any(g.kind == "decimal comma" for g in guesses):
            raise BadInputError(
                f"{self._path}, column {self.dialect.names[column]!r}: numbers like 1.234 beside decimal commas may be "
                "thousands; write one decimal mark"
            )
        return guesses[column].kind
