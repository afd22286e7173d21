"""Decode the bytes of one image file to RGB with Pillow, within limits on formats, bytes and pixels.

Only pixels count: an image is never rejected for its EXIF block, colour profile or text.
"""

from __future__ import annotations

import importlib
import io
import os
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, JpegImagePlugin, UnidentifiedImageError

from fsearch.indexer.sources.metadata_strip import without_metadata

# Formats are listed so that Pillow never starts a rarer parser (or Ghostscript) on a hostile file. TGA has no
# signature, so it is the last.
FORMATS = (
    *(
        "JPEG",
        "PNG",
        "WEBP",
        "GIF",
        "BMP",
        "TIFF",
        "MPO",
        "AVIF",
        "HEIF",
        "JPEG2000",
        "PPM",
        "QOI",
        "DIB",
        "ICO",
        "DDS",
    ),
    *("PCX", "SGI", "TGA"),
)
MAX_PIXELS = 89_478_485  # Pillow's own default: a quarter of a GiB of RGB
MAX_PHOTO_PIXELS = 2**28  # of a JPEG or JPEG 2000, which are decoded at a half, quarter or eighth of their size
MAX_BYTES = 256 * 2**20
MAX_PIXELS_VARIABLE = "FSEARCH_MAX_PIXELS"  # sets both limits

