"""The renderer: one portrait in, one RGB image out. Pillow does the drawing; the attributes decide what.

A face is drawn at twice its size on its own transparent layer, tilted, laid over the background, then lit, blurred and
reduced. Everything that carries no attribute (pose, shirt, clutter) comes from `Portrait.details`.
"""

from __future__ import annotations

import numpy as np
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


def _light(image: Image.Image, lighting: str, rng: np.random.Generator) -> Image.Image:
    """Expose the scene: dim light also loses colour and gains sensor noise, bright light clips."""
    pixels = np.asarray(image, dtype=np.float32)
    noise = rng.normal(0.0, 1.0, pixels.shape).astype(np.float32)
    if lighting == "dim":
        grey = pixels.mean(axis=2, keepdims=True)
        pixels = (0.75 * pixels + 0.25 * grey) * rng.uniform(0.28, 0.46) * np.array([0.92, 0.96, 1.08]) + noise * 4
    elif lighting == "bright":
        pixels = pixels * rng.uniform(1.14, 1.28) + rng.uniform(16, 30) + noise
    else:
        pixels = pixels * rng.uniform(0.92, 1.06) + noise * 1.5
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
