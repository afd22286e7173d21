"""Hypotheses: phrases to ask about, read from .txt, .csv, .tsv, .jsonl, .yaml or .parquet. A file is valid as a whole,
or refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.regular_files import read_regular
from fsearch.indexer.storage.yaml_file import MAX_BYTES, read_yaml
from fsearch.search.negation import literal

TEXT_COLUMNS = ("text", "hypothesis", "phrase", "query")
MAX_WORDS = 60
MAX_HYPOTHESES = 100_000
SHIPPED = Path(__file__).parents[1] / "data" / "hypotheses"


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A phrase to ask about. `template`, if any, holds {} where the text goes before it is embedded."""

    text: str
    group: str | None = None
    template: str | None = None

    def prompts(self, templates: Sequence[str] = ()) -> tuple[str, ...]:
        """What the encoder reads: the phrase in its own template, else in each of `templates`, else as it is.

        Quotation marks around the whole phrase say that it is no negation; they are not read.
        """
        used = (self.template,) if self.template else tuple(templates) or ("{}",)
        return tuple(t.format(literal(self.text)) for t in used)


_Row = tuple[str, Hypothesis]  # (place in the file, for messages)


def read_hypotheses(path: Path) -> list[Hypothesis]:
    """The hypotheses of a file, in its order; of a shipped one where `path` is one of `shipped` and no file.

    Raises BadInputError naming the file and line of the first thing wrong.
    """
    from fsearch.indexer.storage.tabular import SUFFIXES, is_table

    if not path.is_file():
        if str(path) not in shipped():
            raise BadInputError(f"no such hypothesis file: {path}")
        path = shipped()[str(path)]
    suffix = path.suffix.lower()
    if suffix == ".txt":
        rows = _text_lines(path)
    elif suffix in (".yaml", ".yml"):
        rows = _yaml_entries(path)
    elif is_table(path):
        rows = _table_rows(path)
    else:
        raise BadInputError(f"hypothesis file {path}: use .txt, .yaml, {', '.join(SUFFIXES)}")
    found = [_checked(where, h) for where, h in rows]
    if not found:
        raise BadInputError(f"hypothesis file {path} is empty; write one phrase a line")
    if len(found) > MAX_HYPOTHESES:
        raise BadInputError(f"hypothesis file {path} holds {len(found):,} phrases; the limit is {MAX_HYPOTHESES:,}")
    _refuse_repeats(rows)
    return found


def shipped() -> dict[str, Path]:
    """The hypothesis files that come with fsearch, by the name that stands for one: `people`."""
    return {p.stem: p for p in sorted(SHIPPED.iterdir()) if p.stem != "reference"}


def table_notes(source: str) -> tuple[str, ...]:
    """What a table of hypotheses was taken for, and how many rows were read; nothing for what is no table."""
    from fsearch.indexer.storage.tabular import TableFile, is_table

    path = Path(source)
    if not is_table(path):
        return ()
    file = TableFile(path, "hypothesis file")
    file.read()
    return (f"{path} ({file.form}): {file.rows:,} rows read",)


def from_phrases(phrases: Sequence[str | Hypothesis | Sequence[str | Hypothesis]]) -> list[Hypothesis]:
    """Hypotheses from phrases, or lists of them. Raises BadInputError for none, a blank or a repeated one."""
    rows = [
        (f"phrase {i}", p if isinstance(p, Hypothesis) else Hypothesis(p.strip()))
        for i, p in enumerate(chain.from_iterable(map(_several, phrases)), start=1)
    ]
    if not rows:
        raise BadInputError('ask about something: fsearch query "dark skin tone"')
    _refuse_repeats(rows)
    return [_checked(where, h) for where, h in rows]


def asked_of(
    given: str | os.PathLike[str] | Sequence[str | Hypothesis | Sequence[str | Hypothesis]],
) -> tuple[list[Hypothesis], str]:
    """The hypotheses of a file, or those that a program gives, and where they come from: the file, or "api"."""
    if isinstance(given, str | os.PathLike):
        return read_hypotheses(Path(given)), str(given)
    return from_phrases(given), "api"


def _several(given: str | Hypothesis | Sequence[str | Hypothesis]) -> Sequence[str | Hypothesis]:
    return [given] if isinstance(given, str | Hypothesis) else given


def contrasted(phrases: Sequence[str]) -> list[str | Hypothesis]:
    """Phrases as typed, with each `A vs B` made two of one group. Raises BadInputError where a `vs` lacks a side."""
    found: list[str | Hypothesis] = []
    words = list(phrases)
    while words:
        first = words.pop(0)
        if first == "vs" or (words and words[0] == "vs" and len(words) < 2):
            raise BadInputError('vs stands between two phrases: fsearch query "dark skin" vs "light skin"')
        if words and words[0] == "vs":
            second = words[1]
            del words[:2]
            found += [Hypothesis(t.strip(), f"{first} vs {second}") for t in (first, second)]
        else:
            found.append(first)
    return found


