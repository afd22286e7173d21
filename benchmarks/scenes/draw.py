"""The renderer of scenes: crops of scikit-learn's two photographs, its handwritten digits, and drawn things."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from benchmarks.scenes.concepts import COLOURS, Scene
from PIL import Image, ImageDraw, ImageFilter

SIZE, _SCALE = 64, 2
_SIDE = SIZE * _SCALE
Colour = tuple[int, ...]
Canvas = ImageDraw.ImageDraw


def draw_all(scenes: Sequence[Scene]) -> np.ndarray:
    """(n, SIZE, SIZE, 3) uint8."""
    return np.stack([np.asarray(draw(s)) for s in scenes])


def draw(scene: Scene) -> Image.Image:
    """Render one scene; equal scenes give equal pixels."""
    rng = np.random.default_rng([scene.details, 65])
    image = _place(scene.place, rng)
    spots = rng.permutation([(0.3, 0.35), (0.68, 0.35), (0.5, 0.7), (0.28, 0.68), (0.72, 0.7)])[: scene.count]
    if scene.count == 1:
        spots = np.array([[0.5, 0.52]])
    for x, y in spots:
        radius = _SIDE * (0.24 if scene.large else 0.12) * rng.uniform(0.85, 1.15) * (1 if scene.count == 1 else 0.75)
        _thing(image, scene, (x + rng.normal(0, 0.04)) * _SIDE, (y + rng.normal(0, 0.04)) * _SIDE, radius, rng)
    if scene.framing == "tilted":
        turned = image.rotate(float(rng.choice([-1, 1]) * rng.uniform(14, 28)), Image.Resampling.BILINEAR)
        cut = int(_SIDE * 0.12)
        image = turned.crop((cut, cut, _SIDE - cut, _SIDE - cut)).resize((_SIDE, _SIDE))
    if scene.framing == "border":
        ImageDraw.Draw(image).rectangle((0, 0, _SIDE - 1, _SIDE - 1), outline=_varied((235, 225, 200), rng), width=9)
    image = image.resize((SIZE, SIZE), Image.Resampling.BOX)
    if scene.shot == "blurry":
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(1.1, 2.0))))
    return _taken(image, scene, rng)


def _taken(image: Image.Image, scene: Scene, rng: np.random.Generator) -> Image.Image:
    """Weather, light and the camera."""
    seen = np.asarray(image, np.float32)
    if scene.weather == "fog":
        depth = np.linspace(0.75, 0.35, SIZE)[:, None, None] * rng.uniform(0.8, 1.1)
        seen = seen * (1 - depth) + 205 * depth
    if scene.weather == "rain":
        streaks = Image.new("L", (SIZE, SIZE))
        pen = ImageDraw.Draw(streaks)
        for x, y in rng.uniform(0, SIZE, (int(rng.integers(25, 50)), 2)):
            pen.line((x, y, x - 2, y + 6), fill=150)
        seen = seen * 0.85 + np.asarray(streaks, np.float32)[:, :, None] * 0.7
    if scene.shot == "grey":
        seen = np.repeat(seen.mean(axis=2, keepdims=True), 3, axis=2)
    gain, lift = {"dim": (0.4, 0), "bright": (1.3, 35), "normal": (1.0, 0)}[scene.light]
    seen = seen * gain * rng.uniform(0.85, 1.15) + lift
    grain = 26 if scene.shot == "grainy" else 5
    return Image.fromarray((seen + rng.normal(0, grain, seen.shape)).clip(0, 255).astype(np.uint8))


@cache
def _photographs() -> tuple[Image.Image, Image.Image]:
    """The two photographs that scikit-learn ships: a Chinese temple, a dahlia."""
    from sklearn.datasets import load_sample_images

    temple, flower = load_sample_images().images
    return Image.fromarray(temple), Image.fromarray(flower)


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    """1,797 handwritten digits (n, 8, 8) in [0, 16], and what they are."""
    from sklearn.datasets import load_digits

    held = load_digits()
    return held.images, held.target


def _place(place: str, rng: np.random.Generator) -> Image.Image:
    if place in ("temple", "flower bed"):
        photo = _photographs()[place == "flower bed"]
        side = int(rng.integers(150, 300))
        x, y = (int(rng.integers(0, extent - side)) for extent in photo.size)
        return photo.crop((x, y, x + side, y + side)).resize((_SIDE, _SIDE))
    ground = {
        "meadow": (90, 150, 60),
        "desert": (215, 185, 120),
        "sea": (50, 100, 160),
        "snow": (228, 234, 240),
        "brick wall": (150, 75, 60),
        "wooden table": (150, 105, 65),
        "night sky": (18, 20, 48),
        "chequered floor": (205, 200, 190),
        "cardboard": (190, 165, 130),
    }[place]
    image = Image.new("RGB", (_SIDE, _SIDE), _varied(ground, rng))
    pen = ImageDraw.Draw(image)
    if place in ("meadow", "desert", "snow", "sea"):
        sky = _varied((150, 190, 230) if place != "snow" else (190, 200, 215), rng)
        pen.rectangle((0, 0, _SIDE, int(_SIDE * rng.uniform(0.25, 0.45))), fill=sky)
    _texture(pen, place, ground, rng)
    return image


def _texture(pen: Canvas, place: str, ground: Colour, rng: np.random.Generator) -> None:
    if place in _TEXTURES:
        _TEXTURES[place](pen, rng)
    elif place == "wooden table":
        for y in rng.uniform(0, _SIDE, 22):
            pen.line((0, y, _SIDE, y + rng.normal(0, 5)), fill=_varied(ground, rng, 30), width=2)
    elif place in ("meadow", "desert", "snow"):
        for x, y in zip(rng.uniform(0, _SIDE, 70), rng.uniform(_SIDE * 0.42, _SIDE, 70), strict=True):
            long = 7 if place == "meadow" else 2
            pen.line((x, y, x + rng.normal(0, 2), y - long), fill=_varied(ground, rng, 28), width=2)


def _bricks(pen: Canvas, rng: np.random.Generator) -> None:
    high = int(rng.integers(12, 18))
    for row, y in enumerate(range(0, _SIDE, high)):
        pen.line((0, y, _SIDE, y), fill=(190, 180, 170), width=2)
        for x in range((row % 2) * high, _SIDE, 2 * high):
            pen.line((x, y, x, y + high), fill=(190, 180, 170), width=2)


def _tiles(pen: Canvas, rng: np.random.Generator) -> None:
    tile = int(rng.integers(14, 26))
    for i in range(0, _SIDE, tile):
        for j in range((i // tile % 2) * tile, _SIDE, 2 * tile):
            pen.rectangle((i, j, i + tile, j + tile), fill=(70, 66, 66))


def _stars(pen: Canvas, rng: np.random.Generator) -> None:
    for x, y in rng.uniform(0, _SIDE, (int(rng.integers(25, 60)), 2)):
        pen.ellipse((x, y, x + 2, y + 2), fill=(235, 235, 215))


def _waves(pen: Canvas, rng: np.random.Generator) -> None:
    for y in rng.uniform(_SIDE * 0.45, _SIDE, 14):
        x = rng.uniform(0, _SIDE)
        pen.arc((x - 16, y, x + 16, y + 10), 200, 340, fill=(210, 225, 240), width=2)


_TEXTURES = {"brick wall": _bricks, "chequered floor": _tiles, "night sky": _stars, "sea": _waves}


def _thing(image: Image.Image, scene: Scene, x: float, y: float, r: float, rng: np.random.Generator) -> None:
    pen, colour = ImageDraw.Draw(image), _varied(COLOURS[scene.colour], rng)
    dark = tuple(int(v * 0.45) for v in colour)
    if scene.thing == "number":
        _number(image, scene, (x, y, r), colour, rng)
    else:
        _DRAWN[scene.thing](pen, x, y, r, colour, dark)


def _number(
    image: Image.Image, scene: Scene, at: tuple[float, float, float], colour: Colour, rng: np.random.Generator
) -> None:
    """A real handwritten digit on a sign."""
    pictures, values = _digits()
    x, y, r = at
    picture = pictures[rng.choice(np.flatnonzero(values == scene.digit))]
    ink = Image.fromarray((picture * 15.9).astype(np.uint8)).resize(
        (int(1.7 * r), int(1.7 * r)), Image.Resampling.BICUBIC
    )
    pen = ImageDraw.Draw(image)
    pen.rectangle((x - r, y - r, x + r, y + r), fill=colour, outline=(60, 60, 60), width=2)
    shade = (20, 20, 20) if sum(colour) > 330 else (245, 245, 245)
    image.paste(Image.new("RGB", ink.size, shade), (int(x - 0.85 * r), int(y - 0.85 * r)), ink)


def _car(pen: Canvas, x: float, y: float, r: float, c: Colour, d: Colour) -> None:
    pen.polygon([(x - 0.6 * r, y), (x - 0.3 * r, y - 0.5 * r), (x + 0.35 * r, y - 0.5 * r), (x + 0.65 * r, y)], fill=d)
    pen.rectangle((x - r, y - 0.05 * r, x + r, y + 0.4 * r), fill=c)
    for s in (-0.55, 0.55):
        pen.ellipse((x + (s - 0.22) * r, y + 0.2 * r, x + (s + 0.22) * r, y + 0.64 * r), fill=(25, 25, 25))


def _house(pen: Canvas, x: float, y: float, r: float, c: Colour, d: Colour) -> None:
    pen.rectangle((x - 0.75 * r, y - 0.15 * r, x + 0.75 * r, y + r), fill=c)
    pen.polygon([(x - r, y - 0.15 * r), (x, y - r), (x + r, y - 0.15 * r)], fill=d)
    pen.rectangle((x - 0.2 * r, y + 0.4 * r, x + 0.2 * r, y + r), fill=d)


def _tree(pen: Canvas, x: float, y: float, r: float, c: Colour, _: Colour) -> None:
    pen.rectangle((x - 0.14 * r, y, x + 0.14 * r, y + r), fill=(100, 70, 45))
    pen.ellipse((x - 0.75 * r, y - r, x + 0.75 * r, y + 0.35 * r), fill=c)


def _fish(pen: Canvas, x: float, y: float, r: float, c: Colour, d: Colour) -> None:
    pen.polygon([(x + 0.5 * r, y), (x + r, y - 0.5 * r), (x + r, y + 0.5 * r)], fill=d)
    pen.ellipse((x - r, y - 0.45 * r, x + 0.65 * r, y + 0.45 * r), fill=c)
    pen.ellipse((x - 0.7 * r, y - 0.15 * r, x - 0.5 * r, y + 0.05 * r), fill=(10, 10, 10))


def _ball(pen: Canvas, x: float, y: float, r: float, c: Colour, d: Colour) -> None:
    pen.ellipse((x - 0.85 * r, y - 0.85 * r, x + 0.85 * r, y + 0.85 * r), fill=c, outline=d, width=2)
    pen.arc((x - 0.4 * r, y - 0.85 * r, x + 0.4 * r, y + 0.85 * r), 90, 270, fill=d, width=3)


def _star(pen: Canvas, x: float, y: float, r: float, c: Colour, d: Colour) -> None:
    turns = [(math.pi * (i / 5 - 0.5), r if i % 2 == 0 else 0.42 * r) for i in range(10)]
    pen.polygon([(x + k * math.cos(a), y + k * math.sin(a)) for a, k in turns], fill=c, outline=d)


def _key(pen: Canvas, x: float, y: float, r: float, c: Colour, d: Colour) -> None:
    pen.ellipse((x - r, y - 0.4 * r, x - 0.2 * r, y + 0.4 * r), outline=c, width=max(3, int(0.2 * r)))
    pen.rectangle((x - 0.2 * r, y - 0.1 * r, x + r, y + 0.1 * r), fill=c)
    for s in (0.5, 0.8):
        pen.rectangle((x + s * r, y, x + (s + 0.13) * r, y + 0.4 * r), fill=d)


def _cup(pen: Canvas, x: float, y: float, r: float, c: Colour, d: Colour) -> None:
    pen.arc((x + 0.2 * r, y - 0.4 * r, x + r, y + 0.4 * r), 270, 90, fill=d, width=max(3, int(0.16 * r)))
    pen.polygon(
        [
            (x - 0.7 * r, y - 0.7 * r),
            (x + 0.6 * r, y - 0.7 * r),
            (x + 0.4 * r, y + 0.8 * r),
            (x - 0.5 * r, y + 0.8 * r),
        ],
        fill=c,
    )


def _boat(pen: Canvas, x: float, y: float, r: float, c: Colour, d: Colour) -> None:
    pen.polygon(
        [(x - r, y + 0.3 * r), (x + r, y + 0.3 * r), (x + 0.6 * r, y + 0.8 * r), (x - 0.6 * r, y + 0.8 * r)], fill=d
    )
    pen.polygon([(x, y - r), (x, y + 0.2 * r), (x + 0.8 * r, y + 0.2 * r)], fill=c)
    pen.line((x, y - r, x, y + 0.3 * r), fill=(80, 60, 40), width=3)


def _mushroom(pen: Canvas, x: float, y: float, r: float, c: Colour, _: Colour) -> None:
    pen.rectangle((x - 0.25 * r, y - 0.1 * r, x + 0.25 * r, y + r), fill=(225, 215, 195))
    pen.pieslice((x - r, y - 0.9 * r, x + r, y + 0.7 * r), 180, 360, fill=c)
    for s in (-0.5, 0.0, 0.5):
        pen.ellipse((x + (s - 0.12) * r, y - 0.5 * r, x + (s + 0.12) * r, y - 0.26 * r), fill=(245, 245, 245))


def _umbrella(pen: Canvas, x: float, y: float, r: float, c: Colour, d: Colour) -> None:
    pen.line((x, y - 0.8 * r, x, y + 0.9 * r), fill=d, width=3)
    pen.arc((x - 0.3 * r, y + 0.6 * r, x, y + r), 0, 180, fill=d, width=3)
    pen.pieslice((x - r, y - 0.9 * r, x + r, y + 0.9 * r), 180, 360, fill=c, outline=d)


def _cat(pen: Canvas, x: float, y: float, r: float, c: Colour, d: Colour) -> None:
    for s in (-1, 1):
        pen.polygon([(x + s * 0.8 * r, y - r), (x + s * 0.15 * r, y - 0.5 * r), (x + s * 0.8 * r, y - 0.1 * r)], fill=c)
    pen.ellipse((x - 0.8 * r, y - 0.65 * r, x + 0.8 * r, y + 0.8 * r), fill=c)
    for s in (-0.35, 0.35):
        pen.ellipse((x + (s - 0.13) * r, y - 0.2 * r, x + (s + 0.13) * r, y + 0.1 * r), fill=d)
    for s in (-0.12, 0.0, 0.12):
        pen.line((x - 0.9 * r, y + (0.3 + s) * r, x + 0.9 * r, y + (0.3 - s) * r), fill=d)


def _clock(pen: Canvas, x: float, y: float, r: float, c: Colour, d: Colour) -> None:
    pen.ellipse(
        (x - 0.9 * r, y - 0.9 * r, x + 0.9 * r, y + 0.9 * r),
        fill=(238, 235, 225),
        outline=c,
        width=max(3, int(0.2 * r)),
    )
    pen.line((x, y, x, y - 0.6 * r), fill=d, width=3)
    pen.line((x, y, x + 0.45 * r, y + 0.1 * r), fill=d, width=3)


def _ladder(pen: Canvas, x: float, y: float, r: float, c: Colour, d: Colour) -> None:
    for s in (-0.4, 0.4):
        pen.line((x + s * r, y - r, x + 1.2 * s * r, y + r), fill=c, width=max(3, int(0.14 * r)))
    for s in (-0.7, -0.3, 0.1, 0.5):
        pen.line((x - 0.4 * r, y + s * r, x + 0.4 * r, y + s * r), fill=d, width=3)


_DRAWN = {
    "car": _car,
    "house": _house,
    "tree": _tree,
    "fish": _fish,
    "ball": _ball,
    "star": _star,
    "key": _key,
    "cup": _cup,
    "boat": _boat,
    "mushroom": _mushroom,
    "umbrella": _umbrella,
    "cat": _cat,
    "clock": _clock,
    "ladder": _ladder,
}


def _varied(colour: Colour, rng: np.random.Generator, by: float = 14) -> Colour:
    shift = rng.normal(0, by)
    return tuple(int(np.clip(v + shift + rng.normal(0, by / 2), 0, 255)) for v in colour)
