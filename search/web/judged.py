"""What a gate came to on the page: kept while the page is served, and stored nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fsearch.search.gate.outcome import GateResult


@dataclass(frozen=True, slots=True)
class Judged:
    """What a gate came to, and when; `text` : the rules as they were given, `baseline` : the model beside them."""

    number: int
    result: GateResult
    text: str
    baseline: str | None
    at: datetime