_REDUCIBLE = ("JPEG", "MPO", "JPEG2000")
_FULL_SCALES = tuple(2**bits - 1 for bits in (8, 10, 12, 14, 16))
_TURNS = {  # EXIF orientation: how stored pixels become upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class RejectedImageError(Exception):
    """An image cannot be used; the message is the reason, one line, as stored in the table `rejected`."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded image file.

    Attributes
    ----------
    image : RGB, upright; smaller than the file's own size where that is very large.
    size : width and height of the whole image in pixels, upright.
    orientation : the EXIF orientation that was undone, 1 for none.
    """

    image: Image.Image
    size: tuple[int, int]
    orientation: int = 1


@cache
def suffixes() -> frozenset[str]:
    """Suffixes, in lower case with their dot, of the files that the installed Pillow decodes; HEIC with pillow-heif."""
    known = (*formats(), "MPO")  # which JPEG's plugin opens
    return frozenset(suffix for suffix, kind in Image.registered_extensions().items() if kind in known)


@cache
def formats() -> tuple[str, ...]:
    """Those of FORMATS that the installed Pillow decodes, for Image.open."""
    _with_heif()
    Image.init()
    return tuple(kind for kind in FORMATS if kind in Image.OPEN)


@cache
def _with_heif() -> None:
    """Register the formats of the library pillow-heif, where it is installed."""
    try:
        importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError:
        return


def decode(data: bytes) -> Image.Image:
    """The image of `decode_whole`."""
    return decode_whole(data).image


def decode_whole(data: bytes) -> Decoded:
    """Decode `data` fully to RGB: first frame, upright by its EXIF tag, transparency over white.

    Raises RejectedImageError for empty, truncated, oversized or unreadable data.
    """
    if not data:
        raise RejectedImageError("empty file")
    if len(data) > MAX_BYTES:
        raise RejectedImageError(f"file of {len(data):,} bytes; the limit is {MAX_BYTES:,}")
    try:
        try:
            return _decode(data)
        except Exception:
            bare = without_metadata(data)
            if bare is None:
                raise
            return _decode(bare)
    except Image.DecompressionBombError as error:
        raise RejectedImageError(_too_large("the image has more")) from error
    except UnidentifiedImageError as error:
        raise RejectedImageError(_not_an_image(data)) from error
    except RejectedImageError:
        raise
    except Exception as error:  # a decoder may raise anything on hostile bytes
        reason = str(error).split("\n")[0] or type(error).__name__
        raise RejectedImageError(f"damaged image: {reason}") from error


def _decode(data: bytes) -> Decoded:
    with _open(data) as image:
        width, height = image.size
        _reduce(image)
        image.load()
        orientation = _orientation(image)
        upright = to_rgb(image)
        if orientation in _TURNS:
            upright = upright.transpose(_TURNS[orientation])
        elif upright is image:
            upright = image.copy()
    return Decoded(upright, (height, width) if orientation > 4 else (width, height), orientation)


def _open(data: bytes) -> Image.Image:
    """The image, its pixels not decoded yet."""
    if pixel_limits()[0] > MAX_PIXELS:
        Image.MAX_IMAGE_PIXELS = pixel_limits()[0]  # the user's own word, for Pillow too
    try:
        return Image.open(io.BytesIO(data), formats=formats())
    except Image.DecompressionBombError:
        if not data.startswith(b"\xff\xd8\xff"):
            raise
        return JpegImagePlugin.JpegImageFile(io.BytesIO(data))  # Pillow's limit comes before its reduced decoding


def pixel_limits() -> tuple[int, int]:
    """The most pixels of an image that is decoded whole, and of one that can be decoded at a part of its size."""
    text = os.environ.get(MAX_PIXELS_VARIABLE, "")
    own = int(text) if text.isdecimal() and int(text) > 0 else None
    return (own or MAX_PIXELS, own or MAX_PHOTO_PIXELS)


def _reduce(image: Image.Image) -> None:
    """Have a very large photograph decoded at the largest half, quarter or eighth within MAX_PIXELS.

    Raises RejectedImageError where it is too large even so, or is of a format that has no reduced decoding.
    """
    pixels, (whole, photo) = image.width * image.height, pixel_limits()
    size, reducible = image.size, image.format in _REDUCIBLE
    if pixels > (photo if reducible else whole):
        raise RejectedImageError(_too_large(f"{image.width} x {image.height} pixels"))
    if pixels <= MAX_PIXELS or not reducible:
        return
    steps = next((k for k in (1, 2) if pixels >> 2 * k <= MAX_PIXELS), 3)
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        image.draft(None, (size[0] >> steps, size[1] >> steps))
    else:
        image.reduce = steps  # type: ignore[method-assign, assignment]  # an attribute of JPEG 2000 files


def _too_large(what: str) -> str:
    whole, photo = pixel_limits()
    return f"{what}; the limit is {whole:,} in all ({photo:,} for JPEG), and {MAX_PIXELS_VARIABLE} sets another"


def _not_an_image(data: bytes) -> str:
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"heim", b"heis"):
        return "a HEIC image, which needs the library pillow-heif: pip install pillow-heif"
    return "not an image that can be read (jpeg, png, webp, bmp, gif, tiff and others)"


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where the image has none, or none that can be read."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # the block may hold anything, and costs no pixel
        return 1
    return found if isinstance(found, int) and found in _TURNS else 1


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a decoded image to RGB: transparency over white, deep greys as `scale_grey` says."""
    if image.mode == "RGB":
        return image
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(scale_grey(np.asarray(image))).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layered).convert("RGB")
    return image.convert("RGB")


def scale_grey(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """(H, W) greys of more than 8 bits, or floats, as 8-bit greys. The rule, by the values' own range:

    - whole numbers from 0 up fill the least scale of 8, 10, 12, 14 or 16 bits that holds the largest of them;
    - floats from 0 to 1 fill 0 to 1, and floats from 0 up, above that, the same scales;
    - all else, negative or larger, is spread from its least value to its largest.

    Values that are not finite become the least (NaN) or the nearest finite value.
    """
    grey = values.astype(np.float64)
    finite = grey[np.isfinite(grey)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    grey = np.nan_to_num(grey, nan=low, posinf=high, neginf=low)
    scales = _FULL_SCALES if np.issubdtype(values.dtype, np.integer) else (1, *_FULL_SCALES)
    scale = next((s for s in scales if high <= s), None)
    if low >= 0 and scale is not None:
        low, high = 0.0, float(scale)
    span = (high - low) or 1.0
    return np.asarray(np.rint((grey - low) / span * 255), np.uint8)