def _text_lines(path: Path) -> list[_Row]:
    """One phrase a line; empty lines and lines that begin with # are for the reader."""
    try:
        lines = read_regular(path, MAX_BYTES).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise BadInputError(f"hypothesis file {path} is not UTF-8 text") from error
    except OSError as error:
        raise BadInputError(f"hypothesis file {path} cannot be read: {error.strerror}") from error
    named = [(f"{path} line {i}", line.strip()) for i, line in enumerate(lines, start=1)]
    return [(where, Hypothesis(line)) for where, line in named if line and not line.startswith("#")]


def _yaml_entries(path: Path) -> list[_Row]:
    """A list of phrases, or of mappings with `text` and perhaps `group` and `template`."""
    import yaml

    try:
        content = read_yaml(path, text=True)
    except OSError as error:
        raise BadInputError(f"hypothesis file {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInputError(f"hypothesis file {path} is not YAML: {str(error).splitlines()[0]}") from error
    if content is None:
        return []
    if not isinstance(content, list):
        raise BadInputError(f"hypothesis file {path} must be a list of phrases, or of mappings with 'text'")
    rows = [e if isinstance(e, Mapping) else {"text": e} for e in content]
    if rows and not any(c in row for row in rows for c in TEXT_COLUMNS):
        raise BadInputError(f"hypothesis file {path} has no 'text' (seen: {', '.join(map(str, rows[0]))})")
    return _from_rows(path, "entry", rows)


def _table_rows(path: Path) -> list[_Row]:
    from fsearch.indexer.storage.tabular import TableFile, find_column

    table = TableFile(path, "hypothesis file", (*TEXT_COLUMNS, "group", "template")).read(MAX_HYPOTHESES)
    if find_column(table.column_names, TEXT_COLUMNS) is None:
        raise BadInputError(f"hypothesis file {path} has no column 'text' (seen: {', '.join(table.column_names)})")
    lower = [n.lower() if n.lower() in (*TEXT_COLUMNS, "group", "template") else n for n in table.column_names]
    return _from_rows(path, "row", table.rename_columns(lower).to_pylist())


def _from_rows(path: Path, unit: str, rows: Iterable[Mapping[str, Any]]) -> list[_Row]:
    found = []
    for i, row in enumerate(rows, start=1):
        text = next((row[c] for c in TEXT_COLUMNS if row.get(c) is not None), "")
        if not isinstance(text, str | int | float):
            raise BadInputError(f"{path} {unit} {i}: a hypothesis is a phrase, not {type(text).__name__}")
        hypothesis = Hypothesis(str(text).strip(), _optional(row.get("group")), _optional(row.get("template")))
        found.append((f"{path} {unit} {i}", hypothesis))
    return found


def _optional(value: object) -> str | None:
    return None if value is None or _text(value).strip() == "" else _text(value)


def _text(value: object) -> str:
    """A group or template as text; a list is none, and might be of any size once it is written out."""
    if not isinstance(value, str | int | float):
        raise BadInputError(f"a group or a template is a text, not {type(value).__name__}")
    return str(value)


def _checked(where: str, hypothesis: Hypothesis) -> Hypothesis:
    words = len(hypothesis.text.split())
    if not words:
        raise BadInputError(f"{where}: the phrase is blank; write one or remove the line")
    if words > MAX_WORDS:
        raise BadInputError(f"{where}: {words:,} words; a hypothesis is a phrase of at most {MAX_WORDS}")
    if len(hypothesis.text) > 20 * MAX_WORDS:
        said = f"{len(hypothesis.text):,} characters; a hypothesis is a phrase of at most {20 * MAX_WORDS:,}"
        raise BadInputError(f"{where}: {said}")
    if hypothesis.template is not None:
        check_template(hypothesis.template, where)
    return hypothesis


def _refuse_repeats(rows: Sequence[_Row]) -> None:
    """A phrase asked twice would count twice in the false discovery rate."""
    first: dict[tuple[str, str | None], str] = {}
    for where, h in rows:
        key = (h.text.lower(), h.template)
        if key in first:
            raise BadInputError(f"{where}: {h.text!r} repeats {first[key]}; remove one")
        first[key] = where


def check_template(template: str, where: str) -> str:
    """`template`, which must hold {} once and no other brace. Raises BadInputError naming `where`."""
    if template.count("{}") != 1 or set("{}") & set(template.replace("{}", "", 1)):
        raise BadInputError(f"{where}: the template {template!r} must hold {{}} once, where the phrase goes")
    return template


def versus(phrase: str) -> list[str]:
    """'A vs B' as the three words that `contrasted` takes."""
    sides = [side.strip() for side in phrase.split(" vs ")]
    return [sides[0], "vs", sides[1]] if len(sides) == 2 and all(sides) else [phrase]
