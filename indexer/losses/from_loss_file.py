"""Losses from a losses file: names matched to images, and stored. For `losses add --losses` and `index --losses`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pyarrow as pa

from fsearch.indexer.losses.choices import Split
from fsearch.indexer.losses.loss_file import LossTable
from fsearch.indexer.losses.loss_report import LossesReport
from fsearch.indexer.losses.loss_store import replace_losses
from fsearch.indexer.losses.matching import NO_IMAGE, match_rows, workspace_images
from fsearch.indexer.sources.resolve import Images
from fsearch.indexer.storage.catalog import Connection
from fsearch.indexer.workspace.source_registry import listed_keys
from fsearch.indexer.workspace.store import Store


def add_loss_file(
    store: Store,
    model: str,
    table: LossTable,
    split: Split | None = None,
    *,
    images: Images | None = None,
    ignore_unknown: bool = False,
    also: Callable[[Connection], None] | None = None,
) -> LossesReport:
    """Store the losses of a file as those of `model`: what `--losses FILE` means, in `losses add` and in `index`.

    A losses file is complete for every source that it names an image of: on images of these sources it replaces all
    earlier losses of the model, so that losses of two versions of a model are never mixed. Losses on other sources
    stay, as each source may have a file of its own, unless they were computed by a task: given and computed losses are
    never mixed under one model name. The report counts what was replaced and what stays.

    After `index`, `images` is the data set that was indexed: names in the file are those of its images, not of other
    sources. Where only a part of it was selected (`images.whole` is false), it replaces only the losses of the images
    that it names.

    Rows of images that are known but not there (rejected, missing, not selected, of another source) are counted and
    left out; rows of unknown images are an error, unless `ignore_unknown`. The file's further columns belong to the
    model: they go to the table `model_metadata`. `split` says whether the model was trained on these images; without
    it a column 'split' of the file, or of the images, does. `also` stores what belongs with them, in the same
    transaction.

    Raises BadInputError, and writes nothing, where a name matches no image or several. Call inside `store.writer()`.
    """
    known = workspace_images(store, images.source.name if images else None, known=True)
    partial = images is not None and not images.whole
    unlisted = partial and images is not None and images.all_keys() is None  # a stream: nobody knows its other names
    found, counts = match_rows(
        known,
        table.keys,
        table.path,
        lambda: other_names(store, images),
        base=images.base if images else None,
        ignore_unknown=ignore_unknown or unlisted,
    )
    rows = [row for row, i in enumerate(found) if i is not None and known.image_ids[i] != NO_IMAGE]
    image_ids = pa.array([known.image_ids[found[row]] for row in rows], pa.int64())  # type: ignore[index]
    splits = [split] * len(table.keys) if split else table.splits()
    given = pa.table(
        {
            "model": pa.array([model] * len(rows), pa.string()),
            "image_id": image_ids,
            "loss": pa.array([table.values[row] for row in rows], pa.float64()),
            "label": pa.array([table.labels[row] for row in rows], pa.string()),
            "prediction": pa.array([table.predictions[row] for row in rows], pa.string()),
            "split": pa.array([splits[row] for row in rows], pa.string()),
            "target_digest": pa.nulls(len(rows), pa.string()),
        }
    )
    own = table.metadata.take(pa.array(rows, pa.int64()))
    metadata = pa.table({"image_id": image_ids, **{c: own[c] for c in own.column_names}})
    sources = None if partial else {known.sources[i] for i in found if i is not None}
    report = replace_losses(store, model, given, metadata, str(table.path), sources, also)
    said = [f"{table.path} ({table.form}): {counts.rows:,} rows read, {counts}", table.note]
    return replace(report, rows="; ".join(filter(None, said)))


def other_names(store: Store, images: Images | None) -> dict[str, Sequence[str]]:
    """Names of images that are known, but not among those that losses are added to, by why."""
    if images is None:
        return {"images that were not selected": listed_keys(store)}
    others = workspace_images(store, known=True)
    apart = [k for k, s in zip(others.keys, others.sources, strict=True) if s != images.source.name]
    return {"images that were not selected": images.all_keys() or [], "images of other data sets": apart}
