"""Every kind of image a user has, and every kind of damage."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fsearch.indexer.sources.decode import MAX_PIXELS, RejectedImageError, decode

RED = (200, 40, 30)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_common_formats_decode_to_rgb(kind: str) -> None:
    image = decode(saved(Image.new("RGB", (40, 30), RED), kind))
    assert (image.mode, image.size) == ("RGB", (40, 30))
    assert np.abs(np.asarray(image).mean(axis=(0, 1)) - RED).max() < 6


def test_cmyk_and_palette_become_rgb() -> None:
    assert (
        np.abs(np.asarray(decode(saved(Image.new("RGB", (8, 8), RED).convert("CMYK"), "JPEG")))[0, 0] - RED).max() < 12
    )
    assert decode(saved(Image.new("RGB", (8, 8), RED).convert("P"), "PNG")).mode == "RGB"


def test_transparency_lies_over_white() -> None:
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    assert np.asarray(decode(saved(clear, "PNG"))).min() == 255


def test_sixteen_bit_grey_keeps_its_range() -> None:
    ramp = np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8)
    pixels = np.asarray(decode(saved(Image.fromarray(ramp), "PNG")))
    assert pixels[0, 0, 0] == 0
    assert pixels[-1, -1, 0] == 255
    assert abs(int(pixels[4, 0, 0]) - 129) <= 2


def test_exif_rotation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise
    assert decode(saved(Image.new("RGB", (40, 30), RED), "JPEG", exif=exif)).size == (30, 40)


def test_a_gif_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), c) for c in (RED, (0, 0, 255))]
    image = decode(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert np.asarray(image)[0, 0, 0] > 150


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims a size; its pixels would be zeros."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"hello, world", "not an image"),
        (saved(Image.new("RGB", (64, 64), RED), "JPEG")[:-200], "damaged image"),
        (saved(Image.effect_noise((64, 64), 50), "PNG")[:1000], "damaged image"),
        (png_of_size(9_500, 9_500), f"{MAX_PIXELS:,}"),
        (png_of_size(60_000, 60_000), f"{MAX_PIXELS:,}"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    ],
    ids=["empty", "text", "truncated jpeg", "truncated png", "large", "bomb", "postscript"],
)
def test_damage_is_named(data: bytes, reason: str) -> None:
    with pytest.raises(RejectedImageError, match=reason.replace("(", r"\(")):
        decode(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 600), st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"]))
def test_hostile_bytes_never_raise_anything_else(noise: bytes, at: int, kind: str) -> None:
    data = saved(Image.new("RGB", (16, 16), RED), kind)
    hostile = data[:at] + noise + data[at + len(noise) :]
    try:
        assert decode(hostile).mode == "RGB"
    except RejectedImageError as error:
        assert str(error)
