"""The only writer of a model's losses: a run's staging, a losses file's replacement, and removal.

A run's losses are committed batch by batch to the staging table `pending_losses`, where no query sees them, and swapped
in atomically when the run completes. So a run that was killed resumes, and a model's losses are never half old, half
new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pyarrow as pa

from fsearch.indexer.losses.functions.base import Outcomes
from fsearch.indexer.losses.loss_file import TRAINING
from fsearch.indexer.losses.loss_report import LossesReport
from fsearch.indexer.storage.catalog import Connection
from fsearch.indexer.storage.inside import remove
from fsearch.indexer.storage.metadata import replace_columns_of_model
from fsearch.indexer.storage.rows import insert, scalar, utc_now
from fsearch.indexer.storage.schema import DELETED_WITH_MODEL
from fsearch.indexer.workspace.store import Store

_SCHEMA = pa.schema(
    {
        "model": pa.string(),
        "fingerprint": pa.string(),
        "image_id": pa.int64(),
        "target_digest": pa.string(),
        "loss": pa.float64(),
        "label": pa.string(),
        "prediction": pa.string(),
        "reason": pa.string(),
    }
)


class LossStaging:
    """Staging for the losses of one run of one model. Use inside `store.writer()`."""

    def __init__(
        self, store: Store, model: str, fingerprint: str, targets: Mapping[int, Any], *, retry: bool = True
    ) -> None:
        """Resume a run of one `fingerprint`, by ground truth by identity; `retry` the images that failed in it."""
        self._store, self._model, self._fingerprint, self._targets = store, model, fingerprint, targets
        self._rows: list[dict[str, Any]] = []
        with store.catalog.write() as con:
            con.execute("DELETE FROM pending_losses WHERE model = ? AND fingerprint <> ?", [model, fingerprint])
            if retry:
                con.execute("DELETE FROM pending_losses WHERE model = ? AND reason IS NOT NULL", [model])

    def discard(self) -> None:
        """Begin anew."""
        with self._store.catalog.write() as con:
            con.execute("DELETE FROM pending_losses WHERE model = ?", [self._model])

    def done(self) -> set[int]:
        """Identities of the images that this run is done with, by the ground truth they have now."""
        query = (
            "SELECT image_id, target_digest FROM pending_losses WHERE model = ? UNION ALL "
            "SELECT image_id, target_digest FROM losses JOIN black_boxes USING (model) "
            "WHERE model = ? AND fingerprint = ?"
        )
        with self._store.catalog.read() as con:
            rows = con.execute(query, [self._model, self._model, self._fingerprint]).fetchall()
        return {image_id for image_id, digest in rows if digest == self._digest(image_id)}

    def __len__(self) -> int:
        """How many rows a flush would commit."""
        return len(self._rows)

    def add(self, image_ids: Sequence[int], outcomes: Outcomes) -> None:
        """Take the outcomes of n images: a loss, or the reason why there is none."""
        for i, image_id in enumerate(image_ids):
            reason = outcomes.reasons[i]
            self._rows.append(
                {
                    "model": self._model,
                    "fingerprint": self._fingerprint,
                    "image_id": image_id,
                    "target_digest": self._digest(image_id),
                    "loss": None if reason else float(outcomes.losses[i]),
                    "label": outcomes.labels[i],
                    "prediction": outcomes.predictions[i],
                    "reason": reason,
                }
            )

    def fail(self, image_id: int, reason: str) -> None:
        """Take an image whose loss could not be computed."""
        row = {"model": self._model, "fingerprint": self._fingerprint, "image_id": image_id, "reason": reason}
        self._rows.append({**row, "target_digest": self._digest(image_id)})

    def _digest(self, image_id: int) -> str:
        """A hash of an image's ground truth."""
        return hashlib.blake2b(repr(self._targets.get(image_id)).encode(), digest_size=12).hexdigest()

    def flush(self) -> None:
        """Commit the rows taken so far to the staging table."""
        if self._rows:
            with self._store.catalog.write() as con:
                insert(con, "pending_losses", pa.Table.from_pylist(self._rows, schema=_SCHEMA), replace=True)
            self._rows = []

    def finish(self, task: str, origin: str, split: str | None, notes: Sequence[str] = ()) -> LossesReport:
        """Swap the staged losses in, in one transaction; losses of another fingerprint are deleted."""
        self.flush()
        model = [self._model]
        with self._store.catalog.write() as con:
            same = scalar(
                con,
                "SELECT count(*) FROM black_boxes WHERE model = ? AND fingerprint = ?",
                [self._model, self._fingerprint],
            )
            before = scalar(con, "SELECT count(*) FROM losses WHERE model = ?", model)
            if not same:
                con.execute("DELETE FROM losses WHERE model = ?", model)
                con.execute("DELETE FROM model_metadata WHERE model = ?", model)
                con.execute("DELETE FROM predictions WHERE model = ?", model)  # of the ensemble fitted to them
            con.execute("DELETE FROM prediction_errors WHERE model = ?", model)
            con.execute(
                "INSERT OR REPLACE INTO losses BY NAME SELECT model, image_id, loss, label, prediction, NULL AS split, "
                "target_digest FROM pending_losses WHERE model = ? AND loss IS NOT NULL",
                model,
            )
            con.execute(
                "INSERT INTO prediction_errors BY NAME SELECT model, image_id, reason FROM pending_losses "
                "WHERE model = ? AND reason IS NOT NULL",
                model,
            )
            added = scalar(con, "SELECT count(*) FROM pending_losses WHERE model = ? AND loss IS NOT NULL", model)
            failed = scalar(con, "SELECT count(*) FROM prediction_errors WHERE model = ?", model)
            con.execute("DELETE FROM pending_losses WHERE model = ?", model)
            _record_origin(con, self._model, task, origin, self._fingerprint)
            _set_split(con, self._model, split)
            without, mean = _coverage(con, self._model)
        return LossesReport(
            model=self._model,
            task=task,
            added=added,
            kept=before if same else 0,
            failed=failed,
            without=without,
            replaced=0 if same else before,
            mean=mean,
            notes=tuple(notes),
        )


