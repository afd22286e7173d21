"""Negations: "no hat" is asked as everything but "hat", since encoders of images and captions hardly read a "no".

A contrastive encoder brings "no hat" near images of hats (NegBench: Alhamoud et al., CVPR 2025). So the positive phrase
is embedded, and an image shows the negation with one minus the chance that it shows the positive. Only a phrase that
begins with its negation is read so. In quotation marks of its own, "no parking sign" is asked as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_MARKS = {'"': '"', "\u201c": "\u201d"}
_BEGINS = re.compile(r"(?:no|not|without)\s+(?P<positive>\S.*)", re.IGNORECASE | re.DOTALL)
_HOLDS = re.compile(r"\b(?:no|not|without)\b", re.IGNORECASE)


def literal(text: str) -> str:
    """`text` without the quotation marks that the whole of it stands in."""
    inside = text[1:-1].strip()
    return inside if len(text) > 2 and _MARKS.get(text[0]) == text[-1] and inside and text[-1] not in inside else text


def positive(text: str) -> str | None:
    """What `text` is the negation of; None where it is none, or stands in quotation marks.

    >>> positive("without glasses"), positive("a hat"), positive('"no hat"')
    ('glasses', None, None)
    """
    found = _BEGINS.fullmatch(text.strip())
    return found["positive"] if found else None


def notes(texts: Iterable[str]) -> list[str]:
    """What the reader must know of the negations among the phrases asked."""
    asked = list(dict.fromkeys(texts))
    read = [f"{t!r} as all but {p!r}" for t in asked if (p := positive(t)) is not None]
    kept = [repr(t) for t in asked if positive(t) is None and literal(t) == t and _HOLDS.search(t)]
    found = []
    if read:
        found.append(
            f"read as one minus the chance that an image shows the positive phrase: {'; '.join(read)}; encoders hardly "
            "read negations (NegBench, CVPR 2025); to ask the words as they stand, put them in quotation marks of "
            "their own, as in '\"no hat\"'"
        )
    if kept:
        found.append(
            f"asked as they stand, though encoders hardly read negations: {', '.join(kept)}; begin with the negation, "
            "as in 'without glasses', to have it read"
        )
    return found
