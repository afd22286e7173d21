"""The face itself, back to front: hair behind, body, head, features, beard, hair in front, eyewear, hat, earrings.

All lengths are in units of `r`, half the width of the head; the origin is the middle of the head.
"""

from __future__ import annotations

import numpy as np
from PIL import ImageDraw

from fsearch.data.portraits.attributes import Portrait
from fsearch.data.portraits.backgrounds import Colour, jitter
from fsearch.data.portraits.features import draw_age, draw_eyes, draw_mouth
from fsearch.data.portraits.pen import Pen, darker, lighter

SKIN: tuple[Colour, ...] = (
    (242, 220, 204), (236, 206, 184), (230, 194, 166), (222, 178, 146), (214, 166, 128),
    (190, 138, 98), (140, 94, 62), (112, 72, 46), (82, 52, 36), (58, 38, 30),
)  # fmt: skip
_HAIR: dict[str, Colour] = {
    "black": (24, 22, 26),
    "brown": (98, 60, 34),
    "blond": (236, 202, 106),
    "red": (190, 74, 28),
    "grey": (188, 188, 194),
}
_SHIRTS: tuple[Colour, ...] = (
    (66, 96, 150),
    (150, 62, 70),
    (70, 130, 98),
    (120, 90, 150),
    (90, 96, 104),
    (214, 150, 60),
)


def draw_face(
    canvas: ImageDraw.ImageDraw, portrait: Portrait, centre: tuple[float, float], r: float, rng: np.random.Generator
) -> None:
    """Draw the portrait's head and shoulders around `centre`, `r` pixels being half a head's width."""
    child = portrait.age == "child"
    pen = Pen(canvas, centre, r)
    if child:
        pen = Pen(canvas, (centre[0], centre[1] + 0.3 * r), 0.82 * r)
    upper, lower = pen.moved(0.24 if child else 0.0), pen.moved(0.1 if child else 0.0)
    skin = jitter(SKIN[portrait.skin_tone - 1], rng, 5)
    hair = jitter(_HAIR[portrait.hair_colour], rng, 8)
    _hair_behind(pen, portrait, hair)
    _body(pen, portrait, skin, _SHIRTS[int(rng.integers(len(_SHIRTS)))], rng)
    _head(pen, portrait, skin)
    draw_age(pen, portrait, skin)
    draw_eyes(upper, portrait, hair, rng)
    _beard(pen, portrait.beard, hair)
    draw_mouth(lower, portrait)
    _hair_front(pen, portrait, hair, rng)
    _eyewear(upper, portrait.eyewear)
    _hat(pen, portrait.hat, rng)
    if portrait.earrings:
        for side in (-1, 1):
            pen.ring(side * 1.1, 0.62, 0.27, 0.33, (255, 206, 48), 0.13)


def _hair_behind(pen: Pen, portrait: Portrait, hair: Colour) -> None:
    if portrait.hair_style == "long":
        pen.block(0, 0.55, 1.28, 1.35, hair, 0.6)
        pen.ellipse(0, -0.35, 1.24, 1.1, hair)
    elif portrait.hair_style == "curly":
        for angle in np.linspace(np.pi * 0.92, np.pi * 2.08, 11):
            pen.ellipse(1.1 * float(np.cos(angle)), -0.15 + 1.15 * float(np.sin(angle)), 0.36, 0.36, hair)
        for side in (-1, 1):
            pen.ellipse(side * 1.12, 0.25, 0.32, 0.34, hair)
    elif portrait.hair_style == "bun" and portrait.hat == "none":
        pen.ellipse(0, -1.62, 0.46, 0.42, hair)


def _body(pen: Pen, portrait: Portrait, skin: Colour, shirt: Colour, rng: np.random.Generator) -> None:
    cloth, neck = jitter(shirt, rng, 20), darker(skin, 0.86)
    if portrait.age == "child":
        pen.block(0, 1.2, 0.28, 0.5, neck)
        pen.ellipse(0, 2.5, 1.2, 1.1, cloth)
    elif portrait.sex == "woman":
        pen.block(0, 1.3, 0.34, 0.5, neck)
        pen.ellipse(0, 2.75, 1.6, 1.15, cloth)
        pen.ellipse(0, 1.62, 0.6, 0.36, neck)
    else:
        pen.block(0, 1.3, 0.6, 0.5, neck)
        pen.ellipse(0, 2.75, 2.1, 1.25, cloth)
        for side in (-1, 1):
            pen.line(((side * 0.62, 1.5), (0, 2.02)), (240, 240, 240), 0.18)


