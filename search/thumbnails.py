"""Thumbnails of the images of answers, wherever these lie; of one that is gone or cannot be read, nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from fsearch.indexer.sources.decode import RejectedImageError
from fsearch.indexer.workspace.image_reader import ImageReader
from fsearch.indexer.workspace.store import Store

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


class Thumbnails:
    """Makes thumbnails of `shown`, images of `store`, which is asked once where all of them are.

    Attributes
    ----------
    unread : by image_id, why an image could not be read.
    """

    def __init__(self, store: Store, reader: ImageReader, shown: Sequence[Shown]) -> None:
        found = store.catalog.sql(_SOURCES, [[image.image_id for image in shown]])
        self._sources = dict(zip(*(found[name].to_pylist() for name in ("image_id", "source")), strict=True))
        self._reader = reader
        self.unread: dict[int, str] = {}

    def of(self, image: Shown, side: int) -> bytes:
        """A WebP of one of the images, `side` pixels at most; empty where it cannot be read."""
        try:
            return self._reader.thumbnail(self._sources[image.image_id], image.key, side)
        except RejectedImageError as error:
            self.unread[image.image_id] = str(error)
            return b""
