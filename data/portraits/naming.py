"""From a phrase back to the concepts it names, so that what a portrait was drawn to show can be compared with it."""

from __future__ import annotations

import re

from fsearch.data.portraits.concept import Concept
from fsearch.data.portraits.concepts import phrases


def named_in(phrase: str) -> tuple[Concept, ...]:
    """The concepts that a phrase names, by their longest wordings; empty for a phrase in other words."""
    found, left = [], phrase.lower()
    for wording, concept in sorted(phrases(), key=lambda pair: -len(pair[0])):
        rest = re.sub(rf"\b{re.escape(wording)}\b", " ", left)
        if rest != left:
            found.append(concept)
            left = rest
    return tuple(found)
