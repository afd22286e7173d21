"""Write one black box's losses, and the user's own columns, into the catalog: all of a file in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.loss_file import LossTable
from fsearch.indexer.losses.loss_store import TRAINING, forget_losses, remember, set_split
from fsearch.indexer.storage.catalog import insert
from fsearch.indexer.storage.metadata import RESERVED, merge
from fsearch.indexer.workspace.store import Store

Split = Literal["train", "held-out"]
TRAIN: Split = "train"
HELD_OUT: Split = "held-out"


def check_metadata(table: pa.Table) -> None:
    """Raise BadInputError for a column whose name the catalog uses itself, or two that differ only in case."""
    lowered: dict[str, str] = {}
    for name in table.column_names:
        if name.lower() in RESERVED or name.lower() == "label":
            raise BadInputError(f"the column {name!r} has a name fsearch uses itself; rename it")
        if name.lower() in lowered:
            raise BadInputError(f"the columns {lowered[name.lower()]!r} and {name!r} differ only in case; rename one")
        lowered[name.lower()] = name


def write_losses(
    store: Store,
    images: Sequence[tuple[str, str] | None],
    model: str,
    table: LossTable,
    split: Split | None = None,
    *,
    anew: bool = False,
) -> int:
    """Store the losses of `table`, whose row i is of the image with (source, key) `images[i]`; returns how many.

    Losses of the same images are replaced; the model's others stay, unless `anew`. `split` says whether the model was
    trained on these images; without it a column 'split' of the table does. Rows of no image (None), and of images that
    were rejected, are left out. Call inside `store.writer()`.
    """
    rows = pa.table(
        {
            "position": pa.array(range(len(images)), pa.int64()),
            "source": pa.array([i and i[0] for i in images], pa.string()),
            "key": pa.array([i and i[1] for i in images], pa.string()),
            "loss": pa.array(table.values, pa.float64()),
            "label": pa.array(table.labels, pa.string()),
            "prediction": pa.array(table.predictions, pa.string()),
            "split": pa.array(_splits(table, split), pa.string()),
        }
    )
    with store.catalog.write() as con:
        con.register("given", rows)
        matched = con.sql(
            "SELECT g.position, i.image_id, g.loss, g.label, g.prediction, g.split FROM given g "
            "JOIN images i ON i.key = g.key AND i.source = g.source AND i.status = 'present' ORDER BY g.position"
        ).to_arrow_table()
        losses = matched.drop_columns(["position"]).append_column(
            "model", pa.array([model] * len(matched), pa.string())
        )
        if anew:
            forget_losses(con, model)
        insert(con, "losses", losses, replace=True)
        remember(con, model, None, str(table.path), None)
        if table.metadata.num_columns:
            metadata = table.metadata.take(matched["position"])
            merge(con, metadata.append_column("image_id", matched["image_id"]), widen=False)
        set_split(con, model, None)
    return int(matched.num_rows)


def _splits(table: LossTable, split: Split | None) -> list[str | None]:
    column = next((c for c in table.metadata.column_names if c.lower() == "split"), None)
    if split is not None or column is None:
        return [split] * len(table.keys)
    said = [None if v is None else str(v).strip().lower() for v in table.metadata[column].to_pylist()]
    return [None if not v else TRAIN if v in TRAINING else HELD_OUT for v in said]
