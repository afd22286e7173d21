"""What a face says of sex, age and the shape of the eyes, and its expression: eyes, brows, mouth, creases, cheeks.

These are conventions of a drawing, as those of a cartoon; no claim about people is meant.
"""

from __future__ import annotations

import numpy as np

from fsearch.data.portraits.attributes import Portrait
from fsearch.data.portraits.backgrounds import Colour
from fsearch.data.portraits.pen import Pen, darker, lighter

_INK: Colour = (20, 16, 18)
_GREY: Colour = (172, 172, 180)  # the brows of the old, whatever their hair


def draw_age(pen: Pen, portrait: Portrait, skin: Colour) -> None:
    """The red cheeks of a child, the creases of an old face: on the brow, below the eyes, beside nose and mouth."""
    if portrait.age == "child":
        red = tuple(int(0.62 * c + 0.38 * d) for c, d in zip(skin, (226, 84, 84), strict=True))
        for side in (-1, 1):
            pen.ellipse(side * 0.66, 0.5, 0.24, 0.2, red)  # type: ignore[arg-type]
    if portrait.age != "old":
        return
    crease = darker(skin, 0.5) if portrait.skin_tone <= 7 else lighter(skin, 0.4)
    for y in (-0.64, -0.88):
        pen.arc(0, y + 0.12, 0.56, 0.14, (200, 340), crease, 0.09)
    for side in (-1, 1):
        pen.arc(side * 0.4, -0.02, 0.27, 0.22, (20, 160), crease, 0.09)
        pen.line(((side * 0.26, 0.22), (side * 0.54, 0.42), (side * 0.62, 0.76)), crease, 0.11)
        pen.line(((side * 0.86, 0.12), (side * 0.8, 0.58)), crease, 0.1)


def draw_eyes(pen: Pen, portrait: Portrait, hair: Colour, rng: np.random.Generator) -> None:
    """Eyes and brows."""
    iris: Colour = ((70, 50, 36), (60, 104, 70), (70, 110, 160))[int(rng.integers(3))]
    raised = 0.12 if portrait.expression == "surprised" else 0.0
    sunken = 0.2 if portrait.expression == "frowning" else 0.0
    large = 1.3 if portrait.age == "child" else 1.0
    monolid = portrait.eyes == "monolid"
    lift = raised + 0.14 * (large - 1.0) / 0.3 + (0.1 if monolid else 0.0)
    for side in (-1, 1):
        if monolid:
            _almond(pen, side, large, raised)
        else:
            pen.ellipse(side * 0.4, -0.16, 0.21 * large, (0.14 + raised * 0.5) * large, (250, 250, 248))
            pen.ellipse(side * 0.4, -0.16, 0.1 * large, 0.12 * large, iris)
            pen.ellipse(side * 0.4, -0.16, 0.05 * large, 0.06 * large, (10, 10, 12))
        if portrait.sex == "woman":
            _lashes(pen, side, large, monolid)
        inner, outer = (side * 0.2, -0.42 - lift + sunken), (side * 0.62, -0.44 - lift - sunken * 0.4)
        width = 0.06 if portrait.sex == "woman" or portrait.age == "child" else 0.15
        if portrait.age == "old":
            pen.line((inner, outer), _GREY, width + 0.07)
        else:
            pen.line((inner, outer), darker(hair, 0.8), width)


def _almond(pen: Pen, side: int, large: float, raised: float) -> None:
    """A narrow eye under one smooth lid."""
    high = (0.07 + raised * 0.3) * large
    pen.ellipse(side * 0.44, -0.14, 0.3 * large, high, (250, 250, 248))
    pen.ellipse(side * 0.44, -0.14, 0.1 * large, high, (44, 30, 24))
    pen.arc(side * 0.44, -0.14, 0.33 * large, high + 0.08, (182, 358), _INK, 0.12)


def _lashes(pen: Pen, side: int, large: float, monolid: bool) -> None:
    top = -0.2 if monolid else -0.16 - 0.12 * large
    if not monolid:
        pen.arc(side * 0.4, -0.16, 0.23 * large, 0.16 * large, (195, 345), _INK, 0.07)
    for out, up in ((0.2, 0.06),) if monolid else ((0.14, 0.14), (0.2, 0.06)):
        start = (side * (0.4 + 0.17 * large), top + 0.06)
        pen.line((start, (start[0] + side * out, start[1] - up)), _INK, 0.06)


def draw_mouth(pen: Pen, portrait: Portrait) -> None:
    """The mouth of the portrait's expression; a woman's lips are full and red."""
    woman = portrait.sex == "woman"
    lips = (186, 84, 84) if portrait.skin_tone <= 6 else (150, 70, 72)
    if woman:
        lips = (206, 24, 66) if portrait.skin_tone <= 6 else (176, 20, 62)
    full = 1.6 if woman else 1.0
    y = 0.64
    if portrait.expression == "smiling":
        pen.slice(0, y - 0.1, 0.46, 0.36 + 0.06 * (full - 1), (0, 180), lips)
        pen.slice(0, y - 0.08, 0.38, 0.24 / (1 + 0.3 * (full - 1)), (0, 180), (252, 250, 246))
    elif portrait.expression == "neutral":
        pen.block(0, y, 0.32, 0.06 * full, lips, 0.05 * full)
    elif portrait.expression == "frowning":
        pen.arc(0, y + 0.26, 0.46, 0.42, (190, 350), lips, 0.17 + 0.05 * (full - 1))
    else:
        pen.ellipse(0, y + 0.06, 0.2 * (1 + 0.15 * (full - 1)), 0.27 * (1 + 0.15 * (full - 1)), lips)
        pen.ellipse(0, y + 0.06, 0.12, 0.18, (60, 20, 24))