def replace_losses(
    store: Store,
    model: str,
    losses: pa.Table,
    metadata: pa.Table,
    origin: str,
    sources: Collection[str] | None,
    also: Callable[[Connection], None] | None = None,
) -> LossesReport:
    """Replace the losses of `model` on `sources` by `losses`, in one transaction; see `add_loss_file` for the meaning.

    Parameters
    ----------
    losses : n rows of the columns of the table `losses`.
    metadata : n rows of image_id and the file's further columns, which belong to the model.
    sources : on images of these all earlier losses are replaced; None for those on the n images only.
    also : stores what belongs with them, in the same transaction, after them.
    """
    with store.catalog.write() as con:
        con.register("given", losses)
        old = con.sql(
            "SELECT l.image_id, b.fingerprint IS NOT NULL AS computed, coalesce(g.loss = l.loss AND "
            "g.label IS NOT DISTINCT FROM l.label AND g.prediction IS NOT DISTINCT FROM l.prediction, false) AS same "
            "FROM losses l JOIN images i USING (image_id) LEFT JOIN black_boxes b USING (model) "
            "LEFT JOIN given g USING (image_id) WHERE l.model = ? AND (b.fingerprint IS NOT NULL "
            "OR g.image_id IS NOT NULL OR i.source IN (SELECT unnest(?::VARCHAR[])))",
            params=[model, list(sources or ())],
        ).to_arrow_table()
        con.register("old", old)
        before, kept, computed = con.execute(
            "SELECT (SELECT count(*) FROM losses WHERE model = ?), count(*) FILTER (same), bool_or(computed) FROM old",
            [model],
        ).fetchall()[0]
        others = before - old.num_rows
        con.execute(
            "DELETE FROM predictions WHERE model = ? AND image_id IN (SELECT image_id FROM old WHERE NOT same)", [model]
        )
        con.execute("DELETE FROM losses WHERE model = ? AND image_id IN (SELECT image_id FROM old)", [model])
        if computed:
            con.execute("DELETE FROM prediction_errors WHERE model = ?", [model])
        insert(con, "losses", losses, replace=True)
        _record_origin(con, model, None, _joined_origin(con, model, origin) if others else origin, None)
        replace_columns_of_model(con, model, old.select(["image_id"]), metadata)
        _set_split(con, model, None)
        without, mean = _coverage(con, model)
        if also:
            also(con)
    return LossesReport(
        model=model,
        task="as given",
        added=losses.num_rows - kept,
        kept=kept,
        failed=0,
        without=without,
        replaced=old.num_rows - kept,
        mean=mean,
        others=others,
    )


def remove_model(store: Store, model: str) -> int:
    """Delete a model's losses, fit and errors; stored rankings stay. Returns how many losses it had."""
    folders = store.layout.fit_folders(model)  # refused, if at all, before anything is deleted
    with store.catalog.write() as con:
        count = scalar(con, "SELECT count(*) FROM losses WHERE model = ?", [model])
        for table in DELETED_WITH_MODEL:
            con.execute(f"DELETE FROM {table} WHERE model = ?", [model])
    for folder in folders:
        remove(folder)
    return count


def _record_origin(con: Connection, model: str, task: str | None, origin: str, fingerprint: str | None) -> None:
    con.execute(
        "INSERT OR REPLACE INTO black_boxes (model, task, origin, fingerprint, added_at) VALUES (?, ?, ?, ?, ?)",
        [model, task, origin, fingerprint, utc_now()],
    )


def _joined_origin(con: Connection, model: str, origin: str) -> str:
    """The origins of a model's losses, where each source has its own losses file."""
    row = con.execute("SELECT origin FROM black_boxes WHERE model = ?", [model]).fetchone()
    before = row[0].split(", ") if row and row[0] else []
    return ", ".join(dict.fromkeys([*before, origin]))


def _set_split(con: Connection, model: str, split: str | None) -> None:
    """Set whether the model was trained on its images: `split`, else by the column 'split' of the metadata."""
    if split is not None:
        con.execute("UPDATE losses SET split = ? WHERE model = ?", [split, model])
        return
    columns = {str(name).lower() for name, *_ in con.execute("DESCRIBE metadata").fetchall()}
    if "split" in columns:
        con.execute(
            "UPDATE losses SET split = CASE WHEN lower(trim(CAST(m.split AS VARCHAR))) IN "
            f"({', '.join(repr(word) for word in TRAINING)}) THEN 'train' ELSE 'held-out' END FROM metadata m "
            "WHERE losses.model = ? AND losses.split IS NULL AND m.image_id = losses.image_id AND m.split IS NOT NULL",
            [model],
        )


def _coverage(con: Connection, model: str) -> tuple[int, float]:
    """How many present images have no loss of `model`, and the mean loss of the others."""
    present = scalar(con, "SELECT count(*) FROM images WHERE status = 'present'")
    count, mean = con.execute(
        "SELECT count(*), avg(loss) FROM losses JOIN images USING (image_id) WHERE model = ? AND status = 'present'",
        [model],
    ).fetchall()[0]
    return present - count, float("nan") if mean is None else float(mean)
