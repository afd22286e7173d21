"""The renderer: one portrait in, one RGB image out. Pillow does the drawing; the attributes decide what.

A face is drawn at twice its size on its own transparent layer, tilted, laid over the background, then lit, blurred and
reduced. Everything that carries no attribute (pose, shirt, clutter) comes from `Portrait.details`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from fsearch.data.portraits.attributes import Portrait
from fsearch.data.portraits.backgrounds import draw_background
from fsearch.data.portraits.face import draw_face

SIZE = 96
_SCALE = 2


def draw(portrait: Portrait) -> Image.Image:
    """Render `portrait` as an RGB image of SIZE x SIZE pixels; equal portraits give equal pixels."""
    rng = np.random.default_rng([portrait.details, 42])
    side = SIZE * _SCALE
    canvas = draw_background(portrait.background, side, rng)
    layer = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    centre = (side * (0.5 + rng.uniform(-0.04, 0.04)), side * (0.50 + rng.uniform(-0.03, 0.03)))
    draw_face(ImageDraw.Draw(layer), portrait, centre, side * rng.uniform(0.205, 0.245), rng)
    tilted = layer.rotate(float(rng.uniform(-7, 7)), Image.Resampling.BILINEAR)
    canvas.paste(tilted, (0, 0), tilted)
    small = canvas.resize((SIZE, SIZE), Image.Resampling.BOX)
    if portrait.blurry:
        small = small.filter(ImageFilter.GaussianBlur(float(rng.uniform(1.7, 2.6))))
    return _light(small, portrait.lighting, rng)


def pixels(portrait: Portrait) -> NDArray[np.uint8]:
    """The drawn portrait as (SIZE, SIZE, 3)."""
    return np.asarray(draw(portrait))


def draw_many(portraits: Sequence[Portrait]) -> Iterator[NDArray[np.uint8]]:
    """The pixels of each portrait, in order, drawn by all cores."""
    with ProcessPoolExecutor() as pool:
        yield from pool.map(pixels, portraits, chunksize=100)


def _light(image: Image.Image, lighting: str, rng: np.random.Generator) -> Image.Image:
    """Expose the scene: dim light also loses colour and gains sensor noise, bright light clips."""
    seen = np.asarray(image, dtype=np.float32)
    noise = rng.normal(0.0, 1.0, seen.shape).astype(np.float32)
    if lighting == "dim":
        grey = seen.mean(axis=2, keepdims=True)
        seen = (0.75 * seen + 0.25 * grey) * rng.uniform(0.28, 0.46) * np.array([0.92, 0.96, 1.08]) + noise * 4
    elif lighting == "bright":
        seen = seen * rng.uniform(1.14, 1.28) + rng.uniform(16, 30) + noise
    else:
        seen = seen * rng.uniform(0.92, 1.06) + noise * 1.5
    return Image.fromarray(np.clip(seen, 0, 255).astype(np.uint8))
