"""Captions: true sentences about a portrait in varied wording, from a bare "bald" to a full description."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from fsearch.data.portraits.attributes import Portrait
from fsearch.data.portraits.concept import Concept
from fsearch.data.portraits.concepts import CONCEPTS

# Subjects that say nothing. A word that means nothing must count as unseen, so each further one is a concept's.
_SUBJECTS = ("person", "person", "person", "someone", "face", "people")
_PLURALS = frozenset({"people", "men", "women", "boys", "girls", "children", "kids", "adults"})
_SHOTS = ("a photo of", "a picture of", "a portrait of", "an image of", "a close-up of")
_LEADS = 0.35  # share of a concept's mentions that use a word of its `leads`, where it has any
_MENTIONS = np.array([0.40, 0.27, 0.19, 0.14])
_WORD = re.compile(r"[a-z]+")
# Words the grammar adds between the wordings.
_GLUE = "with and who is are of people persons photos pictures portraits the a an"


@dataclass(slots=True)
class _Parts:
    """One caption's wordings, by the place in a sentence where each may stand."""

    nouns: list[str]
    traits: list[str]
    places: list[str]
    leads: list[str]
    subject: str | None = None
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
    parts = _Parts([], [], [], [])
    for concept in concepts:
        wordings = concept.leads if concept.leads and rng.random() < _LEADS else concept.wordings
        wording = wordings[int(rng.integers(len(wordings)))]
        if wording in concept.leads:
            parts.leads.append(wording)
        elif wording in concept.subjects:
            parts.subject = wording
        elif wording in concept.nouns:
            parts.nouns.append(wording)
        elif wording in concept.traits:
            parts.traits.append(wording)
        elif wording in concept.places:
            parts.places.append(wording)
        elif parts.shot is None:
            parts.shot = wording
    return parts


def _bare(parts: _Parts, rng: np.random.Generator) -> str:
    who = [*parts.leads, parts.subject or ""]
    if parts.leads and not parts.subject and (parts.nouns or rng.random() < 0.5):  # "white, a hat" is no white hat
        who[-1] = ("person", "people")[int(rng.integers(2))]
    named = " ".join(who).strip()
    if named and who[-1] and rng.random() < 0.5:
        named = _with_article(named)
    pieces = [*parts.traits, *([named] if named else []), *parts.nouns, *parts.places]
    if parts.shot:
        pieces.append(parts.shot)
    glue = (" and ", ", ", " ")[int(rng.integers(3))]
    return glue.join(pieces)


def _sentence(parts: _Parts, rng: np.random.Generator) -> str:
    subject = parts.subject or _SUBJECTS[int(rng.integers(len(_SUBJECTS)))]
    if parts.leads and subject in ("someone", "face"):
        subject = "person"
    traits = list(parts.traits)
    leading = [t for t in traits if " " not in t]
    leads = list(parts.leads)
    if leading and subject != "someone" and rng.random() < 0.6:
        traits.remove(leading[0])
        leads.insert(0, leading[0])
    text = _with_article(" ".join([*leads, subject]))
    if parts.nouns:
        text += " with " + _listed(parts.nouns)
    if traits:
        whose = " who are " if subject in _PLURALS else " who is "
        text += (whose, " ", ", ")[int(rng.integers(3))] + _listed(traits)
    if parts.places:
        text += " " + " ".join(parts.places)
    if parts.shot:
        return f"{parts.shot} of {text}"
    if rng.random() < 0.5:
        return f"{_SHOTS[int(rng.integers(len(_SHOTS)))]} {text}"
    return text


def _with_article(named: str) -> str:
    """The words of a subject, the noun last, as a sentence has them."""
    if named == "someone" or named.split()[-1] in _PLURALS:
        return named
    return f"{'an' if named[0] in 'aeiou' else 'a'} {named}"


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]
