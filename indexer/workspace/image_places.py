"""What is known of the images that an answer names, and the path or URL at which each can be opened. None is read."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.kind import kind_of
from fsearch.indexer.sources.urls import is_url
from fsearch.indexer.storage.catalog import Connection
from fsearch.indexer.storage.rows import make_views
from fsearch.indexer.workspace.source_registry import Location, locations
from fsearch.indexer.workspace.store import Store

_MOST_KNOWN = 50_000  # images that are remembered
_ON_DISK = ("folder", "imagefolder", "manifest", "coco", "huggingface")  # kinds whose keys may be paths


@dataclass(frozen=True, slots=True)
class ImageRow:
    """Where an image comes from, what was right and what the black box said of it, as far as that is known."""

    source: str
    key: str
    label: str | None
    prediction: str | None


class ImagePlaces:
    """Tells of images of `store`, as it is when it is first asked of each, by their source and key. Safe in threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._locations = locations(store)
        self._known: dict[tuple[str, int], ImageRow | None] = {}

    def described(self, model: str, image_ids: NDArray[np.int64]) -> dict[int, ImageRow]:
        """What the catalog says of some images with a loss of `model`, by their ids, (m,); it is asked once of each."""
        known, ids = self._known, image_ids.tolist()
        found = {i: known[model, i] for i in ids if (model, i) in known}
        if missing := [i for i in ids if i not in found]:
            with self._store.catalog.read("examples") as con:
                found |= self._read(con, model, missing)
        return {i: row for i, row in found.items() if row is not None}

    def look(self, con: Connection, model: str, image_ids: NDArray[np.int64]) -> None:
        """Read by a connection that is open what `described` will be asked, so that it opens none."""
        make_views(con, ["examples"])
        self._read(con, model, image_ids.tolist())

    def _read(self, con: Connection, model: str, ids: list[int]) -> dict[int, ImageRow | None]:
        query = (
            "SELECT image_id, source, key, label, prediction FROM examples "
            "WHERE model = ? AND list_contains(?::BIGINT[], image_id)"
        )
        rows = {i: ImageRow(*rest) for i, *rest in con.execute(query, [model, ids]).fetchall()}
        if len(self._known) > _MOST_KNOWN:
            self._known = {}
        found = {i: rows.get(i) for i in ids}
        self._known |= {(model, i): row for i, row in found.items()}
        return found

    def place(self, image: ImageRow) -> str | None:
        """The path or URL at which an image can be opened; None where it is in an archive, a table or a program.

        None, too, where the workspace is not trusted with its source: nothing that it says is then looked at. A key
        that is the path of a file in a folder of images is that file, however the folder is laid out: its kind, which
        takes a listing of it, is not asked for.
        """
        at = self._locations.get(image.source)
        if at is None or at.place is None or not at.trusted:
            return None
        if is_url(image.key):
            return image.key
        if is_url(at.place):
            return f"{at.place.rstrip('/')}/{image.key}" if _kind(at) in ("folder", "imagefolder") else None
        base = Path(at.options.root or at.place)
        path = (base if base.is_dir() else base.parent) / image.key
        if not path.is_file():
            return None
        return str(path) if (at.options.kind is None and Path(at.place).is_dir()) or _kind(at) in _ON_DISK else None


def _kind(at: Location) -> str | None:
    with contextlib.suppress(BadInputError, OSError):
        return at.options.kind or (None if at.place is None else _kind_of(at.place))
    return None


@lru_cache(64)
def _kind_of(location: str) -> str:
    return kind_of(location)
