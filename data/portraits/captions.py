"""Captions: true sentences about a portrait in varied wording, from a bare "bald" to a full description."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from fsearch.data.portraits.attributes import Portrait
from fsearch.data.portraits.concepts import CONCEPTS, Concept

# No "man" or "woman": a portrait has no such attribute, and a word that means nothing must count as unseen.
_SUBJECTS = ("a person", "a person", "someone", "a face")
_SHOTS = ("a photo of", "a picture of", "a portrait of", "an image of", "a close-up of")
_MENTIONS = np.array([0.40, 0.27, 0.19, 0.14])
_WORD = re.compile(r"[a-z]+")
# Words the grammar adds between the wordings.
_GLUE = "with and who is of people persons photos pictures portraits the a an"


@dataclass(slots=True)
class _Parts:
    """One caption's wordings, by the place in a sentence where each may stand."""

    nouns: list[str]
    traits: list[str]
    places: list[str]
    shot: str | None = None


def caption(portrait: Portrait, rng: np.random.Generator) -> str:
    """One true caption of 1 to 4 of the portrait's concepts, worded at random by `rng`."""
    chosen = _choose(portrait, rng)
    parts = _word(chosen, rng)
    if len(chosen) <= 2 and rng.random() < 0.45:
        return _bare(parts, rng)
    return _sentence(parts, rng)


def known_words() -> frozenset[str]:
    """Every lower-case word that a caption can contain: what an encoder trained on captions has seen."""
    text = " ".join((*_SUBJECTS, *_SHOTS, _GLUE, *(w for c in CONCEPTS for w in c.wordings)))
    return frozenset(_WORD.findall(text.lower()))


def _choose(portrait: Portrait, rng: np.random.Generator) -> list[Concept]:
    true = [c for c in CONCEPTS if c.holds(portrait)]
    weights = np.array([c.salience for c in true])
    order = rng.choice(len(true), size=len(true), replace=False, p=weights / weights.sum())
    wanted = 1 + int(rng.choice(len(_MENTIONS), p=_MENTIONS))
    chosen: dict[str, Concept] = {}
    for i in order:
        chosen.setdefault(true[i].family, true[i])
        if len(chosen) == wanted:
            break
    return list(chosen.values())


def _word(concepts: list[Concept], rng: np.random.Generator) -> _Parts:
    parts = _Parts([], [], [])
    for concept in concepts:
        wording = concept.wordings[int(rng.integers(len(concept.wordings)))]
        if wording in concept.nouns:
            parts.nouns.append(wording)
        elif wording in concept.traits:
            parts.traits.append(wording)
        elif wording in concept.places:
            parts.places.append(wording)
        elif parts.shot is None:
            parts.shot = wording
    return parts


def _bare(parts: _Parts, rng: np.random.Generator) -> str:
    pieces = [*parts.traits, *parts.nouns, *parts.places]
    if parts.shot:
        pieces.append(parts.shot)
    glue = (" and ", ", ", " ")[int(rng.integers(3))]
    return glue.join(pieces)


def _sentence(parts: _Parts, rng: np.random.Generator) -> str:
    subject = _SUBJECTS[int(rng.integers(len(_SUBJECTS)))]
    traits = list(parts.traits)
    leading = [t for t in traits if " " not in t]
    if leading and subject != "someone" and rng.random() < 0.6:
        traits.remove(leading[0])
        subject = subject.replace("a ", f"a {leading[0]} ", 1)
    text = subject
    if parts.nouns:
        text += " with " + _listed(parts.nouns)
    if traits:
        text += (" who is ", " ", ", ")[int(rng.integers(3))] + _listed(traits)
    if parts.places:
        text += " " + " ".join(parts.places)
    if parts.shot:
        return f"{parts.shot} of {text}"
    if rng.random() < 0.5:
        return f"{_SHOTS[int(rng.integers(len(_SHOTS)))]} {text}"
    return text


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]
