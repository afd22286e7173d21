"""Registry of a workspace's sources: recorded when indexed, reopened to run a black box on them or to read images."""

from __future__ import annotations

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.base import Source
from fsearch.indexer.sources.resolve import Images, SourceOptions, open_source
from fsearch.indexer.workspace.store import Store


def record(store: Store, images: Images) -> None:
    """Record a source with its location and options. Call inside `store.writer()`."""
    with store.catalog.write() as con:
        con.execute(
            "INSERT OR REPLACE INTO sources (source, location, options) VALUES (?, ?, ?)",
            [images.source.name, images.location, images.options.as_json()],
        )


def reopen(store: Store) -> list[Source]:
    """Every source with present images. Raises BadInputError for images in memory, which have no location."""
    query = (
        "SELECT s.source, s.location, s.options FROM sources s "
        "WHERE s.source IN (SELECT source FROM images WHERE status = 'present') ORDER BY s.source"
    )
    with store.catalog.read() as con:
        rows = con.execute(query).fetchall()
    found = []
    for source, location, options in rows:
        if location is None:
            raise BadInputError(
                f"the images of {source!r} were a program's own; hand them over again: losses.add(images=…)"
            )
        found.append(open_source(location, SourceOptions.from_json(options)))
    return found
