"""The ground truth of images that are about to be indexed, from what their source says before any of them is read.

So a black box can be judged while the images are embedded. What was foreseen is compared afterwards to what the catalog
then holds, and whatever differs is judged again: nothing that is stored rests on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fsearch.indexer.losses.functions.base import LossFunction
from fsearch.indexer.losses.ground_truth import USUAL_COLUMNS, CatalogColumns, GroundTruth, find_ground_truth
from fsearch.indexer.losses.loss_spec import LossSpec
from fsearch.indexer.losses.matching import WorkspaceImages
from fsearch.indexer.sources.base import storable
from fsearch.indexer.sources.resolve import Images
from fsearch.indexer.storage.metadata import own_columns
from fsearch.indexer.workspace.store import Store


@dataclass(frozen=True, slots=True)
class Foreseen:
    """Ground truth by identities that images have, or might get, and these identities by key."""

    truth: GroundTruth
    ids: Mapping[str, int]

    def target(self, key: str) -> Any:
        """The target of an image of the source; None where it has none."""
        return self.truth.by_image.get(self.ids.get(key, -1))


class _OnlyReadingTellsError(Exception):
    """The ground truth needs what no source says before its images are read."""


@dataclass(frozen=True, slots=True)
class _ListedColumns:
    """What a source says of the images it lists, over what the catalog says of all; see `ImageColumns`."""

    catalog: CatalogColumns | None
    listed: Mapping[str, Mapping[int, Any]]
    options: str

    def names(self) -> list[str]:
        return list(dict.fromkeys([*(self.catalog.names() if self.catalog else ()), *self.listed]))

    def values(self, columns: Sequence[str]) -> list[dict[int, Any]]:
        there = [c for c in columns if self.catalog and c in self.catalog.names()]
        stored = dict(zip(there, self.catalog.values(there) if self.catalog else [], strict=True))
        return [{**stored.get(c, {}), **self.listed.get(c, {})} for c in columns]

    def sizes(self) -> dict[int, tuple[int, int]]:
        raise _OnlyReadingTellsError

    def sources(self) -> list[str]:
        return [*(self.catalog.sources() if self.catalog else ()), self.options]


def foresee(store: Store | None, images: Images, task: LossFunction, loss_spec: LossSpec) -> Foreseen | None:
    """The ground truth of `images`, none of which is read; `store` is the workspace, where there is one.

    None where only reading them tells it: images of a program, and objects whose boxes are shares of their image.
    Raises BadInputError where there is none, see `find_ground_truth`.
    """
    if images.location is None or images.is_code:
        return None
    wanted = set(loss_spec.target or USUAL_COLUMNS)
    ids, others = _identities(store, images.source.name)
    following = max([*ids.values(), *others.image_ids], default=-1) + 1
    found: dict[str, int] = {}
    listed: dict[str, dict[int, Any]] = {}
    for item in map(storable, images.source.items()):
        found[item.key] = ids.get(item.key, following + len(found))
        for column, value in own_columns(item.metadata).items():
            by_image = listed.setdefault(column, {})
            if column in wanted:
                by_image[found[item.key]] = value
    known = sorted(
        [
            *((i, key, images.source.name) for key, i in found.items()),
            *(
                place
                for place in zip(others.image_ids, others.keys, others.sources, strict=True)
                if place[2] != images.source.name or (place[1] not in found and not images.whole)
            ),
        ]
    )
    said = _ListedColumns(CatalogColumns(store) if store else None, listed, images.options.as_json())
    names = WorkspaceImages([i for i, *_ in known], [k for _, k, _ in known], [s for *_, s in known])
    try:
        return Foreseen(find_ground_truth(said, task, loss_spec, names), found)
    except _OnlyReadingTellsError:
        return None


def _identities(store: Store | None, source: str) -> tuple[dict[str, int], WorkspaceImages]:
    """Identities that images of a source have by key, and all images that are present."""
    if store is None:
        return {}, WorkspaceImages([], [], [])
    with store.catalog.read() as con:
        own = con.execute("SELECT key, image_id FROM images WHERE source = ?", [source]).fetchall()
        rows = con.execute("SELECT image_id, key, source FROM images WHERE status = 'present'").fetchall()
    return dict(own), WorkspaceImages([i for i, *_ in rows], [k for _, k, _ in rows], [s for *_, s in rows])
