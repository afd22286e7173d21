"""The places a portrait is taken in: beach, forest, city at night, office, plain."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]


def draw_background(place: str, side: int, rng: np.random.Generator) -> Image.Image:
    """A square RGB scene of `side` pixels. Raises KeyError for a place it does not know."""
    return _PLACES[place](side, rng)


def jitter(colour: Colour, rng: np.random.Generator, amount: int = 12) -> Colour:
    """A colour near `colour`: each channel moves by at most `amount`."""
    shift = rng.integers(-amount, amount + 1, size=3)
    return tuple(int(min(255, max(0, c + d))) for c, d in zip(colour, shift, strict=True))  # type: ignore[return-value]


def _gradient(side: int, top: Colour, bottom: Colour) -> Image.Image:
    ramp = np.linspace(0.0, 1.0, side)[:, None, None]
    rows = (1 - ramp) * np.array(top) + ramp * np.array(bottom)
    return Image.fromarray(np.broadcast_to(rows, (side, side, 3)).astype(np.uint8))


def _beach(side: int, rng: np.random.Generator) -> Image.Image:
    image = _gradient(side, jitter((112, 186, 236), rng), (205, 232, 245))
    pen = ImageDraw.Draw(image)
    horizon = side * rng.uniform(0.40, 0.55)
    shore = horizon + side * rng.uniform(0.14, 0.24)
    pen.rectangle((0, horizon, side, side), fill=jitter((38, 132, 178), rng))
    for _ in range(5):
        x, y = rng.uniform(0, side), rng.uniform(horizon, shore)
        pen.line((x, y, x + side * 0.12, y), fill=(190, 225, 236), width=2)
    pen.rectangle((0, shore, side, side), fill=jitter((233, 209, 156), rng))
    sun = (side * rng.uniform(0.05, 0.9), side * rng.uniform(0.06, 0.16))
    pen.circle(sun, side * 0.06, fill=(255, 244, 190))
    return image


def _forest(side: int, rng: np.random.Generator) -> Image.Image:
    image = _gradient(side, jitter((128, 172, 110), rng), jitter((46, 88, 44), rng))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(5, 8))):
        x, width = rng.uniform(0, side), side * rng.uniform(0.03, 0.06)
        pen.rectangle((x, 0, x + width, side * 0.9), fill=jitter((86, 60, 40), rng))
    for _ in range(22):
        centre = (rng.uniform(0, side), rng.uniform(-0.05, 0.45) * side)
        pen.circle(centre, side * rng.uniform(0.05, 0.11), fill=jitter((48, 112, 52), rng, 26))
    return image


def _city(side: int, rng: np.random.Generator) -> Image.Image:
    image = _gradient(side, (12, 14, 40), jitter((58, 44, 84), rng))
    pen = ImageDraw.Draw(image)
    x = -side * 0.05
    while x < side:
        width, top = side * rng.uniform(0.12, 0.22), side * rng.uniform(0.08, 0.42)
        pen.rectangle((x, top, x + width, side), fill=jitter((24, 26, 46), rng, 8))
        for wx in np.arange(x + 6, x + width - 8, 13):
            for wy in np.arange(top + 7, side, 16):
                if rng.random() < 0.55:
                    pen.rectangle((wx, wy, wx + 6, wy + 8), fill=jitter((250, 214, 120), rng, 20))
        x += width
    return image


def _office(side: int, rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (side, side), jitter((214, 210, 200), rng))
    pen = ImageDraw.Draw(image)
    left = side * rng.uniform(0.02, 0.1)
    pen.rectangle((left, side * 0.06, left + side * 0.3, side * 0.42), fill=(168, 204, 226), outline=(110, 110, 112))
    for bar in (0.12, 0.18, 0.24, 0.30, 0.36):
        pen.line((left, side * bar, left + side * 0.3, side * bar), fill=(236, 238, 240), width=3)
    shelf = side * rng.uniform(0.68, 0.74)
    for level in (0.24, 0.46, 0.68):
        x = shelf
        while x < side:
            width = side * rng.uniform(0.022, 0.045)
            top = side * (level - rng.uniform(0.10, 0.16))
            pen.rectangle((x, top, x + width, side * level), fill=jitter((150, 90, 80), rng, 70))
            x += width + 1
        pen.rectangle((shelf, side * level, side, side * (level + 0.02)), fill=(120, 92, 66))
    pen.rectangle((0, side * 0.86, side, side), fill=jitter((140, 108, 78), rng))
    return image


def _plain(side: int, rng: np.random.Generator) -> Image.Image:
    palette: list[Colour] = [(206, 198, 214), (190, 204, 214), (222, 206, 196), (182, 186, 190), (230, 230, 226)]
    return Image.new("RGB", (side, side), jitter(palette[int(rng.integers(len(palette)))], rng, 16))


_PLACES: Mapping[str, Callable[[int, np.random.Generator], Image.Image]] = {
    "beach": _beach,
    "forest": _forest,
    "city": _city,
    "office": _office,
    "plain": _plain,
}
