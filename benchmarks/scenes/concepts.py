"""What a scene shows, the words for it, and captions: things, places, colours, weather and the camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

THINGS = (
    *("car", "house", "tree", "fish", "ball", "star", "key", "cup", "boat", "mushroom", "umbrella", "cat", "clock"),
    *("ladder", "number"),
)
PLACES = (
    *("meadow", "desert", "sea", "snow", "brick wall", "wooden table", "night sky", "chequered floor"),
    *("temple", "flower bed", "cardboard"),
)
COLOURS = {
    "red": (205, 40, 35),
    "green": (45, 150, 60),
    "blue": (45, 80, 205),
    "yellow": (235, 205, 50),
    "white": (240, 240, 240),
    "black": (28, 28, 30),
    "purple": (130, 55, 160),
    "orange": (240, 130, 30),
}
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True, slots=True)
class Scene:
    """The attributes of one scene; `details` is the seed of all that carries none, `digit` counts for a number only."""

    thing: str
    place: str
    colour: str
    count: int
    large: bool
    weather: str
    light: str
    shot: str
    framing: str
    digit: int
    details: int


def sample(count: int, seed: int) -> list[Scene]:
    """`count` scenes; the same count and seed give the same."""
    rng = np.random.default_rng([seed, 64])
    things = rng.choice(THINGS, count, p=_shares(len(THINGS)))
    places = rng.choice(PLACES, count, p=_shares(len(PLACES)))
    colours = rng.choice(list(COLOURS), count)
    counts = rng.choice([1, 2, 3], count, p=[0.6, 0.22, 0.18])
    large = rng.random(count) < 0.6
    weathers = rng.choice(["clear", "rain", "fog"], count, p=[0.7, 0.15, 0.15])
    lights = rng.choice(["normal", "dim", "bright"], count, p=[0.64, 0.2, 0.16])
    shots = rng.choice(["sharp", "blurry", "grainy", "grey"], count, p=[0.58, 0.15, 0.12, 0.15])
    framings = rng.choice(["plain", "tilted", "border"], count, p=[0.7, 0.18, 0.12])
    digits, details = rng.integers(0, 10, count), rng.integers(0, 2**31, count)
    columns = (things, places, colours, counts, large, weathers, lights, shots, framings, digits, details)
    return [Scene(*(v.item() for v in row)) for row in zip(*columns, strict=True)]


@dataclass(frozen=True, slots=True)
class Concept:
    """One thing a scene may show: `wordings` are phrases of their own; a caption joins one of each of some families."""

    name: str
    family: str
    holds: Callable[[Scene], bool]
    wordings: tuple[str, ...]


def _is(attribute: str, *values: object) -> Callable[[Scene], bool]:
    return lambda s: getattr(s, attribute) in values


def _number(digit: int) -> Callable[[Scene], bool]:
    return lambda s: s.thing == "number" and s.digit == digit


_THING_WORDS = {
    "car": ("a car", "an automobile"),
    "house": ("a house", "a small building"),
    "tree": ("a tree",),
    "fish": ("a fish",),
    "ball": ("a ball",),
    "star": ("a star",),
    "key": ("a key",),
    "cup": ("a cup", "a mug"),
    "boat": ("a boat", "a sailing boat"),
    "mushroom": ("a mushroom", "a toadstool"),
    "umbrella": ("an umbrella",),
    "cat": ("a cat", "the face of a cat"),
    "clock": ("a clock",),
    "ladder": ("a ladder",),
    "number": ("a handwritten number", "a digit on a sign"),
}
_PLACE_WORDS = {
    "meadow": ("in a meadow", "on the grass"),
    "desert": ("in the desert", "on sand"),
    "sea": ("at sea", "on the water"),
    "snow": ("in the snow",),
    "brick wall": ("in front of a brick wall",),
    "wooden table": ("on a wooden table",),
    "night sky": ("at night", "under the stars"),
    "chequered floor": ("on a chequered floor",),
    "temple": ("before a temple",),
    "flower bed": ("among flowers",),
    "cardboard": ("on cardboard", "on a plain background"),
}
CONCEPTS = (
    *(Concept(t, "thing", _is("thing", t), _THING_WORDS[t]) for t in THINGS),
    *(Concept(f"number {n}", "thing", _number(i), (f"the number {n}",)) for i, n in enumerate(NUMBERS)),
    Concept("vehicle", "thing", _is("thing", "car", "boat"), ("a vehicle",)),
    Concept("living", "thing", _is("thing", "tree", "fish", "mushroom", "cat"), ("something alive",)),
    *(Concept(p, "place", _is("place", p), _PLACE_WORDS[p]) for p in PLACES),
    Concept("outdoors", "place", _is("place", "meadow", "desert", "sea", "snow", "night sky"), ("outdoors",)),
    *(Concept(c, "colour", _is("colour", c), (f"something {c}",)) for c in COLOURS),
    Concept("single", "count", _is("count", 1), ("only one of them",)),
    Concept("pair", "count", _is("count", 2), ("two of them", "a pair")),
    Concept("three", "count", _is("count", 3), ("three of them",)),
    Concept("several", "count", _is("count", 2, 3), ("several of them",)),
    Concept("large", "size", _is("large", True), ("large",)),
    Concept("small", "size", _is("large", False), ("small", "tiny")),
    Concept("rain", "weather", _is("weather", "rain"), ("in the rain", "rainy weather")),
    Concept("fog", "weather", _is("weather", "fog"), ("in fog", "misty")),
    Concept("dim", "light", _is("light", "dim"), ("in dim light", "a dark picture")),
    Concept("bright", "light", _is("light", "bright"), ("overexposed", "in bright light")),
    Concept("blurry", "shot", _is("shot", "blurry"), ("out of focus", "a blurry picture")),
    Concept("grainy", "shot", _is("shot", "grainy"), ("a grainy picture",)),
    Concept("grey", "shot", _is("shot", "grey"), ("in black and white", "without colour")),
    Concept("tilted", "framing", _is("framing", "tilted"), ("tilted",)),
    Concept("border", "framing", _is("framing", "border"), ("with a border", "framed")),
)
# of nothing that a scene shows, in words that no caption has
UNKNOWN = (
    *("a giraffe", "a wheelchair", "a frog", "a bicycle", "a guitar", "a pizza", "an airplane", "a smiling woman"),
    *("a horse", "a laptop", "a crowd of people", "a steam train", "a dentist", "a penguin", "a swimming pool"),
    *("a newspaper", "a waterfall", "a hospital corridor", "a violin", "a bearded man", "a microscope", "fireworks"),
)


def pairs() -> list[tuple[Concept, Concept, str]]:
    """Forty conjunctions, drawn once and for all."""
    rng = np.random.default_rng(11)
    by_family: dict[str, list[Concept]] = {}
    for concept in CONCEPTS:
        by_family.setdefault(concept.family, []).append(concept)
    things = [c for c in by_family["thing"] if not c.name.startswith("number ")]
    others = [c for f in ("place", "colour", "weather", "light", "shot") for c in by_family[f]]
    found: dict[str, tuple[Concept, Concept, str]] = {}
    while len(found) < 40:
        a, b = things[int(rng.integers(len(things)))], others[int(rng.integers(len(others)))]
        text = (
            f"{a.wordings[0]}, {b.wordings[0]}"
            if b.family in ("colour", "shot")
            else f"{a.wordings[0]} {b.wordings[0]}"
        )
        found[text] = a, b, text
    return list(found.values())


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """One caption: three to six things that are true of `scene`, or, one time in four, one or two."""
    true: dict[str, list[Concept]] = {}
    for concept in CONCEPTS:
        if concept.holds(scene):
            true.setdefault(concept.family, []).append(concept)
    families = list(true)
    weights = np.array([3.0 if f in ("thing", "place") else 1.0 for f in families])
    wanted = int(rng.integers(1, 3) if rng.random() < 0.25 else rng.integers(3, 7))
    chosen = rng.choice(len(families), min(len(families), wanted), replace=False, p=weights / weights.sum())
    words = []
    for i in chosen:
        concept = true[families[i]][int(rng.integers(len(true[families[i]])))]
        words.append(concept.wordings[int(rng.integers(len(concept.wordings)))])
    glue = (" ", ", ", " and ")[int(rng.integers(3))]
    lead = ("", "", "a photo: ", "a picture of ")[int(rng.integers(4))]
    return lead + glue.join(words)


def _shares(count: int) -> np.ndarray:
    """Uneven shares, so that some are rare: from 1 to 0.3."""
    weights = np.linspace(1.0, 0.3, count)
    return np.asarray(weights / weights.sum())
