"""Losses from a losses file: names matched to images, and stored. For `losses add --losses` and `index --losses`."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from fsearch.indexer.losses.choices import Split
from fsearch.indexer.losses.loss_file import LossTable
from fsearch.indexer.losses.loss_report import LossesReport
from fsearch.indexer.losses.loss_store import replace_losses
from fsearch.indexer.losses.matching import NO_IMAGE, match, workspace_images
from fsearch.indexer.sources.resolve import Images
from fsearch.indexer.storage.catalog import Connection
from fsearch.indexer.workspace.store import Store


def add_loss_file(
    store: Store,
    model: str,
    table: LossTable,
    split: Split | None = None,
    *,
    images: Images | None = None,
    also: Callable[[Connection], None] | None = None,
) -> LossesReport:
    """Store the losses of a file as those of `model`: what `--losses FILE` means, in `losses add` and in `index`.

    A losses file is complete for every source that it names an image of: on images of these sources it replaces all
    earlier losses of the model, so that losses of two versions of a model are never mixed. Losses on other sources
    stay, as each source may have a file of its own, unless they were computed by a task: given and computed losses are
    never mixed under one model name. The report counts what was replaced and what stays.

    After `index`, `images` is the data set that was indexed: names in the file are those of its images, not of other
    sources. Where only a part of it was selected (`images.whole` is false), the file may also name images that are not
    in the workspace, and it replaces only the losses of the images that it names.

    Rows of rejected images are left out. The file's further columns go to the table `metadata`. `split` says whether
    the model was trained on these images; without it a column 'split' of the file, or of the metadata, does. `also`
    stores what belongs with them, in the same transaction.

    Raises BadInputError, and writes nothing, where a name matches no image or several. Call inside `store.writer()`.
    """
    known = workspace_images(store, images.source.name if images else None, rejected=True)
    partial = images is not None and not images.whole
    if images is None:
        found = known.find(table.keys, table.path, known.folder)
    else:
        found = match(table.keys, known.keys, table.path, images.base, partial=partial)
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
    return replace_losses(store, model, given, metadata, str(table.path), sources, also)
