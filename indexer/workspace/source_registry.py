"""Registry of a workspace's sources: recorded when indexed, reopened to run a black box on them or to read images."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.resolve import Images, SourceOptions, open_source
from fsearch.indexer.storage.catalog import Connection
from fsearch.indexer.workspace.store import Store
from fsearch.indexer.workspace.trust import is_trusted, remember

if TYPE_CHECKING:
    from fsearch.indexer.sources.base import Source


def is_recorded(store: Store, images: Images) -> bool:
    """Whether the source is recorded, with this location and these options."""
    name, *there = _row(images)
    with store.catalog.read() as con:
        rows = con.execute("SELECT location, options FROM sources WHERE source = ?", [name]).fetchall()
    return rows == [tuple(there)]


def record(con: Connection, images: Images) -> None:
    """Record a source with its location and options."""
    con.execute("INSERT OR REPLACE INTO sources (source, location, options) VALUES (?, ?, ?)", _row(images))


def trust(store: Store, images: Images) -> None:
    """Trust the workspace with a source that the caller named; see `trust.py`."""
    _, location, options = _row(images)
    if location is not None and not images.is_code:
        remember(store.layout.root, [_identity(location, str(options))])


def _row(images: Images) -> list[str | None]:
    return [images.source.name, images.location, images.options.as_json()]


def reopen(store: Store) -> list[Source]:
    """Every source with present images. Raises BadInputError for images in memory, which have no location.

    The same for a location that this workspace is not trusted with: see `trust.py`.
    """
    found = []
    for source, location, options in _recorded(store):
        if location is None:
            raise BadInputError(
                f"the images of {source!r} were a program's own; hand them over again: losses.add(images=…)"
            )
        if not is_trusted(store.layout.root, _identity(location, options)):
            raise BadInputError(
                f"the workspace says that its images are {location}, and it may be not yours; name them: "
                f"--images {location}, or images= in Python; or trust them: fsearch trust -w {store.layout.root}"
            )
        found.append(open_source(location, SourceOptions.from_json(options)))
    return found


@dataclass(frozen=True, slots=True)
class Location:
    """Where a source is, how it is read, and whether this workspace is trusted with that; see `trust.py`."""

    place: str | None
    options: SourceOptions
    trusted: bool


def locations(store: Store) -> dict[str, Location]:
    """Every source with present images, by name. Nothing is opened."""
    return {
        source: Location(
            location,
            SourceOptions.from_json(options),
            location is not None and is_trusted(store.layout.root, _identity(location, options)),
        )
        for source, location, options in _recorded(store)
    }


def listed_keys(store: Store) -> list[str]:
    """The keys of all images of the local data sets that this workspace is trusted with, in it or not.

    Those that cannot be listed without reading their images are left out, and those that are gone.
    """
    found: list[str] = []
    for location in locations(store).values():
        if location.trusted and location.place is not None and "://" not in location.place:
            with contextlib.suppress(BadInputError, OSError):
                found += open_source(location.place, location.options).keys() or []
    return found


def identities(store: Store) -> dict[str, str]:
    """What `reopen` would follow, in words for a person, and the text that says all of it."""
    return {
        f"{location} {options}": _identity(location, options)
        for _, location, options in _recorded(store)
        if location is not None
    }


def _recorded(store: Store) -> list[tuple[str, str | None, str]]:
    query = (
        "SELECT s.source, s.location, s.options FROM sources s "
        "WHERE s.source IN (SELECT source FROM images WHERE status = 'present') ORDER BY s.source"
    )
    with store.catalog.read() as con:
        return con.execute(query).fetchall()


def _identity(location: str, options: str) -> str:
    return json.dumps(["source", location, options])
