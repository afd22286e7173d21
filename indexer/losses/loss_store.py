"""Losses under way: committed batch by batch where no query sees them, then put in the place of the old ones at once.

So a run that was killed goes on where it stopped, and a model's losses are never half old, half new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from fsearch.indexer.losses.functions.settings import Outcomes
from fsearch.indexer.storage.catalog import Connection, insert, scalar, utc_now
from fsearch.indexer.workspace.store import Store

TRAINING = ("train", "training", "trn")  # what a column 'split' calls images that a model was trained on
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


@dataclass(frozen=True, slots=True)
class LossesReport:
    """What adding losses did.

    Attributes
    ----------
    added : images that have a loss now and had none of this model, or another one, before.
    kept : images whose loss was there already, from the same model, task and settings.
    failed : images whose loss could not be had; their reasons are in the table `prediction_errors`.
    without : images that have no loss of this model.
    replaced : losses of another origin that made way.
    mean : mean of all losses the model has now.
    notes : what the user should know about how the model was read.
    """

    model: str
    task: str
    added: int
    kept: int
    failed: int
    without: int
    replaced: int
    mean: float
    notes: tuple[str, ...] = ()


class LossStaging:
    """The losses of one run, of one model. Use inside `store.writer()`."""

    def __init__(self, store: Store, model: str, fingerprint: str, targets: Mapping[int, Any]) -> None:
        """Go on with a run that was stopped, or begin one; `targets` say what is right, by image identity."""
        self._store, self._model, self._fingerprint, self._targets = store, model, fingerprint, targets
        self._rows: list[dict[str, Any]] = []
        with store.catalog.write() as con:
            con.execute("DELETE FROM pending_losses WHERE model = ? AND fingerprint <> ?", [model, fingerprint])
            con.execute("DELETE FROM pending_losses WHERE model = ? AND reason IS NOT NULL", [model])  # are tried again

    def done(self) -> set[int]:
        """Identities of the images whose loss is there, and was judged by the target they have now."""
        query = (
            "SELECT image_id, target_digest FROM pending_losses WHERE model = ? UNION ALL "
            "SELECT image_id, target_digest FROM losses JOIN black_boxes USING (model) "
            "WHERE model = ? AND fingerprint = ?"
        )
        with self._store.catalog.read() as con:
            rows = con.execute(query, [self._model, self._model, self._fingerprint]).fetchall()
        return {image_id for image_id, digest in rows if digest == self._digest(image_id)}

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, image_ids: Sequence[int], outcomes: Outcomes) -> None:
        """Take what a task said of some images."""
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

    def _digest(self, image_id: int) -> str:
        """Equal for equal targets."""
        return hashlib.blake2b(repr(self._targets.get(image_id)).encode(), digest_size=12).hexdigest()

    def fail(self, image_id: int, reason: str) -> None:
        """Take an image whose loss could not be had."""
        row = {"model": self._model, "fingerprint": self._fingerprint, "image_id": image_id, "reason": reason}
        self._rows.append(row)

    def flush(self) -> None:
        """Commit what was taken, out of sight of queries."""
        if self._rows:
            with self._store.catalog.write() as con:
                insert(con, "pending_losses", pa.Table.from_pylist(self._rows, schema=_SCHEMA), replace=True)
            self._rows = []

    def finish(self, task: str, origin: str, split: str | None, notes: Sequence[str] = ()) -> LossesReport:
        """Put the losses in the place of what the model had from elsewhere, in one transaction."""
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
                forget_losses(con, self._model)
            con.execute("DELETE FROM prediction_errors WHERE model = ?", model)
            con.execute(
                "INSERT OR REPLACE INTO losses BY NAME SELECT model, image_id, loss, label, prediction, "
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
            remember(con, self._model, task, origin, self._fingerprint)
            set_split(con, self._model, split)
            present = scalar(con, "SELECT count(*) FROM images WHERE status = 'present'")
            have, mean = con.execute(
                "SELECT count(*), avg(loss) FROM losses JOIN images USING (image_id) "
                "WHERE model = ? AND status = 'present'",
                model,
            ).fetchall()[0]
        return LossesReport(
            model=self._model,
            task=task,
            added=added,
            kept=before if same else 0,
            failed=failed,
            without=present - have,
            replaced=0 if same else before,
            mean=float("nan") if mean is None else float(mean),
            notes=tuple(notes),
        )


def forget_losses(con: Connection, model: str) -> None:
    """Delete a model's losses, and what its ensemble predicted from them."""
    con.execute("DELETE FROM losses WHERE model = ?", [model])
    con.execute("DELETE FROM predictions WHERE model = ?", [model])


def remember(con: Connection, model: str, task: str | None, origin: str, fingerprint: str | None) -> None:
    """Record how a model's losses came about."""
    con.execute(
        "INSERT OR REPLACE INTO black_boxes (model, task, origin, fingerprint, added_at) VALUES (?, ?, ?, ?, ?)",
        [model, task, origin, fingerprint, utc_now()],
    )


def set_split(con: Connection, model: str, split: str | None) -> None:
    """Say whether the model was trained on its images: as the user says, else as the images' column 'split' does."""
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
