"""Which phrases of a stored run a page lists: of one verdict, one group, one slice, as its address says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from fsearch.search.answer import Answer

_OF = {"verdict": "verdict", "group": "group", "slice": "within"}  # the name in an address, and the answer's own


@dataclass(frozen=True, slots=True)
class Filter:
    """What was asked for, by name; what is not named, or empty, leaves nothing out."""

    asked: Mapping[str, str]

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Filter:
        """From the query of an address."""
        return cls({name: query[name] for name in _OF if query.get(name)})

    def keeps(self, answer: Answer) -> bool:
        """Whether a phrase is listed."""
        return all(str(getattr(answer, _OF[name]) or "") == value for name, value in self.asked.items())

    @property
    def query(self) -> str:
        """What an address needs to say the same."""
        return f"?{urlencode(self.asked)}" if self.asked else ""

    def choices(self, answers: Sequence[Answer]) -> list[tuple[str, list[str]]]:
        """What can be chosen: names, each with its values; nothing for what is the same of all phrases."""
        found = {name: sorted({str(getattr(a, own) or "") for a in answers}) for name, own in _OF.items()}
        return [(name, [v for v in values if v]) for name, values in found.items() if len(values) > 1]


EVERYTHING = Filter({})
