"""Images of a workspace for people to look at: their pixels, and small copies that are cached.

Thumbnails lie in the user's cache directory, not in the workspace: it stays read-only, and nothing in a workspace that
was received from somebody is followed or written to. The cache is bounded and safe to delete at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from functools import lru_cache
from pathlib import Path

from PIL import Image

from fsearch.indexer.sources.base import Source, rejecting
from fsearch.indexer.sources.decode import RejectedImageError, decode, to_rgb
from fsearch.indexer.sources.resolve import SourceOptions, open_source
from fsearch.indexer.sources.urls import is_url
from fsearch.indexer.storage.inside import remove
from fsearch.indexer.storage.layout import cache_folder
from fsearch.indexer.workspace.image_places import ImagePlaces, ImageRow
from fsearch.indexer.workspace.store import Store

MAX_CACHE_BYTES = 256 * 2**20
IN_MEMORY = "only a program has these images"
NOT_TRUSTED = "what a workspace says of its images is followed only where you trust it"
_QUALITY = 82  # of the thumbnails' WebP
_CHECK_EVERY = 512  # thumbnails written until the cache's size is looked at


class ImageReader(ImagePlaces):
    """Reads images of `store` by their source and key. Safe in threads."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._root = store.layout.root.resolve()
        self._written = 0

    def read(self, source: str, key: str) -> Image.Image:
        """The image, upright and in RGB. Raises RejectedImageError, and no other exception, with the reason."""
        with rejecting():
            data = self.data(source, key)
            return decode(data) if isinstance(data, bytes) else to_rgb(data)

    def data(self, source: str, key: str) -> bytes | Image.Image:
        """The encoded bytes of an image, or its pixels where it was in memory. Raises RejectedImageError, as `read`."""
        with rejecting():
            return self._source(source).read(key)

    def thumbnail(self, source: str, key: str, side: int) -> bytes:
        """A WebP of the image, `side` pixels at most. Raises RejectedImageError, as `read`."""
        entry = self._entry(source, key, side)
        if entry is not None:
            with contextlib.suppress(OSError):
                return entry.read_bytes()
        image = self.read(source, key)
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        image.save(file, "WEBP", quality=_QUALITY, method=4)
        if entry is not None:
            self._keep(entry, file.getvalue())
        return file.getvalue()

    def _source(self, name: str) -> Source:
        at = self._locations.get(name)
        if at is None:
            raise RejectedImageError(f"the workspace does not say where {name!r} is")
        if at.place is None:
            raise RejectedImageError(IN_MEMORY)
        if not at.trusted:
            raise RejectedImageError(f"{NOT_TRUSTED}: fsearch trust -w {self._root}")
        return _opened(at.place, at.options)

    def _entry(self, source: str, key: str, side: int) -> Path | None:
        """The file of a thumbnail; its name changes when the image's file does, where that can be told."""
        with contextlib.suppress(RuntimeError):
            place = self.place(ImageRow(source, key, None, None))
            version: tuple[int, ...] = ()
            if place is not None and not is_url(place):
                with contextlib.suppress(OSError):
                    status = os.stat(place)
                    version = status.st_mtime_ns, status.st_size
            name = hashlib.sha256(repr((str(self._root), source, key, side, version)).encode()).hexdigest()
            return cache_folder() / "thumbnails" / name[:2] / f"{name[2:40]}.webp"
        return None

    def _keep(self, entry: Path, data: bytes) -> None:
        """Write a thumbnail where it can be; a full disk or a cache that is not ours costs time, nothing else."""
        with contextlib.suppress(OSError):
            entry.parent.mkdir(parents=True, exist_ok=True)
            part = entry.with_name(f"{entry.name}.{os.getpid()}.part")
            part.write_bytes(data)
            part.replace(entry)
            if self._written % _CHECK_EVERY == 0:
                prune(entry.parents[1], MAX_CACHE_BYTES)
            self._written += 1


def prune(folder: Path, limit: int) -> None:
    """Delete the oldest thumbnails below `folder` until at most nine tenths of `limit` bytes are left, if over it."""
    files = []
    for path in folder.glob("??/*"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            files.append((status.st_mtime_ns, status.st_size, path))
    total = sum(size for _, size, _ in files)
    if total <= limit:
        return
    for _, size, path in sorted(files):
        with contextlib.suppress(OSError):
            remove(path)
        total -= size
        if total <= limit * 0.9:
            return


@lru_cache(16)
def _opened(location: str, options: SourceOptions) -> Source:
    return open_source(location, options)
