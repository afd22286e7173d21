"""JPEG and PNG files without their metadata: for the few whose pixels are sound and whose metadata stop a decoder."""

from __future__ import annotations

import struct

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_NEEDED = (
    b"IHDR",
    b"PLTE",
    b"tRNS",
    b"IDAT",
    b"IEND",
    b"eXIf",
)  # chunks of a PNG that pixels, or their turn, depend on
_MAX_EXIF = 2**16
_APP0, _APP14, _APP15, _COMMENT, _SCAN = 0xE0, 0xEE, 0xEF, 0xFE, 0xDA


def without_metadata(data: bytes) -> bytes | None:
    """The same picture without colour profile, text and comments; None where it is of another format, or has none."""
    if data.startswith(_PNG):
        bare: bytes | None = _bare_png(data)
    elif data.startswith(_JPEG):
        bare = _bare_jpeg(data)
    else:
        return None
    return bare if bare and len(bare) < len(data) else None


def _bare_png(data: bytes) -> bytes:
    """PNG: chunks of length, name, content and checksum."""
    kept, place = [_PNG], len(_PNG)
    while place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        name, end = data[place + 4 : place + 8], place + 12 + length
        if name in _NEEDED and not (name == b"eXIf" and length > _MAX_EXIF):
            kept.append(data[place:end])
        place = end
    return b"".join(kept)


def _bare_jpeg(data: bytes) -> bytes | None:
    """JPEG: segments of a marker and a length, up to the scan; APP0 and APP14 say what the colours mean."""
    kept, place = [_JPEG], 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == _SCAN:
            return b"".join([*kept, data[place:]])
        (length,) = struct.unpack(">H", data[place + 2 : place + 4])
        metadata = _APP0 < marker <= _APP15 and marker != _APP14
        if not metadata and marker != _COMMENT:
            kept.append(data[place : place + 2 + length])
        place += 2 + length
    return None
