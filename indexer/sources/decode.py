"""Decode the bytes of one image file to RGB with Pillow, within limits on formats, bytes and pixels."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# Formats are listed so that Pillow never starts a rarer parser (or Ghostscript) on a hostile file.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
MAX_PIXELS = 89_478_485  # Pillow's own default: a quarter of a GiB of RGB
MAX_BYTES = 256 * 2**20


class RejectedImageError(Exception):
    """An image cannot be used; the message is the reason, one line, as stored in the table `rejected`."""


def decode(data: bytes) -> Image.Image:
    """Decode `data` fully to RGB: first frame, upright by its EXIF tag, transparency over white.

    Raises RejectedImageError for empty, truncated, oversized or unreadable data.
    """
    if not data:
        raise RejectedImageError("empty file")
    if len(data) > MAX_BYTES:
        raise RejectedImageError(f"file of {len(data):,} bytes; the limit is {MAX_BYTES:,}")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise RejectedImageError(f"{image.width} x {image.height} pixels; the limit is {MAX_PIXELS:,} in all")
            image.load()
            return to_rgb(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RejectedImageError(f"more pixels than the limit of {MAX_PIXELS:,}") from error
    except UnidentifiedImageError as error:
        raise RejectedImageError("not an image that can be read (jpeg, png, webp, bmp, gif, tiff)") from error
    except RejectedImageError:
        raise
    except Exception as error:  # a decoder may raise anything on hostile bytes
        reason = str(error).split("\n")[0] or type(error).__name__
        raise RejectedImageError(f"damaged image: {reason}") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a decoded image to RGB: transparency over white, 16-bit, 32-bit and float greys scaled by their range."""
    if image.mode == "RGB":
        return image
    if image.mode == "F" or image.mode.startswith("I"):
        return _from_deep_grey(image)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layered).convert("RGB")
    return image.convert("RGB")


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit or float grey to RGB by its range (Pillow's own conversion would clip at 255)."""
    grey = np.nan_to_num(np.asarray(image, dtype=np.float64))
    top = float(grey.max(initial=0.0))
    ceiling = 1.0 if top <= 1.0 else 255.0 if top <= 255.0 else 65535.0 if top <= 65535.0 else top
    return Image.fromarray((np.clip(grey / ceiling, 0, 1) * 255).astype(np.uint8)).convert("RGB")