def _head(pen: Pen, portrait: Portrait, skin: Colour) -> None:
    for side in (-1, 1):
        pen.ellipse(side * 1.0, 0.08, 0.18, 0.26, darker(skin, 0.9))
    if portrait.age == "child":
        pen.ellipse(0, 0, 1.06, 1.16, skin)
        pen.arc(0, 0.4, 0.11, 0.12, (10, 170), darker(skin, 0.68), 0.07)
        return
    pen.ellipse(0, 0, 1.0, 1.28, skin)
    if portrait.sex == "man":
        pen.block(0, 0.62, 0.86, 0.68, skin, 0.42)
    pen.arc(0, 0.16, 0.17, 0.2, (10, 170), darker(skin, 0.68), 0.07)


def _beard(pen: Pen, beard: str, hair: Colour) -> None:
    if beard == "beard":
        pen.slice(0, 0.30, 0.98, 1.06, (-4, 184), hair)
        pen.ellipse(0, 0.34, 0.52, 0.26, hair)
    if beard == "moustache":
        for side in (-1, 1):
            pen.ellipse(side * 0.2, 0.47, 0.27, 0.11, hair)


def _hair_front(pen: Pen, portrait: Portrait, hair: Colour, rng: np.random.Generator) -> None:
    style = portrait.hair_style
    if style == "bald":
        if portrait.hat == "none":
            pen.ellipse(-0.28, -0.92, 0.22, 0.1, lighter(SKIN[portrait.skin_tone - 1]))
        return
    if style == "curly":
        for angle in np.linspace(np.pi * 1.1, np.pi * 1.9, 8):
            pen.ellipse(0.82 * float(np.cos(angle)), -0.12 + 0.95 * float(np.sin(angle)), 0.27, 0.27, hair)
        return
    pen.slice(0, -0.28, 1.06, 1.08, (212, 328) if portrait.age == "old" else (196, 344), hair)
    if style == "short":
        for side in (-1, 1):
            pen.block(side * 0.98, -0.32, 0.09, 0.34, hair, 0.05)
    elif style == "long":
        for side in (-1, 1):
            pen.block(side * 1.06, 0.45, 0.2, 1.0, hair, 0.2)
        parting = float(rng.uniform(-0.3, 0.3))
        pen.line(((parting, -1.3), (parting, -0.75)), darker(hair, 0.7), 0.05)


def _eyewear(pen: Pen, eyewear: str) -> None:
    if eyewear == "glasses":
        for side in (-1, 1):
            pen.ring(side * 0.42, -0.14, 0.35, 0.31, (38, 34, 40), 0.09)
        pen.line(((-0.1, -0.18), (0.1, -0.18)), (38, 34, 40), 0.09)
        for side in (-1, 1):
            pen.line(((side * 0.76, -0.2), (side * 1.0, -0.26)), (38, 34, 40), 0.08)
    elif eyewear == "sunglasses":
        for side in (-1, 1):
            pen.block(side * 0.43, -0.13, 0.38, 0.28, (14, 14, 18), 0.14)
            pen.line(((side * 0.3, -0.28), (side * 0.22, -0.02)), (86, 92, 112), 0.06)
        pen.block(0, -0.28, 0.95, 0.06, (14, 14, 18))


def _hat(pen: Pen, hat: str, rng: np.random.Generator) -> None:
    if hat == "none":
        return
    palette: tuple[Colour, ...] = ((176, 40, 48), (40, 70, 140), (46, 110, 70), (58, 58, 64), (222, 130, 40))
    colour = jitter(palette[int(rng.integers(len(palette)))], rng)
    if hat == "cap":
        pen.slice(0, -0.62, 1.08, 0.92, (180, 360), colour)
        pen.block(0.45, -0.62, 0.98, 0.11, darker(colour, 0.7), 0.1)
    elif hat == "beanie":
        pen.slice(0, -0.62, 1.1, 1.12, (180, 360), colour)
        pen.block(0, -0.66, 1.14, 0.2, darker(colour, 0.75), 0.15)
        pen.ellipse(0, -1.78, 0.24, 0.24, (240, 236, 228))
    else:
        straw = jitter((226, 190, 116), rng)
        pen.ellipse(0, -0.72, 1.72, 0.28, darker(straw, 0.92))
        pen.slice(0, -0.72, 0.92, 0.92, (180, 360), straw)
        pen.block(0, -0.84, 0.91, 0.1, colour)
