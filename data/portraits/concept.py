"""A concept: what may be true of a portrait, and the words people use for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fsearch.data.portraits.attributes import Portrait

Predicate = Callable[[Portrait], bool]


@dataclass(frozen=True, slots=True)
class Concept:
    """One thing a portrait may show.

    Attributes
    ----------
    family : concepts of one family describe the same attribute; a caption uses at most one of them.
    holds : whether it is true of a portrait.
    nouns : wordings that follow "with" ("dark skin").
    traits : wordings that follow "a person who is" or stand after a comma ("wearing glasses").
    places : wordings that end a sentence ("at the beach").
    shots : wordings that replace "a photo" ("a blurry photo").
    subjects : wordings that replace "person", singular or plural ("woman", "children").
    leads : wordings that stand before the subject ("old").
    salience : how often a caption mentions it, relative to others that hold.
    """

    name: str
    family: str
    holds: Predicate
    nouns: tuple[str, ...] = ()
    traits: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    shots: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    leads: tuple[str, ...] = ()
    salience: float = 1.0

    @property
    def wordings(self) -> tuple[str, ...]:
        """Every wording of this concept, each usable as a hypothesis of its own."""
        return self.nouns + self.traits + self.places + self.shots + self.subjects + self.leads
