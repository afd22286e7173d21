"""The user's own columns: those of images, which a source brings, and those of a model's losses, from a losses file.

The first are in the table `metadata`, the second in `model_metadata`, so that two models may have a column of one name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.catalog import Connection
from fsearch.indexer.storage.rows import insert, make_views, scalar, user_columns
from fsearch.indexer.storage.schema.views import NUMBERS, wider
from fsearch.indexer.storage.sql import quoted

RESERVED = frozenset(
    {"image_id", "model", "key", "loss", "prediction", "predicted_loss", "loss_split", "embedding_row"}
)
_TAKEN = RESERVED | {"source", "width", "height"}  # columns of the view `examples`


def own_columns(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """A source's columns under names that are free, see `free_names`. Encoded bytes are left out."""
    found = {_clean(str(c)): _clean(v) for c, v in metadata.items() if not isinstance(v, bytes)}
    names = free_names(found)
    return {names[c]: v for c, v in found.items()}


def _clean(value: Any) -> Any:
    """The value; half of a character that an escape in JSON left becomes a question mark."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def free_names(columns: Iterable[str], more: Collection[str] = ()) -> dict[str, str]:
    """What columns are called here: the catalog's own names, `more`, and twins in another case get an underscore."""
    names = list(columns)
    there, given, found = {name.lower() for name in names}, {*_TAKEN, *more}, {}
    for name in names:
        free = name
        while free.lower() in given or (free != name and free.lower() in there):
            free += "_"
        given.add(free.lower())
        found[name] = free
    return found


def renamed_note(names: Mapping[str, str]) -> str:
    """What to tell of columns that are stored under another name; empty for none."""
    said = [f"{name!r} is stored as {free!r}" for name, free in names.items() if name != free]
    return f"column names that are taken: {', '.join(said)}" if said else ""


def write_metadata(con: Connection, rows: Sequence[Mapping[str, Any]], schema: pa.Schema | None) -> None:
    """Merge a source's rows (image_id and columns as `own_columns` gives them) into the table.

    `schema` holds the columns' types, under the source's names; without it the values tell, and a column whose values
    turn out to be of two types becomes the wider: any number, else text.
    """
    if not rows:
        return
    latest = list({row["image_id"]: row for row in rows}.values())
    if schema is not None:
        names = free_names(schema.names)
        fields = [pa.field(names[f.name], f.type) for f in schema]
        table = pa.Table.from_pylist(latest, schema=pa.schema([("image_id", pa.int64()), *fields]))
    else:
        found = dict.fromkeys(name for row in latest for name in row)
        table = pa.table({name: _column([row.get(name) for row in latest]) for name in found})
        table = table.select([f.name for f in table.schema if not pa.types.is_null(f.type)])
    _merge(con, table)


def _column(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError, OverflowError):
        numbers = all(v is None or isinstance(v, int | float) for v in values)
        return pa.array([v if v is None else float(v) if numbers else _clean(str(v)) for v in values])


def _merge(con: Connection, rows: pa.Table) -> None:
    """Merge `rows` (image_id and columns of images) into the table, adding columns it lacks; the views follow."""
    con.register("own", rows)
    have = {name.lower(): kind for name, kind in user_columns(con).images.items()}
    sent = _sent(con, "own", "image_id")
    changed = False
    for name, kind in sent.items():
        before = have.get(name.lower())
        if before is None:
            con.execute(f"ALTER TABLE metadata ADD COLUMN {quoted(name)} {kind}")
        elif before != wider(before, kind):
            con.execute(f"ALTER TABLE metadata ALTER COLUMN {quoted(name)} SET DATA TYPE {wider(before, kind)}")
        changed |= before is None or before != wider(before, kind)
    con.execute(
        "INSERT INTO metadata (image_id) SELECT image_id FROM own WHERE image_id NOT IN (SELECT image_id FROM metadata)"
    )
    if sent:
        changes = ", ".join(f"{quoted(name)} = own.{quoted(name)}" for name in sent)
        con.execute(f"UPDATE metadata SET {changes} FROM own WHERE metadata.image_id = own.image_id")
    con.unregister("own")
    if changed:
        make_views(con)


