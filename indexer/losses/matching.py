"""Match the names of images in a file to the images of a workspace, and count the rows: matched, absent, unknown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.keys import KeyIndex, normal_key
from fsearch.indexer.storage.tabular import KEY_COLUMNS, find_column
from fsearch.indexer.workspace.store import Store

NO_IMAGE = -1  # identity of an image that is known, but not there
_WHY = {"missing": "images that are missing now", "damaged": "images whose embedding was lost"}
REJECTED = "rejected images"


@dataclass(frozen=True, slots=True)
class WorkspaceImages:
    """The images of a workspace, or of one source: n identities, keys and sources; the present ones by rising identity.

    Those known but not there have the identity NO_IMAGE, and in `absent`, one text per image, why.
    """

    image_ids: list[int]
    keys: list[str]
    sources: list[str]
    absent: list[str | None] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """The folder of the one source that there is; else the current one."""
        return next(iter(self._folders()), Path()) if len(set(self.sources)) == 1 else Path()

    def _folders(self) -> list[Path]:
        places = [Path(s) for s in dict.fromkeys(self.sources) if "://" not in s and Path(s).exists()]
        return [p if p.is_dir() else p.parent for p in places]

    def index(self, base: Path | None = None) -> KeyIndex:
        """The images by their names; names may lead through `base`, by default through each source's folder."""
        several = self.sources if len(set(self.sources)) > 1 else ()
        return KeyIndex(self.keys, several, self._folders() if base is None else [base])

    def find(self, keys: Sequence[str], path: Path, base: Path | None = None) -> list[int | None]:
        """Positions of the images that `keys`, in the file `path`, name; None where there is none. See `match`."""
        return find_images(self.index(base), keys, self.keys, path, self.sources)[0]


@dataclass(frozen=True, slots=True)
class RowCounts:
    """What became of the rows of a file.

    Attributes
    ----------
    rows, matched : how many were read, and name a present image.
    absent : how many name images that are known but not there, by why.
    unknown : how many name none, and were left out as asked.
    """

    rows: int
    matched: int
    absent: Mapping[str, int]
    unknown: int = 0

    def __str__(self) -> str:
        parts = [f"{self.matched:,} matched", *(f"{n:,} of {why} left out" for why, n in self.absent.items())]
        return ", ".join([*parts, *([f"{self.unknown:,} of unknown images ignored"] if self.unknown else [])])


def workspace_images(store: Store, source: str | None = None, *, known: bool = False) -> WorkspaceImages:
    """The images that are present, in all sources or in one; if `known`, also those that are not, as NO_IMAGE.

    Raises BadInputError where none is present.
    """
    query = "SELECT image_id, key, source, status FROM images WHERE source = coalesce(?, source)"
    with store.catalog.read() as con:
        rows = con.execute(f"{query} AND status = 'present' ORDER BY image_id", [source]).fetchall()
        if not rows:
            raise BadInputError(f"no images in {store.layout.root}; index some first")
        if known:
            there = {(s, k) for _, k, s, _ in rows}
            absent = con.execute(f"{query} AND status <> 'present' ORDER BY image_id", [source]).fetchall()
            query = "SELECT 0, key, source, NULL FROM rejected WHERE source = coalesce(?, source) ORDER BY key"
            absent += con.execute(query, [source]).fetchall()
            unique = {(s, k): (NO_IMAGE, k, s, _WHY.get(why, REJECTED)) for _, k, s, why in absent}
            rows += [row for place, row in unique.items() if place not in there]
    why = [None if i != NO_IMAGE else status for i, *_, status in rows]
    return WorkspaceImages([i for i, *_ in rows], [k for _, k, *_ in rows], [s for *_, s, _ in rows], why)


def match_rows(
    images: WorkspaceImages,
    keys: Sequence[str],
    path: Path,
    others: Callable[[], Mapping[str, Sequence[str]]],
    *,
    base: Path | None = None,
    ignore_unknown: bool = False,
) -> tuple[list[int | None], RowCounts]:
    """The position among `images` of each of `keys`, None for a row to leave out, and what became of the rows.

    `others` gives names of images that are known but not among `images`, by why; it is called only for names that are
    none of these. Raises BadInputError for a name of several images, two of the same, and unless `ignore_unknown` for
    one of none.
    """
    index = images.index(base)
    found, unmatched = find_images(index, keys, images.keys, path, images.sources)
    why = Counter(images.absent[i] or "" for i in found if i is not None and images.image_ids[i] == NO_IMAGE)
    if unmatched:
        folders = images._folders() if base is None else [base]
        elsewhere = {reason: KeyIndex(names, (), folders) for reason, names in others().items()}
        reasons = [next((r for r, i in elsewhere.items() if i.find(keys[row]).images), None) for row in unmatched]
        why.update(r for r in reasons if r is not None)
        unmatched = [row for row, reason in zip(unmatched, reasons, strict=True) if reason is None]
    if unmatched and (not ignore_unknown or len(unmatched) == len(keys)):
        raise unknown_keys(index, [(row, keys[row]) for row in unmatched], len(keys), path)
    matched = sum(i is not None and images.image_ids[i] != NO_IMAGE for i in found)
    if not matched:
        counts = RowCounts(len(keys), 0, why, len(unmatched))
        raise BadInputError(f"{path}: no row is of an image that is there: {counts}")
    return found, RowCounts(len(keys), matched, why, len(unmatched))


