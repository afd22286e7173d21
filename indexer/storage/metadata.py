"""The user's own columns, in the table `metadata`: from a losses file, or from the source the images come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.catalog import Connection
from fsearch.indexer.storage.rows import make_views
from fsearch.indexer.storage.sql import quoted

RESERVED = frozenset(
    {"image_id", "model", "key", "loss", "prediction", "predicted_loss", "loss_split", "embedding_row"}
)
_TAKEN = RESERVED | {"source", "width", "height"}  # columns of the view `examples`
_NUMBERS = ("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "FLOAT", "DOUBLE")


def own_columns(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """A source's columns under names that are free: `model` becomes `model_`. Encoded bytes are left out."""
    return {free_name(_clean(str(c))): _clean(v) for c, v in metadata.items() if not isinstance(v, bytes)}


def _clean(value: Any) -> Any:
    """The value; half of a character that an escape in JSON left becomes a question mark."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def free_name(name: str) -> str:
    """A column's name, with an underscore behind it where the catalog uses the name itself."""
    return f"{name}_" if name.lower() in _TAKEN else name


def write_metadata(con: Connection, rows: Sequence[Mapping[str, Any]], schema: pa.Schema | None) -> None:
    """Merge a source's rows (image_id and columns as `own_columns` gives them) into the table.

    `schema` holds the columns' types, under the source's names; without it the values tell, and a column whose values
    turn out to be of two types becomes the wider: any number, else text.
    """
    if not rows:
        return
    latest = list({row["image_id"]: row for row in rows}.values())
    if schema is not None:
        fields = [pa.field(free_name(f.name), f.type) for f in schema]
        table = pa.Table.from_pylist(latest, schema=pa.schema([("image_id", pa.int64()), *fields]))
    else:
        names = dict.fromkeys(name for row in latest for name in row)
        table = pa.table({name: _column([row.get(name) for row in latest]) for name in names})
        table = table.select([f.name for f in table.schema if not pa.types.is_null(f.type)])
    merge(con, table, widen=True)


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError, OverflowError):
        numbers = all(v is None or isinstance(v, int | float) for v in values)
        return pa.array([v if v is None else float(v) if numbers else _clean(str(v)) for v in values])


def merge(con: Connection, rows: pa.Table, *, widen: bool) -> None:
    """Merge `rows` (image_id and the user's columns) into the table, adding columns it lacks; the views follow.

    Raises BadInputError, unless `widen`, where a column is of another type than in the table.
    """
    con.register("own", rows)
    have = {name.lower(): kind for name, kind, *_ in con.execute("DESCRIBE metadata").fetchall()}
    sent = [(name, kind) for name, kind, *_ in con.execute("DESCRIBE own").fetchall() if name != "image_id"]
    changed = False
    for name, kind in sent:
        kind = "VARCHAR" if kind == "NULL" or kind.startswith('"') else kind
        before = have.get(name.lower())
        if before is None:
            con.execute(f"ALTER TABLE metadata ADD COLUMN {quoted(name)} {kind}")
        elif before != kind and not widen:
            raise BadInputError(f"the column {name!r} is {kind} in this file and {before} in the workspace")
        elif before != kind:
            wider = "DOUBLE" if {before, kind} <= set(_NUMBERS) else "VARCHAR"
            if before == wider:
                continue
            con.execute(f"ALTER TABLE metadata ALTER COLUMN {quoted(name)} SET DATA TYPE {wider}")
        else:
            continue
        changed = True
    con.execute(
        "INSERT INTO metadata (image_id) SELECT image_id FROM own WHERE image_id NOT IN (SELECT image_id FROM metadata)"
    )
    if sent:
        changes = ", ".join(f"{quoted(name)} = own.{quoted(name)}" for name, _ in sent)
        con.execute(f"UPDATE metadata SET {changes} FROM own WHERE metadata.image_id = own.image_id")
    con.unregister("own")
    if changed:
        make_views(con)
