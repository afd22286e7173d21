"""Labels of images: which images show which phrases, as far as a column or a table says. What `calibrate` learns from.

A column of the images' metadata gives each image one label (each of its values is a phrase), or says yes or no (the
column's name is the phrase). A table has a row an image and label (columns `image` and `label`, an image in as many
rows as it has labels, with an optional column `shows` of yes and no), or a row an image and a column of yes and no for
each phrase. Where nothing is said of an image and phrase, it is not known: nothing is guessed but that an image with
labels, without `shows`, does not show the labels that only others have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.metadata import column_names, values_of
from fsearch.indexer.storage.tabular import KEY_COLUMNS, TableFile, find_column, is_table
from fsearch.indexer.workspace.store import Store

MIN_IMAGES = 50  # with a label
MOST_LABELS = 2_000
_YES, _NO = frozenset({"1", "true", "yes", "y", "t", "1.0"}), frozenset({"0", "false", "no", "n", "f", "0.0"})
_UNKNOWN = frozenset({"", "na", "n/a", "nan", "null", "none", "unknown", "?"})

Said = tuple[list[int], list[str], list[bool]]  # image_ids, labels, whether the image shows the label


@dataclass(frozen=True, slots=True)
class ImageLabels:
    """What is known of m labelled embeddings and q labels.

    Attributes
    ----------
    names : the q labels, as phrases.
    rows : (m,) int64 global rows of the embeddings, rising.
    shows : (q, m) bool, True where an image shows a label; False where it does not, or it is not known.
    known : (q, m) bool, whether it is known.
    """

    names: tuple[str, ...]
    rows: NDArray[np.int64]
    shows: NDArray[np.bool_]
    known: NDArray[np.bool_]


def read_labels(store: Store, source: str) -> ImageLabels:
    """The labels that `source`, a table file or a column of the images' metadata or losses file, gives.

    Raises BadInputError where there is neither, nothing matches, or too few images or too many labels are there.
    """
    path = Path(source)
    if is_table(path) or path.is_file():
        said, closed = _from_table(store, path)
    else:
        said, closed = _from_column(store, source)
    return _matrix(store, source, said, closed=closed)


def _from_column(store: Store, column: str) -> tuple[Said, bool]:
    with store.catalog.read() as con:
        names = {name.lower(): name for name in column_names(con)}
        if column.lower() in names:
            name, rows_of = names[column.lower()], values_of(con, names[column.lower()])
        elif column.lower() == "label":  # what a losses file says was right
            name, rows_of = "label", "SELECT image_id, any_value(label) AS value FROM losses GROUP BY image_id"
        else:
            there = ", ".join(dict.fromkeys([*names.values(), "label"]))
            raise BadInputError(f"--labels {column}: no such file, and no such column of the images (there: {there})")
        query = (
            f"SELECT image_id, CAST(value AS VARCHAR), typeof(value) = 'BOOLEAN' FROM ({rows_of}) "
            "JOIN images USING (image_id) WHERE status = 'present' AND value IS NOT NULL ORDER BY image_id"
        )
        found = con.execute(query).fetchall()
    rows = [(i, value.strip()) for i, value, _ in found if value.strip()]
    boolean = any(is_boolean for *_, is_boolean in found)
    ids, values = [i for i, _ in rows], [value for _, value in rows]
    lowered = {v.lower() for v in values}
    if boolean or (lowered and lowered <= _YES | _NO | _UNKNOWN):
        known = [(i, v.lower() in _YES) for i, v in rows if v.lower() not in _UNKNOWN]
        return ([i for i, _ in known], [name] * len(known), [yes for _, yes in known]), False
    return (ids, values, [True] * len(ids)), True


def _from_table(store: Store, path: Path) -> tuple[Said, bool]:
    """What a table says, and whether an image that it names shows no label but those it is given."""
    from fsearch.indexer.losses.matching import find_images, image_key, unknown_keys, workspace_images

    file = TableFile(path, "labels file", text=("label",))
    table = file.read()
    key_column = find_column(table.column_names, KEY_COLUMNS)
    if key_column is None:
        seen = ", ".join(table.column_names)
        raise BadInputError(f"labels file {path} has no column that names images (seen: {seen}); call it 'image'")
    keys = [image_key(k, row, path) for row, k in enumerate(table[key_column].to_pylist(), start=1)]
    known = workspace_images(store, known=True)
    distinct = list(dict.fromkeys(keys))
    index = known.index(None)
    found, unmatched = find_images(index, distinct, known.keys, path, known.sources)
    if len(unmatched) == len(distinct):
        raise unknown_keys(index, list(enumerate(distinct)), len(distinct), path)
    places = dict(zip(distinct, found, strict=True))
    ids = [None if (place := places[k]) is None or known.image_ids[place] < 0 else known.image_ids[place] for k in keys]
    label = find_column(table.column_names, ["label"])
    if label is not None:
        shows = find_column(table.column_names, ["shows"])
        labels = [None if v is None or not str(v).strip() else str(v).strip() for v in table[label].to_pylist()]
        answers = [True] * len(ids) if shows is None else _answers(table[shows].to_pylist(), path, shows)
        rows = [
            (i, name, yes)
            for i, name, yes in zip(ids, labels, answers, strict=True)
            if i is not None and name is not None and yes is not None
        ]
        return ([i for i, *_ in rows], [n for _, n, _ in rows], [y for *_, y in rows]), shows is None
    wide = [c for c in table.column_names if c != key_column and not c.startswith("__")]
    if not wide:
        raise BadInputError(f"labels file {path} has no column 'label', and no column of yes and no for a phrase")
    said: Said = ([], [], [])
    for column in wide:
        for i, yes in zip(ids, _answers(table[column].to_pylist(), path, column), strict=True):
            if i is not None and yes is not None:
                said[0].append(i)
                said[1].append(column)
                said[2].append(yes)
    return said, False


def _answers(values: Sequence[object], path: Path, column: str) -> list[bool | None]:
    """Yes, no, or None for not known. Raises BadInputError naming the first value that is none of them."""
    found: list[bool | None] = []
    for row, value in enumerate(values, start=1):
        text = "" if value is None else str(value).strip().lower()
        if text not in _YES | _NO | _UNKNOWN:
            raise BadInputError(
                f"{path} row {row}, column {column!r}: {value!r} is neither yes nor no; write 1 or 0, or nothing where "
                "it is not known, or give one label a row in a column 'label'"
            )
        found.append(None if text in _UNKNOWN else text in _YES)
    return found


def _matrix(store: Store, source: str, said: Said, *, closed: bool) -> ImageLabels:
    """As a matrix over embeddings; with `closed`, a labelled image shows no label that it is not given."""
    ids, labels, answers = said
    names = tuple(sorted(set(labels)))
    if len(names) > MOST_LABELS:
        raise BadInputError(
            f"--labels {source}: {len(names):,} different labels (like {names[0]!r}); a label is what many images "
            f"share, and at most {MOST_LABELS:,} are taken"
        )
    with store.catalog.read() as con:
        query = "SELECT image_id, row FROM images WHERE status = 'present' AND image_id IN (SELECT unnest(?::BIGINT[]))"
        row_of = dict(con.execute(query, [sorted(set(ids))]).fetchall())
    rows = np.unique(np.array(list(row_of.values()), np.int64))
    if len(rows) < MIN_IMAGES:
        raise BadInputError(f"--labels {source}: {len(rows)} images have a label; at least {MIN_IMAGES} are needed")
    place = {name: k for k, name in enumerate(names)}
    shows, known = np.zeros((len(names), len(rows)), bool), np.zeros((len(names), len(rows)), bool)
    where = np.searchsorted(rows, [row_of[i] for i in ids])
    which = np.array([place[name] for name in labels])
    np.logical_or.at(shows, (which, where), np.array(answers))
    known[which, where] = True
    if closed:
        known[:] = True
    if not (known & ~shows).any() or not shows.any():
        raise BadInputError(
            f"--labels {source}: every image with a label shows the same; images that show a phrase and others that do "
            "not are needed"
        )
    return ImageLabels(names, rows, shows, known)
