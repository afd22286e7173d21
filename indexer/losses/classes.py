"""The classes of a model as one object: their names in the order of its outputs, where these came from, and how labels
are read as classes. An index is never taken for a name; what may be read in two ways is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.column_types import text_of

MISSING = -1  # class number of an image without a label
FROM_COLUMNS = "the names of the columns"
_NO_LABEL = frozenset({"", "na", "n/a", "nan", "none", "null", "?"})
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class TrueLabels:
    """What is known of the images' labels: the classes of an image folder, sorted, and every label as text."""

    folders: tuple[str, ...] = ()
    vocabulary: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a model's outputs.

    Attributes
    ----------
    names : in the order of the outputs; empty where they are not known.
    origin : where names and order came from.
    index_base : labels that are numbers count the classes from it; None where that was not said.
    folders : names of an image folder's classes in torchvision's order, taken where no others are known and they fit.
    vocabulary : every label of the data as text, where labels come in batches; empty where they come at once.
    """

    names: tuple[str, ...] = ()
    origin: str = ""
    index_base: int | None = None
    folders: tuple[str, ...] = ()
    vocabulary: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.names)

    def __str__(self) -> str:
        more = f", … ({len(self.names):,})" if len(self.names) > _SHOWN else ""
        return f"{', '.join(self.names[:_SHOWN])}{more}, from {self.origin}"

    def name(self, number: int) -> str | None:
        """The name of a class, or its number as text; None for MISSING."""
        if number == MISSING:
            return None
        return self.names[number] if self.names else str(number)


@dataclass(frozen=True, slots=True)
class ReadLabels:
    """Labels read as classes.

    Attributes
    ----------
    numbers : (n,) int64, the place of each among the outputs; MISSING for none.
    classes : what they were read by.
    rule : how, where it is not by equal names: for the user to see.
    certain : whether no other reading was possible.
    """

    numbers: NDArray[np.int64]
    classes: Classes
    rule: str = ""
    certain: bool = True


def of_columns(given: Sequence[str], columns: Sequence[str], path: Path) -> tuple[tuple[str, ...], str]:
    """Names of the classes of `columns`, by what these are called and by what the user gave, and their origin.

    Columns that are called as the given names are these, in whatever order; numbers of columns count the given names.
    Raises BadInputError where both contradict each other.
    """
    if not given or not columns:
        return (tuple(given), "--classes") if given else (tuple(columns), FROM_COLUMNS)
    if set(given) == set(columns):
        return tuple(columns), "the names of the columns, as --classes says"
    numbers = [_numbered(c) for c in columns]
    if all(map(_integer, numbers)):
        places = sorted(map(int, numbers))
        if len(given) == len(columns) and places == list(range(places[0], places[0] + len(places))) and places[0] < 2:
            return tuple(given[int(n) - places[0]] for n in numbers), "--classes"
        if places[0] >= 0 and places[-1] < len(given):
            return tuple(given[int(n)] for n in numbers), "--classes, by the numbers of the columns"
        if len(given) != len(columns):
            return tuple(given), "--classes"  # too many or too few, which is refused
        raise BadInputError(
            f"{path}: the columns' numbers ({_some(columns)}) skip, so {len(given)} --classes do not fit"
        )
    if set(given) & set(columns):
        raise BadInputError(
            f"{path}: the columns are called {_some(columns)}, but --classes {_some(given)}; give all of them"
        )
    return tuple(given), "--classes, by the order of the columns"


def read_labels(labels: Sequence[Any], classes: Classes, count: int, places: Sequence[str]) -> ReadLabels:
    """Read n labels as `count` classes; all labels are read by one rule. `places` tell messages whose label it is.

    Raises BadInputError where a label is no class, where there are more or fewer names than classes, and where labels
    may be read in several ways.
    """
    texts = [None if (t := text_of(v)) is None else t.strip() for v in labels]
    seen = classes.vocabulary or frozenset(t for t in texts if t is not None)
    if not classes.names and len(classes.folders) == count and not all(map(_integer, seen)):
        classes = replace(classes, names=classes.folders, origin="the folders' names, in torchvision's order")
    if classes.names and len(classes.names) != count:
        raise BadInputError(
            f"{len(classes.names)} class names for predictions of {count} classes; they must be as many"
        )
    found = _rule(classes, count, seen) or _rule(classes, count, {t for t in seen if t.lower() not in _NO_LABEL})
    if found is None:
        wrong = next((i for i, t in enumerate(texts) if t is not None and not _known(t, classes, count)), 0)
        raise BadInputError(_unknown(texts[wrong] or "", classes, count, places[wrong]))
    table, rule, certain = found
    numbers = [MISSING if t is None else table.get(t, MISSING) for t in texts]
    return ReadLabels(np.array(numbers, np.int64), classes, rule, certain)


_Rule = tuple[Mapping[str, int], str, bool]


def _rule(classes: Classes, count: int, seen: Collection[str]) -> _Rule | None:
    """The first way to read all labels that are `seen`: number by label, the rule in words, whether it is certain."""
    if classes.index_base is not None:
        return _by_index(seen, count, classes.index_base, True)
    if not classes.names:
        return _by_truth(seen, count) or _by_index(seen, count, 0, "0" in set(map(_plain, seen)))
    exact = {name: i for i, name in enumerate(classes.names)}
    if all(t in exact for t in seen):
        _refuse_gap(classes, seen)
        return exact, "", True
    for same, rule in (
        (_plain, "as numbers"),
        (str.casefold, "without regard to case"),
        (_numbered, "by their number"),
    ):
        table = _by_likeness(classes.names, seen, same)
        if table is not None:
            return table, f"labels are names of classes, {rule}", True
    named_by_number = all(_numbered(n) != n or _integer(n) for n in classes.names)
    if named_by_number:
        return _by_truth(seen, count, classes.names.index("1")) if set(classes.names) == {"0", "1"} else None
    if {n.lower() for n in classes.names} == {"true", "false"} and seen and set(map(_plain, seen)) <= {"0", "1"}:
        table = {t: [n.lower() for n in classes.names].index("true" if _plain(t) == "1" else "false") for t in seen}
        return table, "1 is true and 0 is false", True
    if classes.origin == FROM_COLUMNS and list(classes.names) != sorted(classes.names):
        return None  # an encoder of labels sorts; the columns do not
    return _by_index(seen, count, 0, "0" in set(map(_plain, seen)))


def _by_index(seen: Iterable[str], count: int, base: int, certain: bool) -> _Rule | None:
    table = {t: int(_plain(t)) - base for t in seen if _integer(t)}
    if len(table) < len(set(seen)) or not all(0 <= i < count for i in table.values()):
        return None
    return table, f"labels count the classes from {base}", certain


def _by_truth(seen: Collection[str], count: int, one: int = 1) -> _Rule | None:
    """Labels true and false of two outputs that have no name, or are called 0 and 1; `one` is the place of 1."""
    if count != 2 or not seen or not {t.lower() for t in seen} <= {"true", "false"}:
        return None
    return {t: one if t.lower() == "true" else 1 - one for t in seen}, "false is 0 and true is 1", True


def _by_likeness(names: Sequence[str], seen: Iterable[str], same: Any) -> dict[str, int] | None:
    """Number by label, where each is like the name of one class, and no two names are alike."""
    likes = {same(name): i for i, name in enumerate(names)}
    table = {t: likes[same(t)] for t in seen if same(t) in likes}
    return table if len(likes) == len(names) and len(table) == len(set(seen)) and table else None


def _plain(text: str) -> str:
    """A number without leading zeros or `.0`; other text as it is."""
    match = re.fullmatch(r"([+-]?)0*(\d+)(?:\.0*)?", text)
    return text if match is None else match[1].replace("+", "") + match[2]


def _numbered(name: str) -> str:
    """The number in names such as LABEL_3 and class3; other names as they are."""
    match = re.fullmatch(r"(?i:label|class|c)[ _-]?(\d+)", name)
    return _plain(match[1]) if match else _plain(name)


def _integer(text: str) -> bool:
    return re.fullmatch(r"-?\d+", _plain(text)) is not None


def _refuse_gap(classes: Classes, seen: Collection[str]) -> None:
    """Raise BadInputError where columns are numbers that skip, and labels may as well count the columns."""
    if classes.origin != FROM_COLUMNS or not all(_integer(n) for n in classes.names):
        return
    numbers = sorted(int(_plain(n)) for n in classes.names)
    skips = numbers != list(range(numbers[0], numbers[0] + len(numbers)))
    if skips and set(seen) != set(classes.names) and all(0 <= int(_plain(t)) < len(numbers) for t in seen):
        raise BadInputError(
            f"the columns' numbers skip ({_some(classes.names)}), so a label may name a column or count them; say "
            f"--classes {','.join(classes.names[:_SHOWN])} if it names one, or --index-base 0"
        )


def _known(text: str, classes: Classes, count: int) -> bool:
    if text.lower() in _NO_LABEL:
        return True
    if not classes.names or (classes.index_base is not None and _integer(text)):
        base = classes.index_base or 0
        return _integer(text) and 0 <= int(_plain(text)) - base < count
    return text in classes.names


def _unknown(text: str, classes: Classes, count: int, place: str) -> str:
    """What is wrong with a label that is no class, and what to do."""
    numbers = not classes.names or all(map(_integer, classes.names))
    first = min((int(_plain(n)) for n in classes.names), default=0) if numbers else 0
    if classes.index_base is not None:
        return f"{place}: label {text} does not count {count} classes from {classes.index_base} (--index-base)"
    if numbers and _integer(text):
        even = sorted(int(_plain(n)) for n in classes.names) in ([], list(range(first, first + count)))
        ends = f"{first} to {first + count - 1}" if even else _some(classes.names)
        other = 1 - first if first in (0, 1) else 0
        return (
            f"{place}: label {text} lies outside the {count} classes ({ends}); if labels count the classes from "
            f"{other}, say --index-base {other}"
        )
    if _integer(text):
        return (
            f"{place}: label {text} is no name of a class ({_some(classes.names)}); if labels count the classes in "
            "this order, say --index-base 0, or 1"
        )
    seen = f"known are {_some(classes.names)}" if classes.names else "give the names in the model's order: --classes"
    return f"{place}: unknown class {text!r}; {seen}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
