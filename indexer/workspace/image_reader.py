"""Images of a workspace for people to look at: where each can be opened, its pixels, and small copies that are cached.

Thumbnails lie in the user's cache directory, not in the workspace: it stays read-only, and nothing in a workspace that
was received from somebody is followed or written to. The cache is bounded and safe to delete at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.base import Source, rejecting
from fsearch.indexer.sources.decode import RejectedImageError, decode, to_rgb
from fsearch.indexer.sources.kind import kind_of
from fsearch.indexer.sources.resolve import SourceOptions, open_source
from fsearch.indexer.sources.urls import is_url
from fsearch.indexer.storage.inside import remove
from fsearch.indexer.storage.layout import cache_folder
from fsearch.indexer.workspace.source_registry import Location, locations
from fsearch.indexer.workspace.store import Store

MAX_CACHE_BYTES = 256 * 2**20
IN_MEMORY = "only a program has these images"
NOT_TRUSTED = "what a workspace says of its images is followed only where you trust it"
_ON_DISK = ("folder", "imagefolder", "manifest", "coco", "huggingface")  # kinds whose keys may be paths
_QUALITY = 82  # of the thumbnails' WebP
_CHECK_EVERY = 512  # thumbnails written until the cache's size is looked at


@dataclass(frozen=True, slots=True)
class ImageRow:
    """Where an image comes from, what was right and what the black box said of it, as far as that is known."""

    source: str
    key: str
    label: str | None
    prediction: str | None


class ImageReader:
    """Reads images of `store` by their source and key. Safe in threads."""

    def __init__(self, store: Store) -> None:
        self._store, self._root = store, store.layout.root.resolve()
        self._locations = locations(store)
        self._written = 0

    def described(self, model: str, image_ids: NDArray[np.int64]) -> dict[int, ImageRow]:
        """What the catalog says of some images with a loss of `model`, by their ids, (m,)."""
        query = (
            "SELECT image_id, source, key, label, prediction FROM examples "
            "WHERE model = ? AND list_contains(?::BIGINT[], image_id)"
        )
        with self._store.catalog.read("examples") as con:
            rows = con.execute(query, [model, image_ids.tolist()]).fetchall()
        return {image_id: ImageRow(*rest) for image_id, *rest in rows}

    def place(self, image: ImageRow) -> str | None:
        """The path or URL at which an image can be opened; None where it is in an archive, a table or a program.

        None, too, where the workspace is not trusted with its source: nothing that it says is then looked at.
        """
        at = self._locations.get(image.source)
        if at is None or at.place is None or not at.trusted:
            return None
        if is_url(image.key):
            return image.key
        if is_url(at.place):
            return f"{at.place.rstrip('/')}/{image.key}" if _kind(at) in ("folder", "imagefolder") else None
        if _kind(at) not in _ON_DISK:
            return None
        base = Path(at.options.root or at.place)
        path = (base if base.is_dir() else base.parent) / image.key
        return str(path) if path.is_file() else None

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


def _kind(at: Location) -> str | None:
    with contextlib.suppress(BadInputError, OSError):
        return at.options.kind or (None if at.place is None else _kind_of(at.place))
    return None


@lru_cache(64)
def _kind_of(location: str) -> str:
    return kind_of(location)


@lru_cache(16)
def _opened(location: str, options: SourceOptions) -> Source:
    return open_source(location, options)
