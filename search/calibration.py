"""Calibrate a workspace's encoder with labels that the user has: `fsearch calibrate`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.label_calibration import Learnt, learn
from fsearch.diagnoser.label_thresholds import MIN_PHRASES
from fsearch.diagnoser.labelled import MIN_SHOWING, Labelled, usable
from fsearch.indexer.device import Device
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.rows import utc_now, write_settings
from fsearch.indexer.workspace.calibration import SETTING, Calibration
from fsearch.indexer.workspace.store import Store
from fsearch.search.hypotheses import Hypothesis
from fsearch.search.labels import ImageLabels, read_labels
from fsearch.search.options import Named
from fsearch.search.phrases import as_read, embed
from fsearch.search.query import reference_bank

if TYPE_CHECKING:
    from fsearch.search.session import Session

LEAST_AUROC = 0.6  # below it the encoder does not know what the labels mean
MOST_IMAGES, MOST_PHRASES = 20_000, 300  # of more, as many are drawn at random


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """What a calibration learnt.

    Attributes
    ----------
    calibration : as the workspace keeps it; `learnt` : with how well it told the labels apart.
    labels : how many there were; `unknown` : those left out for a word that the encoder never saw.
    own_scale : the encoder's own inverse temperature.
    """

    calibration: Calibration
    learnt: Learnt
    labels: int
    unknown: tuple[str, ...]
    own_scale: float

    def __str__(self) -> str:
        known, learnt = self.calibration, self.learnt
        lines = [
            f"calibrated with {known.images:,} labelled images and {known.phrases:,} of {self.labels:,} labels of "
            f"{known.labels}: mean AUROC {learnt.auroc:.3f}",
            f"  temperature  logit scale {known.logit_scale:.4g} (the encoder's own: {self.own_scale:.4g})",
            f"  membership   truth rises {known.slope:.2f} times as fast, {known.slope_error:.0%} more or less from "
            "phrase to phrase",
            f"  unseen       {self._unseen()}",
        ]
        if not learnt.at_random:
            lines.append("  note         these images are no random sample of all; such a sample would teach more")
        if self.unknown:
            lines.append(f"  left out     {', '.join(map(repr, self.unknown[:8]))}: words that the encoder never saw")
        return "\n".join(lines)

    def _unseen(self) -> str:
        known, learnt = self.calibration, self.learnt
        if known.centred_similarity is None:
            return f"as before: {MIN_PHRASES} labels that less than half of the images show are needed to learn that"
        found = f"below centred similarity {known.centred_similarity:.3f} and mass {known.log_mean_exp:.2f}"
        phrases, lost, caught = learnt.check
        if not phrases:
            return found
        return (
            f"{found}; of {phrases} labels left out one by one, {caught} without their images (so far as the labelled "
            f"ones tell), and {lost} with them"
        )


def calibrate(session: Session, root: Path, source: str, encoder: Named | None, device: Device) -> CalibrationReport:
    """Learn from the labels that `source` gives, a column of the images or a table file, and keep it in the workspace.

    Raises BadInputError where nothing can be learnt.
    """
    session.name(encoder)
    store = session.store(root)
    if not store.encoder.has_text:
        raise BadInputError("this workspace has no text encoder to embed the labels with; name one at fsearch index")
    with store.writer():
        labels = _drawn(read_labels(store, source))
        texts_of = session.text_encoder(store, device)
        names = [name.replace("_", " ") for name in labels.names]
        phrases = [Hypothesis(name) for name in names]
        read = [as_read(phrase) for phrase in phrases]  # a label that is a negation teaches of its positive
        turned = np.array([r is not p for r, p in zip(read, phrases, strict=True)])[:, None]
        shows = np.where(turned, labels.known & ~labels.shows, labels.shows)
        known_words = np.array([not texts_of.unknown_words(r.text) for r in read])
        chosen = np.intersect1d(usable(shows, labels.known), np.flatnonzero(known_words))
        chosen = np.sort(np.random.default_rng(0).permutation(chosen)[:MOST_PHRASES])
        if not len(chosen):
            raise BadInputError(
                f"--labels {source}: no label in words that the encoder knows is shown by {MIN_SHOWING} images, with "
                f"{MIN_SHOWING} others that do not show it; label more images"
            )
        reference = reference_bank(texts_of, store.templates)
        texts = embed(texts_of, [read[i] for i in chosen], store.templates)
        labelled = Labelled(texts, labels.rows, shows[chosen], labels.known[chosen])
        learnt = learn(store.index(device), _present(store), reference, labelled)
        if learnt.auroc < LEAST_AUROC:
            raise BadInputError(
                f"--labels {source}: the encoder cannot tell which images show what its labels say (mean AUROC "
                f"{learnt.auroc:.2f}); a label must be a phrase that describes the image, like {names[chosen[0]]!r}"
            )
        found = Calibration(
            labels=source,
            images=int(labels.known[chosen].any(axis=0).sum()),
            phrases=len(chosen),
            made_at=utc_now().date().isoformat(),
            encoder=store.encoder.identity,
            templates=store.templates,
            logit_scale=learnt.logit_scale,
            slope=learnt.slope,
            slope_error=learnt.slope_error,
            centred_similarity=learnt.centred_similarity,
            log_mean_exp=learnt.log_mean_exp,
        )
        with store.catalog.write() as con:
            write_settings(con, {SETTING: found.as_json()})
    unknown = tuple(name for name, knows in zip(names, known_words, strict=True) if not knows)
    return CalibrationReport(found, learnt, len(names), unknown, reference.logit_scale)


def forget(store: Store) -> bool:
    """Forget what labels taught; returns whether there was anything."""
    if store.calibration is None:
        return False
    with store.writer(), store.catalog.write() as con:
        write_settings(con, {SETTING: ""})
    return True


def _drawn(labels: ImageLabels) -> ImageLabels:
    """The labels of MOST_IMAGES at most."""
    if len(labels.rows) <= MOST_IMAGES:
        return labels
    some = np.sort(np.random.default_rng(0).choice(len(labels.rows), MOST_IMAGES, replace=False))
    return replace(labels, rows=labels.rows[some], shows=labels.shows[:, some], known=labels.known[:, some])


def _present(store: Store) -> NDArray[np.int64]:
    """(n,) rising global rows of the images that are present."""
    with store.catalog.read() as con:
        found = con.execute("SELECT DISTINCT row FROM images WHERE status = 'present' ORDER BY row").fetchnumpy()
    return np.asarray(found["row"], np.int64)