def _sent(con: Connection, registered: str, *ours: str) -> dict[str, str]:
    """Names and SQL types of the user's columns of rows that are registered."""
    found = con.execute(f"DESCRIBE {registered}").fetchall()
    kinds = {str(name): str(kind) for name, kind, *_ in found if name not in ours}
    return {n: "VARCHAR" if k == "NULL" or k.startswith('"') else k for n, k in kinds.items()}


def replace_columns_of_model(con: Connection, model: str, image_ids: pa.Table, rows: pa.Table) -> None:
    """Put `rows` (image_id and the columns of a losses file) in place of what `model` had on the images `image_ids`.

    Columns that no model has a value in any more go. Raises BadInputError where a column is of another type than what
    other losses, or the images, have under its name; whole and other numbers agree.
    """
    con.register("gone", image_ids)
    theirs = "model = ? AND image_id IN (SELECT image_id FROM gone)"
    own = rows.append_column("model", pa.array([model] * rows.num_rows, pa.string())) if rows.num_columns > 1 else None
    _drop_empty_columns(con, f"NOT ({theirs})", [model])  # first: DuckDB 1.4 forgets a deletion when columns change
    if own is not None:
        _add_columns_of_models(con, own)
    con.execute(f"DELETE FROM model_metadata WHERE {theirs}", [model])
    con.unregister("gone")
    if own is not None:
        insert(con, "model_metadata", _as_stored(con, own), replace=True)
    make_views(con)


def _add_columns_of_models(con: Connection, rows: pa.Table) -> None:
    con.register("own", rows)
    have = user_columns(con)
    images = {name.lower(): kind for name, kind in have.images.items()}
    models = {name.lower(): kind for name, kind in have.models.items()}
    for name, kind in _sent(con, "own", "model", "image_id").items():
        for before in (images.get(name.lower()), models.get(name.lower())):
            if before is not None and before != kind and not {before, kind} <= set(NUMBERS):
                raise BadInputError(f"the column {name!r} is {kind} in this file and {before} in the workspace")
        before = models.get(name.lower())
        if before is None:
            con.execute(f"ALTER TABLE model_metadata ADD COLUMN {quoted(name)} {kind}")
        elif before != wider(before, kind):
            con.execute(f"ALTER TABLE model_metadata ALTER COLUMN {quoted(name)} SET DATA TYPE {wider(before, kind)}")
    con.unregister("own")


def _as_stored(con: Connection, rows: pa.Table) -> pa.Table:
    """`rows` under the names of the table's columns: DuckDB 1.4 replaces a column named in another case by nulls."""
    stored = {name.lower(): name for name in user_columns(con).models}
    return rows.rename_columns([stored.get(name.lower(), name) for name in rows.column_names])


def _drop_empty_columns(con: Connection, kept: str, parameters: Sequence[object]) -> None:
    """Drop columns of losses in which no model has a value, in the rows that are `kept`."""
    for name in user_columns(con).models:
        if scalar(con, f"SELECT count({quoted(name)}) FROM model_metadata WHERE {kept}", parameters) == 0:
            con.execute(f"ALTER TABLE model_metadata DROP COLUMN {quoted(name)}")


def column_names(con: Connection) -> list[str]:
    """Names of the user's columns: of images, then of losses."""
    own = user_columns(con)
    taken = {name.lower() for name in own.images}
    return [*own.images, *(name for name in own.models if name.lower() not in taken)]


def values_of(con: Connection, column: str) -> str:
    """A query of image_id and `value`: of the images' column, else of the one that losses files brought.

    Raises BadInputError where two models have different values for one image.
    """
    own, name = user_columns(con), quoted(column)
    if column.lower() in {known.lower() for known in own.images}:
        return f"SELECT image_id, {name} AS value FROM metadata"
    query = f"SELECT image_id, any_value({name}) AS value FROM model_metadata GROUP BY image_id"
    if scalar(con, f"SELECT count(*) FROM ({query} HAVING count(DISTINCT {name}) > 1)"):
        raise BadInputError(f"the column {column!r} came with the losses of several models, and differs between them")
    return query
