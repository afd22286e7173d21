"""Match the names of images in a file to the images of a workspace: by path, by file name, or by stem."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.tabular import KEY_COLUMNS, find_column
from fsearch.indexer.workspace.store import Store

NO_IMAGE = -1  # identity of a rejected image


@dataclass(frozen=True, slots=True)
class WorkspaceImages:
    """The present images of a workspace, or of one source: n identities, keys and sources, by rising identity."""

    image_ids: list[int]
    keys: list[str]
    sources: list[str]

    @property
    def folder(self) -> Path:
        """The folder of the one source that there is, which a file's paths may lead through; else the current one."""
        source = Path(self.sources[0])
        if len(set(self.sources)) > 1 or not source.exists():
            return Path()
        return source if source.is_dir() else source.parent

    def find(self, keys: Sequence[str], path: Path, base: Path = Path(), *, partial: bool = False) -> list[int | None]:
        """Positions of the images that `keys`, in the file `path`, name. See `match`."""
        several = self.sources if len(set(self.sources)) > 1 else ()
        return match(keys, self.keys, path, base, sources=several, partial=partial)


def workspace_images(store: Store, source: str | None = None, *, rejected: bool = False) -> WorkspaceImages:
    """The images that are present, in all sources or in one; with `rejected` also the rejected ones, as NO_IMAGE.

    Raises BadInputError where none is present.
    """
    query = "SELECT image_id, key, source FROM images WHERE status = 'present' AND source = coalesce(?, source)"
    with store.catalog.read() as con:
        rows = con.execute(f"{query} ORDER BY image_id", [source]).fetchall()
        if not rows:
            raise BadInputError(f"no images in {store.layout.root}; index some first")
        if rejected:
            query = f"SELECT {NO_IMAGE}, key, source FROM rejected WHERE source = coalesce(?, source) ORDER BY key"
            rows += con.execute(query, [source]).fetchall()
    return WorkspaceImages([i for i, *_ in rows], [k for _, k, _ in rows], [s for *_, s in rows])


def read_keys(table: pa.Table, path: Path) -> tuple[str, list[str]]:
    """The column of `table` that names images, and its n values as text.

    Raises BadInputError where there is no such column, or an image is named twice.
    """
    column = find_column(table.column_names, KEY_COLUMNS)
    if column is None:
        seen = ", ".join(table.column_names)
        raise BadInputError(f"{path} has no column that names images (seen: {seen}); call it 'image'")
    keys = [image_key(k, row, path) for row, k in enumerate(table[column].to_pylist(), start=1)]
    refuse_repeats(keys, keys, path)
    return column, keys


def image_key(value: object, row: int, path: Path) -> str:
    """The name of an image in row `row` of the file `path`. Raises BadInputError where it is missing."""
    text = "" if value is None else str(value).replace("\\", "/").removeprefix("./").strip()
    if not text:
        raise BadInputError(f"{path} row {row}: the image's name is missing")
    return text


def match(
    keys: Sequence[str],
    images: Sequence[str],
    path: Path,
    base: Path = Path(),
    *,
    sources: Sequence[str] = (),
    partial: bool = False,
) -> list[int | None]:
    """The index into `images` of each of `keys`, which are in the file `path`; None, if `partial`, for no match.

    A key names an image by its path below the source, with or without suffix, else by file name, else by stem; a path
    that leads through the source's folder `base` is taken as below it. `sources`, one per image, tell images of the
    same key in several sources apart: SOURCE/KEY names one of them. Raises BadInputError for a key that names several
    images, for two that name the same, and unless `partial` for one that names none.
    """
    lookup = _Lookup(images, sources, base)
    found: list[int | None] = []
    unmatched: list[str] = []
    for row, key in enumerate(keys, start=1):
        hits = lookup.find(key)
        if len(hits) > 1:
            both = " and ".join(f"{sources[i]}/{images[i]}" if sources else images[i] for i in hits[:2])
            whole = "the source and the path below it" if sources else "the path below the image folder"
            raise BadInputError(f"{path} row {row}: {key!r} may be {both}; give {whole}")
        if not hits:
            unmatched.append(f"{key!r} (row {row})")
        found.append(hits[0] if hits else None)
    if len(unmatched) == len(keys) or (unmatched and not partial):
        like = f"images are named like {images[0]!r}" if images else "there are no images"
        raise BadInputError(
            f"{path}: {len(unmatched)} of {len(keys)} keys match no image, first {unmatched[0]}; {like}"
        )
    refuse_repeats(found, [None if i is None else images[i] for i in found], path)
    return found


class _Lookup:
    """Images by each form in which a file may name them."""

    def __init__(self, images: Sequence[str], sources: Sequence[str], base: Path) -> None:
        full, working = base.absolute(), Path.cwd()
        forms = {base, full, base.resolve(), full.relative_to(working) if full.is_relative_to(working) else full}
        self._above = {f"{form.as_posix()}/" for form in forms}
        tables = (defaultdict[str, list[int]](list) for _ in range(4))
        self._by_path, self._by_path_stem, self._by_name, self._by_stem = tables
        for i, key in enumerate(images):
            below = PurePosixPath(key)
            self._by_path[key].append(i)
            if sources:
                self._by_path[f"{sources[i]}/{key}"].append(i)
            self._by_path_stem[str(below.with_suffix("")) if below.name else key].append(i)
            self._by_name[below.name].append(i)
            self._by_stem[below.stem].append(i)

    def find(self, key: str) -> list[int]:
        """Indices of the images that `key` may name."""
        below = next((key.removeprefix(a) for a in self._above if key.startswith(a)), key)
        return (
            self._by_path.get(key)
            or self._by_path.get(below)
            or self._by_path_stem.get(below)
            or self._by_name.get(key)
            or self._by_stem.get(key)
            or []
        )


def refuse_repeats(images: Sequence[str | int | None], names: Sequence[str | None], path: Path) -> None:
    """Raise BadInputError where an image, however identified, occurs twice; None is no image.

    `images` : one identity per row of the file `path`; `names` : what to call each in the message.
    """
    first: dict[str | int, int] = {}
    for row, (image, name) in enumerate(zip(images, names, strict=True), start=1):
        if image is None:
            continue
        if image in first:
            raise BadInputError(f"{path} row {row}: {name!r} has a loss already in row {first[image]}; keep one")
        first[image] = row