def find_images(
    index: KeyIndex, keys: Sequence[str], images: Sequence[str], path: Path, sources: Sequence[str] = ()
) -> tuple[list[int | None], list[int]]:
    """The image of each key, None for none, and the positions of the keys of none. Raises as `match_rows`."""
    found: list[int | None] = []
    roots: dict[str, tuple[str, int]] = {}
    several = len(set(sources)) > 1
    for row, key in enumerate(keys, start=1):
        hit = index.find(key)
        if len(hit.images) > 1:
            both = " and ".join(f"{sources[i]}/{images[i]}" if several else images[i] for i in hit.images[:2])
            whole = "the source and the path below it" if several else "the path below the image folder"
            raise BadInputError(f"{path} row {row}: {key!r} may be {both}; give {whole}")
        if hit.images and hit.root is not None:
            source = sources[hit.images[0]] if sources else ""
            root, first = roots.setdefault(source, (hit.root, row))
            if root != hit.root:
                raise BadInputError(
                    f"{path} row {row}: {key!r} leads through {hit.root}, row {first} through {root}; give paths below "
                    "the image folder"
                )
        found.append(hit.images[0] if hit.images else None)
    refuse_repeats(found, [None if i is None else images[i] for i in found], path)
    return found, [row for row, i in enumerate(found) if i is None]


def unknown_keys(index: KeyIndex, unmatched: Sequence[tuple[int, str]], rows: int, path: Path) -> BadInputError:
    """The error for rows that name no image, with the nearest names."""
    row, key = unmatched[0]
    near = ", ".join(map(repr, index.nearest(key)))
    hint = (
        "if another column names the images: --key-column"
        if len(unmatched) == rows
        else "leave such rows out: --ignore-unknown"
    )
    return BadInputError(
        f"{path}: {len(unmatched)} of {rows} keys match no image, first {key!r} (row {row + 1}); "
        + (f"nearest are {near}; {hint}" if near else "there are no images")
    )


def match(
    keys: Sequence[str], images: Sequence[str], path: Path, base: Path = Path(), *, partial: bool = False
) -> list[int | None]:
    """The index into `images` of each of `keys`, which are in the file `path`; None, if `partial`, for no match.

    A key names an image by its path below the source, with or without suffix, else by file name, else by stem; a path
    that leads through the source's folder `base`, or a foreign one, is taken as below it. Raises BadInputError for a
    key that names several images, for two that name the same, and unless `partial` for one that names none.
    """
    index = KeyIndex(images, (), [base])
    found, unmatched = find_images(index, keys, images, path)
    if len(unmatched) == len(keys) or (unmatched and not partial):
        raise unknown_keys(index, [(row, keys[row]) for row in unmatched], len(keys), path)
    return found


def read_keys(table: pa.Table, path: Path, wanted: str | None = None) -> tuple[str, list[str]]:
    """The column of `table` that names images, by default found by its name, and its n values as text.

    Raises BadInputError where there is no such column, or an image is named twice.
    """
    seen = ", ".join(table.column_names)
    column = find_column(table.column_names, KEY_COLUMNS if wanted is None else [wanted.lower()])
    if column is None and wanted is not None:
        raise BadInputError(f"{path} has no column {wanted!r} (seen: {seen})")
    if column is None:
        raise BadInputError(
            f"{path} has no column that names images (seen: {seen}); call it 'image', or name it: --key-column"
        )
    keys = [image_key(k, row, path) for row, k in enumerate(table[column].to_pylist(), start=1)]
    refuse_repeats(keys, keys, path)
    return column, keys


def image_key(value: object, row: int, path: Path) -> str:
    """The name of an image in row `row` of the file `path`. Raises BadInputError where it is missing."""
    text = "" if value is None else str(value)
    if not normal_key(text):
        raise BadInputError(f"{path} row {row}: the image's name is missing")
    return text


def refuse_repeats(images: Sequence[str | int | None], names: Sequence[str | None], path: Path) -> None:
    """Raise BadInputError where an image, however identified, occurs twice; None is no image.

    `images` : one identity per row of the file `path`; `names` : what to call each in the message.
    """
    first: dict[str | int, int] = {}
    for row, (image, name) in enumerate(zip(images, names, strict=True), start=1):
        if image is None:
            continue
        if image in first:
            raise BadInputError(
                f"{path} row {row}: {name!r} has a loss already in row {first[image]}; keep one, or name the column "
                "that tells them apart: --key-column"
            )
        first[image] = row
