"""Write one black box's losses, and the user's own columns, into the catalog: all of a file in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pyarrow as pa

from fsearch.indexer.catalog import Connection, insert, make_views, quoted
from fsearch.indexer.errors import BadInput
from fsearch.indexer.losses import LossTable
from fsearch.indexer.store import Store

Split = Literal["train", "held-out"]
TRAIN: Split = "train"
HELD_OUT: Split = "held-out"
_TRAINING = frozenset({"train", "training", "trn"})
_RESERVED = frozenset(
    {"image_id", "model", "key", "loss", "label", "prediction", "predicted_loss", "loss_split", "embedding_row"}
)


def check_metadata(table: pa.Table) -> None:
    """Raise BadInput for a column whose name the catalog uses itself, or two that differ only in case."""
    lowered: dict[str, str] = {}
    for name in table.column_names:
        if name.lower() in _RESERVED:
            raise BadInput(f"the column {name!r} has a name fsearch uses itself; rename it")
        if name.lower() in lowered:
            raise BadInput(f"the columns {lowered[name.lower()]!r} and {name!r} differ only in case; rename one")
        lowered[name.lower()] = name


def write_losses(
    store: Store, source: str, model: str, table: LossTable, keys: Sequence[str], split: Split | None = None
) -> int:
    """Store the losses of `table`, whose row i belongs to image `keys[i]` of `source`; returns how many were stored.

    `split` says whether the model was trained on these images; without it a column 'split' of the table does. Losses of
    images that were rejected are left out. Call inside `store.writer()`.
    """
    rows = pa.table(
        {
            "position": pa.array(range(len(keys)), pa.int64()),
            "key": pa.array(keys, pa.string()),
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
            "JOIN images i ON i.key = g.key AND i.source = ? AND i.status = 'present' ORDER BY g.position",
            params=[source],
        ).to_arrow_table()
        losses = matched.drop_columns(["position"]).append_column(
            "model", pa.array([model] * len(matched), pa.string())
        )
        insert(con, "losses", losses, replace=True)
        if table.metadata.num_columns:
            metadata = table.metadata.take(matched["position"])
            _write_metadata(con, metadata.append_column("image_id", matched["image_id"]))
            make_views(con)
    return int(matched.num_rows)


def _splits(table: LossTable, split: Split | None) -> list[str | None]:
    column = next((c for c in table.metadata.column_names if c.lower() == "split"), None)
    if split is not None or column is None:
        return [split] * len(table.keys)
    said = [None if v is None else str(v).strip().lower() for v in table.metadata[column].to_pylist()]
    return [None if not v else TRAIN if v in _TRAINING else HELD_OUT for v in said]


def _write_metadata(con: Connection, rows: pa.Table) -> None:
    """Merge `rows` (image_id and the user's columns) into the table `metadata`, adding columns it lacks."""
    con.register("own", rows)
    have = {name.lower(): kind for name, kind, *_ in con.execute("DESCRIBE metadata").fetchall()}
    sent = [(name, kind) for name, kind, *_ in con.execute("DESCRIBE own").fetchall() if name != "image_id"]
    for name, kind in sent:
        if name.lower() not in have:
            con.execute(f"ALTER TABLE metadata ADD COLUMN {quoted(name)} {kind if kind != 'NULL' else 'VARCHAR'}")
        elif have[name.lower()] != kind:
            raise BadInput(f"the column {name!r} is {kind} in this file and {have[name.lower()]} in the workspace")
    con.execute(
        "INSERT INTO metadata (image_id) SELECT image_id FROM own WHERE image_id NOT IN (SELECT image_id FROM metadata)"
    )
    changes = ", ".join(f"{quoted(name)} = own.{quoted(name)}" for name, _ in sent)
    con.execute(f"UPDATE metadata SET {changes} FROM own WHERE metadata.image_id = own.image_id")
