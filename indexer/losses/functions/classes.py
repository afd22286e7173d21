"""Labels as class numbers: by name where names are known, by number else; what fits neither is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.errors import BadInputError

MISSING = -1


def class_numbers(labels: Sequence[Any], classes: Sequence[str], count: int, names: Sequence[str]) -> NDArray[np.int64]:
    """(n,) int64: each label's number among `count` classes; MISSING for None.

    `names` say whose label it is, in messages. Raises BadInputError for an unknown name, a number outside the classes,
    or as many names as there are not classes.
    """
    if classes and len(classes) != count:
        raise BadInputError(f"{len(classes)} class names for predictions of {count} classes; they must be as many")
    known = {name: i for i, name in enumerate(classes)}
    return np.array([_number(label, known, count, name) for label, name in zip(labels, names, strict=True)], np.int64)


def _number(label: Any, known: dict[str, int], count: int, name: str) -> int:
    if label is None or (isinstance(label, float) and np.isnan(label)):
        return MISSING
    text = str(label).strip()
    if text in known:
        return known[text]
    try:
        number = int(label) if isinstance(label, bool) or float(text).is_integer() else None
        number = int(float(text)) if number is not None and not isinstance(label, bool) else number
    except (ValueError, OverflowError):
        number = None
    if number is None:
        seen = f"known are {', '.join(list(known)[:8])}" if known else "give the names in the model's order: --classes"
        raise BadInputError(f"{name}: unknown class {text!r}; {seen}")
    if not 0 <= number < count:
        raise BadInputError(f"{name}: label {number} lies outside the {count} classes (0 to {count - 1})")
    return number


def class_name(number: int, classes: Sequence[str]) -> str | None:
    """The name of a class, or its number as text; None for MISSING."""
    if number == MISSING:
        return None
    return classes[number] if classes else str(number)
