"""What a portrait shows: its attributes, and the distributions they are sampled from.

This is the ground truth of every demo and benchmark. It draws nothing and words nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

import numpy as np

Shares = Mapping[Any, float]


@dataclass(frozen=True, slots=True)
class Portrait:
    """The attributes of one portrait.

    Attributes
    ----------
    skin_tone : 1 (lightest) to 10 (darkest), after the ten steps of the Monk Skin Tone scale.
    details : seed of everything that carries no attribute (pose, shirt, iris, background clutter).
    sex, age, eyes : conventions of the drawing, no claim about people: "woman" or "man"; "child", "adult" or "old";
        "round", "monolid" (a narrow almond without a fold), or "hidden" behind sunglasses.
    """

    skin_tone: int
    hair_style: str
    hair_colour: str
    eyewear: str
    hat: str
    beard: str
    earrings: bool
    background: str
    lighting: str
    blurry: bool
    expression: str
    details: int
    sex: str = "man"
    age: str = "adult"
    eyes: str = "round"

    def as_row(self) -> dict[str, Any]:
        """The attributes as one row of a table, without the seed of the details."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "details"}


def _frozen(**shares: float) -> Shares:
    return MappingProxyType(dict(shares))


def _tones(light: float, medium: float, dark: float) -> Shares:
    """Spread the three masses evenly over tones 1-4, 5-6 and 7-10."""
    steps = {t: light / 4 for t in range(1, 5)} | {t: medium / 2 for t in (5, 6)} | {t: dark / 4 for t in range(7, 11)}
    return MappingProxyType(steps)


_EVEN_SHARES: Mapping[str, Shares] = MappingProxyType(
    {
        "skin_tone": _tones(0.42, 0.20, 0.38),
        "hair_style": _frozen(bald=0.16, short=0.28, long=0.24, curly=0.18, bun=0.14),
        "hair_colour": _frozen(black=0.28, brown=0.24, blond=0.18, red=0.14, grey=0.16),
        "eyewear": _frozen(none=0.58, glasses=0.23, sunglasses=0.19),
        "hat": _frozen(none=0.68, cap=0.12, beanie=0.10, sunhat=0.10),
        "beard": _frozen(none=0.64, moustache=0.14, beard=0.22),
        "earrings": MappingProxyType({True: 0.25, False: 0.75}),
        "background": _frozen(beach=0.20, forest=0.20, city=0.20, office=0.20, plain=0.20),
        "lighting": _frozen(normal=0.58, dim=0.22, bright=0.20),
        "blurry": MappingProxyType({True: 0.18, False: 0.82}),
        "expression": _frozen(smiling=0.42, neutral=0.26, frowning=0.17, surprised=0.15),
    }
)

# Drawn after all the others and their details, which hence stay what they were before a portrait had these.
_LATER_SHARES: Mapping[str, Shares] = MappingProxyType(
    {
        "sex": _frozen(woman=0.65, man=0.35),
        "age": _frozen(child=0.40, adult=0.42, old=0.18),
        "eyes": _frozen(round=0.65, monolid=0.35),
    }
)


@dataclass(frozen=True, slots=True)
class Mix:
    """The share of every value of every attribute; attributes are independent, but for what a face rules out.

    A face with facial hair is a man's. No child has facial hair, is bald or grey: one drawn so is old where the hair is
    grey, and adult otherwise. Eyes behind sunglasses are hidden.
    """

    shares: Mapping[str, Shares] = field(default_factory=lambda: MappingProxyType({**_EVEN_SHARES, **_LATER_SHARES}))

    def with_shares(self, **changed: Shares) -> Mix:
        """A mix in which the named attributes follow other shares (they are normalised to one)."""
        unknown = set(changed) - set(self.shares)
        if unknown:
            raise ValueError(f"no such portrait attribute: {', '.join(sorted(unknown))}")
        return replace(self, shares=MappingProxyType({**self.shares, **changed}))

    def with_dark_skin(self, share: float) -> Mix:
        """A mix in which tones 7 to 10 make up `share` of the portraits."""
        rest = 1.0 - share
        return self.with_shares(skin_tone=_tones(rest * 0.68, rest * 0.32, share))


EVEN = Mix()


def sample(count: int, seed: int, mix: Mix = EVEN) -> list[Portrait]:
    """Draw `count` portraits; the same count, seed and mix always give the same portraits."""
    rng = np.random.default_rng([seed, 7001])
    columns: dict[str, list[Any]] = {}
    for name in (*_EVEN_SHARES, "details", *_LATER_SHARES):
        if name == "details":
            columns[name] = rng.integers(0, 2**31, size=count).tolist()
            continue
        shares = mix.shares[name]
        weights = np.asarray(list(shares.values()), dtype=np.float64)
        values = list(shares)
        picks = rng.choice(len(values), size=count, p=weights / weights.sum())
        columns[name] = [values[i] for i in picks]
    drawn = (Portrait(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True))
    return [_possible(portrait) for portrait in drawn]


def _possible(portrait: Portrait) -> Portrait:
    """The portrait with `sex`, `age` and `eyes` as the rest of the face allows."""
    bearded, grey = portrait.beard != "none", portrait.hair_colour == "grey"
    sex, age = "man" if bearded else portrait.sex, portrait.age
    if age == "child" and (bearded or grey or portrait.hair_style == "bald"):
        age = "old" if grey else "adult"
    eyes = "hidden" if portrait.eyewear == "sunglasses" else portrait.eyes
    return replace(portrait, sex=sex, age=age, eyes=eyes)
