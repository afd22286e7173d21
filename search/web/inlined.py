"""Images within a file to send: thumbnails as data URLs, as large as all of them together may be."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from fsearch.indexer.sources.decode import RejectedImageError
from fsearch.indexer.workspace.image_reader import ImageReader
from fsearch.indexer.workspace.store import Store

MAX_IMAGE_BYTES = 3_400_000  # of all thumbnails, before base64 adds a third: a report of 50 phrases fits in 5 MB
_SIDES = (160, 128, 112, 96, 80, 64, 48)  # of thumbnails, in pixels: the largest that fits
_SOURCES = "SELECT image_id, source FROM images WHERE list_contains(?::BIGINT[], image_id)"


class Shown(Protocol):
    """An image of an answer or of a change."""

    @property
    def image_id(self) -> int:
        """Its number."""

    @property
    def key(self) -> str:
        """Its name in its source."""

    @property
    def path(self) -> str | None:
        """Path or URL at which it can be opened."""


def inlined(shown: Sequence[Shown], store: Store, reader: ImageReader) -> Callable[[Shown], str | None]:
    """What gives an image as a data URL: all of them as large as MAX_IMAGE_BYTES allows, None for one that is gone."""
    found = store.catalog.sql(_SOURCES, [[n.image_id for n in shown]])
    sources = dict(zip(*(found[name].to_pylist() for name in ("image_id", "source")), strict=True))
    thumbnails: dict[int, bytes] = {}
    for side in _SIDES:
        thumbnails = {}
        total = 0
        for n in shown:
            if n.image_id not in thumbnails:
                thumbnails[n.image_id] = _thumbnail(reader, sources[n.image_id], n.key, side)
            total += len(thumbnails[n.image_id])
            if total > MAX_IMAGE_BYTES and side > _SIDES[-1] and len(shown) > 1:
                break
        else:
            break

    def url(image: Shown) -> str | None:
        data = thumbnails.get(image.image_id)
        return f"data:image/webp;base64,{base64.b64encode(data).decode()}" if data else None

    return url


def _thumbnail(reader: ImageReader, source: str, key: str, side: int) -> bytes:
    try:
        return reader.thumbnail(source, key, side)
    except RejectedImageError:
        return b""


def link(image: Shown) -> str | None:
    """A link that opens the image from disk, or where it is on the network."""
    if image.path is None:
        return None
    return image.path if "://" in image.path else Path(image.path).absolute().as_uri()
