"""The concepts a portrait can show, each with the words people use for it.

A concept is a predicate on the true attributes plus its wordings. Captions are assembled from the wordings,
and a phrase is judged against the predicate, so words and truth cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Iterator

from fsearch.data.portraits.concept import Concept, Predicate
from fsearch.data.portraits.people import PEOPLE


def _tone(low: int, high: int) -> Predicate:
    return lambda p: low <= p.skin_tone <= high


def _style(value: str) -> Predicate:
    return lambda p: p.hair_style == value


def _colour(*values: str) -> Predicate:
    return lambda p: p.hair_style != "bald" and p.hair_colour in values


def _eyewear(*values: str) -> Predicate:
    return lambda p: p.eyewear in values


def _hat(*values: str) -> Predicate:
    return lambda p: p.hat in values


def _beard(*values: str) -> Predicate:
    return lambda p: p.beard in values


def _background(*values: str) -> Predicate:
    return lambda p: p.background in values


def _expression(*values: str) -> Predicate:
    return lambda p: p.expression in values


_SKIN = (
    Concept("very light skin", "skin", _tone(1, 2), ("very light skin", "pale skin", "very fair skin"), ("pale",)),
    Concept(
        "light skin",
        "skin",
        _tone(1, 4),
        ("light skin", "a light skin tone", "light skin tone", "a light complexion", "fair skin", "lighter skin"),
        ("light-skinned",),
    ),
    Concept(
        "medium skin", "skin", _tone(5, 6), ("medium skin", "medium skin tone", "olive skin", "tan skin"), ("tanned",)
    ),
    Concept(
        "dark skin",
        "skin",
        _tone(7, 10),
        (
            "dark skin",
            "dark skin tone",
            "a dark skin tone",
            "a dark complexion",
            "deeply pigmented skin",
            "darker skin",
        ),
        ("dark-skinned",),
        leads=("black",),
        salience=1.5,
    ),
    Concept("very dark skin", "skin", _tone(9, 10), ("very dark skin", "a deep skin tone", "ebony skin", "black skin")),
)

_HAIR = (
    Concept(
        "bald",
        "hair",
        _style("bald"),
        ("no hair", "a bald head", "a shaved head"),
        ("bald", "hairless", "without hair"),
        salience=1.4,
    ),
    Concept("short hair", "hair", _style("short"), ("short hair", "hair cut short", "a short haircut")),
    Concept("long hair", "hair", _style("long"), ("long hair", "flowing hair", "long straight hair")),
    Concept("curly hair", "hair", _style("curly"), ("curly hair", "curls", "frizzy hair")),
    Concept("hair in a bun", "hair", _style("bun"), ("hair in a bun", "a bun", "hair tied up")),
    Concept("black hair", "hair colour", _colour("black"), ("black hair", "jet black hair")),
    Concept("brown hair", "hair colour", _colour("brown"), ("brown hair", "brunette hair")),
    Concept("blond hair", "hair colour", _colour("blond"), ("blond hair", "blonde hair", "yellow hair"), ("blonde",)),
    Concept("red hair", "hair colour", _colour("red"), ("red hair", "ginger hair"), ("redheaded",)),
    # named often: "white" alone is a word for skin, which "white hair" is else taken for
    Concept(
        "grey hair",
        "hair colour",
        _colour("grey"),
        ("grey hair", "gray hair", "white hair", "silver hair"),
        salience=2.5,
    ),
)

_WORN = (
    Concept(
        "glasses",
        "eyewear",
        _eyewear("glasses"),
        ("glasses", "eyeglasses", "spectacles", "reading glasses"),
        ("wearing glasses",),
        salience=1.4,
    ),
    Concept(
        "sunglasses",
        "eyewear",
        _eyewear("sunglasses"),
        ("sunglasses", "dark glasses", "shades"),
        ("wearing sunglasses",),
        salience=1.4,
    ),
    Concept(
        "no eyewear",
        "eyewear",
        _eyewear("none"),
        ("no glasses", "bare eyes"),
        ("without glasses", "not wearing glasses"),
        salience=0.6,
    ),
    Concept(
        "a hat",
        "hat",
        _hat("cap", "beanie", "sunhat"),
        ("a hat", "headwear", "something on the head"),
        ("wearing a hat",),
        salience=1.4,
    ),
    Concept("a cap", "hat", _hat("cap"), ("a cap", "a baseball cap"), ("wearing a cap",), salience=1.2),
    Concept("a beanie", "hat", _hat("beanie"), ("a beanie", "a woolly hat", "a knitted hat"), salience=1.2),
    Concept("a sun hat", "hat", _hat("sunhat"), ("a sun hat", "a straw hat", "a wide-brimmed hat"), salience=1.2),
    Concept("no hat", "hat", _hat("none"), ("no hat",), ("without a hat", "bareheaded"), salience=0.5),
    Concept("a beard", "beard", _beard("beard"), ("a beard", "a full beard"), ("bearded",), salience=1.3),
    Concept("a moustache", "beard", _beard("moustache"), ("a moustache", "a mustache"), salience=1.4),
    Concept("facial hair", "beard", _beard("beard", "moustache"), ("facial hair",), salience=0.8),
    Concept(
        "no facial hair",
        "beard",
        _beard("none"),
        ("no beard", "no facial hair"),
        ("clean-shaven", "without a beard"),
        salience=0.5,
    ),
    Concept(
        "earrings",
        "earrings",
        lambda p: p.earrings,
        ("earrings", "hoop earrings", "jewellery in the ears"),
        ("wearing earrings",),
        salience=2.2,
    ),
    Concept("no earrings", "earrings", lambda p: not p.earrings, ("no earrings",), ("without earrings",), salience=0.8),
)

_SCENE = (
    Concept(
        "beach",
        "background",
        _background("beach"),
        places=("at the beach", "on a beach", "by the sea", "at the seaside"),
    ),
    Concept("forest", "background", _background("forest"), places=("in a forest", "in the woods", "among trees")),
    Concept(
        "city at night",
        "background",
        _background("city"),
        places=("at night", "in a city at night", "in front of city lights"),
    ),
    Concept("office", "background", _background("office"), places=("in an office", "at work", "at the office")),
    Concept(
        "plain background",
        "background",
        _background("plain"),
        places=("in front of a plain background", "against a plain wall", "in a studio"),
    ),
    Concept(
        "outdoors in nature",
        "background",
        _background("beach", "forest"),
        places=("in nature", "outdoors in daylight"),
        salience=0.6,
    ),
    Concept(
        "dim light",
        "lighting",
        lambda p: p.lighting == "dim",
        ("dim light",),
        places=("in dim light", "in low light", "in poor light", "in the dark"),
        shots=("a dim photo", "an underexposed photo", "a dark photo"),
        salience=1.5,
    ),
    Concept(
        "bright light",
        "lighting",
        lambda p: p.lighting == "bright",
        ("bright light",),
        places=("in bright light", "in strong light"),
        shots=("an overexposed photo", "a bright photo"),
        salience=1.4,
    ),
    Concept(
        "blurry",
        "focus",
        lambda p: p.blurry,
        (),
        ("out of focus",),
        shots=("a blurry photo", "a blurred picture", "an unsharp photo"),
        salience=1.5,
    ),
    Concept("sharp", "focus", lambda p: not p.blurry, (), ("in focus",), shots=("a sharp photo",), salience=0.3),
    Concept(
        "smiling",
        "expression",
        _expression("smiling"),
        ("a smile", "a happy face", "a big smile"),
        ("smiling", "happy", "grinning"),
    ),
    Concept(
        "neutral face",
        "expression",
        _expression("neutral"),
        ("a neutral expression", "a straight face", "a neutral face"),
    ),
    Concept(
        "frowning",
        "expression",
        _expression("frowning"),
        ("a sad face", "a frown"),
        ("frowning", "sad", "unhappy"),
        salience=1.2,
    ),
    Concept(
        "surprised",
        "expression",
        _expression("surprised"),
        ("an open mouth", "a surprised face"),
        ("surprised", "astonished"),
        salience=1.2,
    ),
    Concept(
        "not smiling",
        "expression",
        _expression("neutral", "frowning", "surprised"),
        ("no smile",),
        ("not smiling", "without a smile"),
        salience=0.5,
    ),
)

CONCEPTS: tuple[Concept, ...] = _SKIN + _HAIR + _WORN + _SCENE + PEOPLE


def phrases() -> Iterator[tuple[str, Concept]]:
    """Every wording of every concept, in a fixed order: the demo encoder's own vocabulary of phrases."""
    for concept in CONCEPTS:
        for wording in concept.wordings:
            yield wording, concept
