"""Images within a file to send: thumbnails as data URLs, as large as all of them together may be."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path

from fsearch.indexer.workspace.image_reader import ImageReader
from fsearch.indexer.workspace.store import Store
from fsearch.search.thumbnails import Shown, Thumbnails

MAX_IMAGE_BYTES = 3_400_000  # of all thumbnails, before base64 adds a third: a report of 50 phrases fits in 5 MB
_SIDES = (160, 128, 112, 96, 80, 64, 48)  # of thumbnails, in pixels: the largest that fits


def inlined(shown: Sequence[Shown], store: Store, reader: ImageReader) -> Callable[[Shown], str | None]:
    """What gives an image as a data URL: all of them as large as MAX_IMAGE_BYTES allows, None for one that is gone."""
    made = Thumbnails(store, reader, shown)
    thumbnails: dict[int, bytes] = {}
    for side in _SIDES:
        thumbnails = {}
        total = 0
        for n in shown:
            if n.image_id not in thumbnails:
                thumbnails[n.image_id] = made.of(n, side)
            total += len(thumbnails[n.image_id])
            if total > MAX_IMAGE_BYTES and side > _SIDES[-1] and len(shown) > 1:
                break
        else:
            break

    def url(image: Shown) -> str | None:
        data = thumbnails.get(image.image_id)
        return f"data:image/webp;base64,{base64.b64encode(data).decode()}" if data else None

    return url


def link(image: Shown) -> str | None:
    """A link that opens the image from disk, or where it is on the network."""
    if image.path is None:
        return None
    return image.path if "://" in image.path else Path(image.path).absolute().as_uri()
