"""How a CSV or TSV file is written: encoding, separator, quoting and names of columns, sniffed and then stated."""

from __future__ import annotations

import csv
import io
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.encoding import detect_encoding, encoding_name, open_bytes

MAX_CELL = 64 * 2**20  # characters of one cell, and of one line
MAX_ROW = 4 * MAX_CELL
_NAMES = {"\t": "tabs", ",": "commas", ";": "semicolons", "|": "bars", " ": "spaces"}
_SAMPLE_ROWS, _SAMPLE_CHARACTERS = 200, 2**20
# names that headers of our files hold; a separator that gives such names is the right one
_USUAL = frozenset(
    [
        *("image", "key", "path", "file", "filename", "file_name", "image_path", "image_id", "name", "id", "url"),
        *("loss", "label", "target", "labels", "class", "split", "prediction", "predicted", "pred", "probabilities"),
        *("probs", "logits", "scores", "text", "hypothesis", "phrase", "query", "group", "template"),
    ]
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a delimited file is written.

    Attributes
    ----------
    encoding : Python's name of it.
    separator : one character.
    quoted : whether cells may stand in double quotes.
    skip : lines before the header, such as Excel's `sep=;`.
    names : of the columns; empty where the header has none.
    """

    encoding: str
    separator: str
    quoted: bool
    skip: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        quotes = "" if self.quoted else ", no quoting"
        return f"{encoding_name(self.encoding)}, {_NAMES[self.separator]}{quotes}"


def sniff(path: Path) -> Dialect:
    """The dialect of `path`, of which the text is read up to twice. Raises BadInputError where it has none."""
    encoding = detect_encoding(path)
    sample = _sample(path, encoding)
    skip = 0
    while skip < len(sample) and not sample[skip].strip():
        skip += 1
    if skip == len(sample):
        raise BadInputError(f"{path} is empty")
    separator = None
    if sample[skip].strip().strip('"').lower().startswith("sep=") and len(sample[skip].strip().strip('"')) == 5:
        separator, skip = sample[skip].strip().strip('"')[4], skip + 1
    lines = sample[skip:]
    if not lines:
        raise BadInputError(f"{path} is empty")
    separator = separator if separator in _NAMES else _separator(lines, ".tsv" in path.suffixes[-2:])
    quoted = _is_quoted(path, encoding, separator, skip)
    table = list(itertools.islice(_rows(iter(lines), separator, quoted), 3))
    header = [n.strip().strip('"').removeprefix("# ").strip() for n in table[0]]
    if len(table) > 1 and all(len(r) == len(header) + 1 for r in table[1:]) and table[1][0] in ("1", "0"):
        header = ["", *header]  # R's row numbers, which have no name
    return Dialect(encoding, separator, quoted, skip, tuple(header))


def rows(path: Path, dialect: Dialect) -> Iterator[list[str]]:
    """The rows below the header. Raises BadInputError at a place that cannot be read."""
    with open_text(path, dialect.encoding) as lines:
        found = _rows(itertools.islice(lines, dialect.skip, None), dialect.separator, dialect.quoted)
        next(found, None)
        yield from found


@contextmanager
def open_text(path: Path, encoding: str) -> Iterator[Iterator[str]]:
    """The lines of a text file, their ends as they are."""
    with open_bytes(path) as stream, io.TextIOWrapper(stream, encoding, newline="") as text:
        yield _bounded(text, path)


def _bounded(text: io.TextIOWrapper, path: Path) -> Iterator[str]:
    while line := text.readline(MAX_CELL):
        if len(line) >= MAX_CELL:
            raise BadInputError(f"{path}: a line of more than {MAX_CELL:,} characters")
        yield line


def _rows(lines: Iterator[str], separator: str, quoted: bool, strict: bool = False) -> Iterator[list[str]]:
    """Rows of cells; lines without a character are none."""
    spaces = separator == " "
    csv.field_size_limit(max(MAX_CELL, csv.field_size_limit()))  # of the process; Python's own is 128 KiB
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    counted = _Counted(lines)
    found = csv.reader(counted, delimiter=separator, quoting=quoting, strict=strict, skipinitialspace=spaces)
    for row in found:
        counted.characters = 0
        if row:
            yield row


class _Counted:
    """The lines of a table, counted within each row, which quotes may make of any number of them."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines, self.characters = lines, 0

    def __iter__(self) -> _Counted:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.characters += len(line)
        if self.characters > MAX_ROW:
            raise BadInputError(f"a row of more than {MAX_ROW:,} characters; is a quotation mark left open?")
        return line


def _sample(path: Path, encoding: str) -> list[str]:
    """The first lines; whole ones, but for the very first."""
    found: list[str] = []
    size = 0
    try:
        with open_text(path, encoding) as lines:
            for line in itertools.islice(lines, _SAMPLE_ROWS):
                size += len(line)
                if found and size > _SAMPLE_CHARACTERS:
                    break
                found.append(line)
    except UnicodeError as error:
        raise BadInputError(f"{path} is no text in {encoding}: {str(error).splitlines()[0]}") from error
    return found


def _separator(lines: Sequence[str], tabs: bool) -> str:
    """The separator that gives usual names of columns, and rows as wide as the header."""
    order = ["\t", ",", ";", "|", " "] if tabs else [",", ";", "\t", "|", " "]

    def score(separator: str) -> tuple[float, ...]:
        best: tuple[float, ...] = (-1.0,)
        for quoted in (True, False):
            table = list(_rows(iter(lines), separator, quoted))
            header = [n.strip().strip('"').lower() for n in table[0]]
            usual = sum(n in _USUAL or n.startswith(("prob_", "p_", "logit_")) for n in header)
            if separator == " " and (len(header) < 2 or not usual):
                return best
            even = sum(len(r) in (len(header), len(header) + 1) for r in table) / len(table)
            even = even if len(header) > 1 or all(len(r) == 1 for r in table) else 0.0
            best = max(best, (min(usual, 2), round(even, 2), len(header) > 1, -order.index(separator)))
        return best

    return max(order, key=score)


def _is_quoted(path: Path, encoding: str, separator: str, skip: int) -> bool:
    """Whether double quotes enclose cells, or are characters like others, as in captions of tab-separated files.

    Raises BadInputError where they do neither, so that rows would be swallowed.
    """
    with open_text(path, encoding) as lines:
        if not any('"' in line for line in lines):
            return True
    with open_text(path, encoding) as lines:
        plain = _are_plain(itertools.islice(lines, skip, None), separator)
    with open_text(path, encoding) as lines:
        fault = _fault(itertools.islice(lines, skip, None), separator)
    if fault is None and not (separator == "\t" and plain == "broken"):
        return True
    if plain == "broken" or (plain == "even" and separator == "\t"):
        return False
    raise BadInputError(f"{path} {fault}; is a quotation mark left open? Double those inside of a cell")


def _are_plain(lines: Iterator[str], separator: str) -> str:
    """What rows look like with quotes as characters: "uneven", "even", or even with "broken" quotes only."""
    width, broken, whole = 0, 0, 0
    for line in lines:
        cells = line.rstrip("\r\n").split(separator)
        if cells == [""]:
            continue
        width = width or len(cells)
        if len(cells) != width:
            return "uneven"
        for cell in cells if '"' in line else ():
            if cell.startswith('"'):
                closed = len(cell) > 1 and cell.endswith('"') and '"' not in cell[1:-1].replace('""', "")
                whole, broken = whole + closed, broken + (not closed)
    return "broken" if broken and (not whole or separator == "\t") else "even"


def _fault(lines: Iterator[str], separator: str) -> str | None:
    """Where quoted cells break RFC 4180, or hold what looks like rows of the table; None where nowhere."""
    numbers: Counter[int] = Counter()
    width, row = 0, 0
    try:
        for row, cells in enumerate(_rows(lines, separator, quoted=True, strict=True)):
            width = width or len(cells)
            numbers.update(i for i, c in enumerate(cells) if _is_number(c))
            if not any("\n" in c or "\r" in c for c in cells):
                continue
            inner = [line for c in cells for line in c.splitlines()[1:]]
            likely = [i for i, n in numbers.items() if n > row // 2]
            if likely and any(_looks_like_row(line, separator, width, likely) for line in inner):
                return f"row {row}: a quoted cell holds lines that look like rows"
    except csv.Error as error:
        return f"row {row + 1}: {error}"
    return None


def _looks_like_row(line: str, separator: str, width: int, numbers: Sequence[int]) -> bool:
    cells = line.split(separator)
    return len(cells) == width > 1 and all(_is_number(cells[i]) for i in numbers if i < width)


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True
