"""The face itself, back to front: hair behind, body, head, features, beard, hair in front, eyewear, hat, earrings.

All lengths are in units of `r`, half the width of the head; the origin is the middle of the head.
"""

from __future__ import annotations

import numpy as np
from PIL import ImageDraw

from fsearch.data.portraits.attributes import Portrait
from fsearch.data.portraits.backgrounds import Colour, jitter

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


class _Pen:
    """Draws in face units on a pixel canvas."""

    def __init__(self, canvas: ImageDraw.ImageDraw, centre: tuple[float, float], r: float) -> None:
        self.canvas, self.centre, self.r = canvas, centre, r

    def _box(self, x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
        cx, cy = self.centre[0] + x * self.r, self.centre[1] + y * self.r
        return (cx - w * self.r, cy - h * self.r, cx + w * self.r, cy + h * self.r)

    def ellipse(self, x: float, y: float, w: float, h: float, fill: Colour) -> None:
        self.canvas.ellipse(self._box(x, y, w, h), fill=fill)

    def ring(self, x: float, y: float, w: float, h: float, colour: Colour, width: float) -> None:
        self.canvas.ellipse(self._box(x, y, w, h), outline=colour, width=self.px(width))

    def block(self, x: float, y: float, w: float, h: float, fill: Colour, round_: float = 0.0) -> None:
        self.canvas.rounded_rectangle(self._box(x, y, w, h), radius=round_ * self.r, fill=fill)

    def arc(self, x: float, y: float, w: float, h: float, span: tuple[int, int], colour: Colour, width: float) -> None:
        self.canvas.arc(self._box(x, y, w, h), *span, fill=colour, width=self.px(width))

    def slice(self, x: float, y: float, w: float, h: float, span: tuple[int, int], fill: Colour) -> None:
        self.canvas.chord(self._box(x, y, w, h), *span, fill=fill)

    def line(self, points: tuple[tuple[float, float], ...], colour: Colour, width: float) -> None:
        at = [(self.centre[0] + x * self.r, self.centre[1] + y * self.r) for x, y in points]
        self.canvas.line(at, fill=colour, width=self.px(width), joint="curve")

    def px(self, width: float) -> int:
        return max(1, round(width * self.r))


def draw_face(
    canvas: ImageDraw.ImageDraw, portrait: Portrait, centre: tuple[float, float], r: float, rng: np.random.Generator
) -> None:
    """Draw the portrait's head and shoulders around `centre`, `r` pixels being half a head's width."""
    pen = _Pen(canvas, centre, r)
    skin = jitter(SKIN[portrait.skin_tone - 1], rng, 5)
    hair = jitter(_HAIR[portrait.hair_colour], rng, 8)
    _hair_behind(pen, portrait, hair)
    _body(pen, skin, _SHIRTS[int(rng.integers(len(_SHIRTS)))], rng)
    _head(pen, skin)
    _eyes(pen, portrait, hair, rng)
    _beard(pen, portrait.beard, hair)
    _mouth(pen, portrait, skin)
    _hair_front(pen, portrait, hair, rng)
    _eyewear(pen, portrait.eyewear)
    _hat(pen, portrait.hat, rng)
    if portrait.earrings:
        for side in (-1, 1):
            pen.ring(side * 1.1, 0.62, 0.27, 0.33, (255, 206, 48), 0.13)


def _shade(colour: Colour, factor: float) -> Colour:
    return tuple(int(c * factor) for c in colour)  # type: ignore[return-value]


def _hair_behind(pen: _Pen, portrait: Portrait, hair: Colour) -> None:
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


def _body(pen: _Pen, skin: Colour, shirt: Colour, rng: np.random.Generator) -> None:
    pen.block(0, 1.3, 0.42, 0.5, _shade(skin, 0.86))
    pen.ellipse(0, 2.75, 1.85, 1.2, jitter(shirt, rng, 20))


def _head(pen: _Pen, skin: Colour) -> None:
    for side in (-1, 1):
        pen.ellipse(side * 1.0, 0.08, 0.18, 0.26, _shade(skin, 0.9))
    pen.ellipse(0, 0, 1.0, 1.28, skin)
    pen.arc(0, 0.16, 0.17, 0.2, (10, 170), _shade(skin, 0.68), 0.07)


def _eyes(pen: _Pen, portrait: Portrait, hair: Colour, rng: np.random.Generator) -> None:
    iris: Colour = ((70, 50, 36), (60, 104, 70), (70, 110, 160))[int(rng.integers(3))]
    raised = 0.12 if portrait.expression == "surprised" else 0.0
    sunken = 0.2 if portrait.expression == "frowning" else 0.0
    for side in (-1, 1):
        pen.ellipse(side * 0.4, -0.16, 0.21, 0.14 + raised * 0.5, (250, 250, 248))
        pen.ellipse(side * 0.4, -0.16, 0.1, 0.12, iris)
        pen.ellipse(side * 0.4, -0.16, 0.05, 0.06, (10, 10, 12))
        inner, outer = (side * 0.2, -0.42 - raised + sunken), (side * 0.62, -0.44 - raised - sunken * 0.4)
        pen.line((inner, outer), _shade(hair, 0.8), 0.09)


def _beard(pen: _Pen, beard: str, hair: Colour) -> None:
    if beard == "beard":
        pen.slice(0, 0.30, 0.98, 1.06, (-4, 184), hair)
        pen.ellipse(0, 0.34, 0.52, 0.26, hair)
    if beard == "moustache":
        for side in (-1, 1):
            pen.ellipse(side * 0.2, 0.47, 0.27, 0.11, hair)


def _mouth(pen: _Pen, portrait: Portrait, skin: Colour) -> None:
    lips = (186, 84, 84) if portrait.skin_tone <= 6 else (150, 70, 72)
    y = 0.64
    if portrait.expression == "smiling":
        pen.slice(0, y - 0.1, 0.46, 0.36, (0, 180), lips)
        pen.slice(0, y - 0.08, 0.38, 0.24, (0, 180), (252, 250, 246))
    elif portrait.expression == "neutral":
        pen.block(0, y, 0.32, 0.06, lips, 0.05)
    elif portrait.expression == "frowning":
        pen.arc(0, y + 0.26, 0.46, 0.42, (190, 350), lips, 0.17)
    else:
        pen.ellipse(0, y + 0.06, 0.2, 0.27, lips)
        pen.ellipse(0, y + 0.06, 0.12, 0.18, (60, 20, 24))


def _hair_front(pen: _Pen, portrait: Portrait, hair: Colour, rng: np.random.Generator) -> None:
    style = portrait.hair_style
    if style == "bald":
        if portrait.hat == "none":
            pen.ellipse(-0.28, -0.92, 0.22, 0.1, _shade_light(SKIN[portrait.skin_tone - 1]))
        return
    if style == "curly":
        for angle in np.linspace(np.pi * 1.1, np.pi * 1.9, 8):
            pen.ellipse(0.82 * float(np.cos(angle)), -0.12 + 0.95 * float(np.sin(angle)), 0.27, 0.27, hair)
        return
    pen.slice(0, -0.28, 1.06, 1.08, (196, 344), hair)
    if style == "short":
        for side in (-1, 1):
            pen.block(side * 0.98, -0.32, 0.09, 0.34, hair, 0.05)
    elif style == "long":
        for side in (-1, 1):
            pen.block(side * 1.06, 0.45, 0.2, 1.0, hair, 0.2)
        parting = float(rng.uniform(-0.3, 0.3))
        pen.line(((parting, -1.3), (parting, -0.75)), _shade(hair, 0.7), 0.05)


def _shade_light(colour: Colour) -> Colour:
    return tuple(int(c + (255 - c) * 0.35) for c in colour)  # type: ignore[return-value]


def _eyewear(pen: _Pen, eyewear: str) -> None:
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


def _hat(pen: _Pen, hat: str, rng: np.random.Generator) -> None:
    if hat == "none":
        return
    palette: tuple[Colour, ...] = ((176, 40, 48), (40, 70, 140), (46, 110, 70), (58, 58, 64), (222, 130, 40))
    colour = jitter(palette[int(rng.integers(len(palette)))], rng)
    if hat == "cap":
        pen.slice(0, -0.62, 1.08, 0.92, (180, 360), colour)
        pen.block(0.45, -0.62, 0.98, 0.11, _shade(colour, 0.7), 0.1)
    elif hat == "beanie":
        pen.slice(0, -0.62, 1.1, 1.12, (180, 360), colour)
        pen.block(0, -0.66, 1.14, 0.2, _shade(colour, 0.75), 0.15)
        pen.ellipse(0, -1.78, 0.24, 0.24, (240, 236, 228))
    else:
        straw = jitter((226, 190, 116), rng)
        pen.ellipse(0, -0.72, 1.72, 0.28, _shade(straw, 0.92))
        pen.slice(0, -0.72, 0.92, 0.92, (180, 360), straw)
        pen.block(0, -0.84, 0.91, 0.1, colour)
