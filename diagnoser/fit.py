"""Fit one black box: train the ensemble, measure it out of bag, calibrate its intervals, save all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsearch.diagnoser import artifact
from fsearch.diagnoser.artifact import FitArtifact
from fsearch.diagnoser.diagnosis import MIN_FIT_IMAGES, Diagnosis
from fsearch.diagnoser.ensemble import MEMBERS, Bagged, Distribute, distributed_trainer, local_trainer, train
from fsearch.diagnoser.estimate import bank_result
from fsearch.diagnoser.fit_report import FitReport
from fsearch.diagnoser.groups import Groups, effective_images, shuffled, singletons
from fsearch.diagnoser.reference_bank import ReferenceBank
from fsearch.diagnoser.subsample import FIT_IMAGES, fitting_rows
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.rows import insert, utc_now
from fsearch.indexer.storage.vectors import Embeddings, placed_blocks
from fsearch.indexer.vector_index.near_duplicates import dense
from fsearch.indexer.workspace.calibration import in_force
from fsearch.indexer.workspace.image_groups import grouped_by, groups_of
from fsearch.indexer.workspace.store import Losses, Store

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]  # (members done, members in all)

PERMUTED_MEMBERS = 3
CHANCE = 4.5  # standard errors of a correlation; predictions of similar images correlate, so chance exceeds three


def fit_model(
    store: Store,
    model: str,
    reference: ReferenceBank,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    device: str = "cpu",
    distribute: Distribute | None = None,
) -> FitReport:
    """Fit the ensemble of `model` and store it. Call inside `store.writer()`.

    `distribute` trains its members in other processes. Raises BadInputError where there are fewer than MIN_FIT_IMAGES
    images with a loss, or all losses are equal.
    """
    losses = store.losses(model)
    if len(losses.values) < MIN_FIT_IMAGES:
        raise BadInputError(
            f"{len(losses.values)} images with a loss for model {model!r}; a fit needs {MIN_FIT_IMAGES}"
        )
    if float(np.ptp(losses.values)) == 0.0:
        raise BadInputError(
            f"all losses of model {model!r} are equal ({losses.values[0]:g}); there is nothing to learn"
        )
    embeddings = store.vectors().at(losses.rows)
    share = store.training_share(model)
    groups = dense(groups_of(store, losses.rows))
    bagged, report = learn(
        embeddings,
        losses.values,
        model=model,
        groups=groups,
        grouped_by=grouped_by(store),
        training_share=share,
        seed=seed,
        progress=progress,
        device=device,
        distribute=distribute,
    )
    fit = FitArtifact.of(bagged, losses.rows, reference, report, groups)
    calibration = in_force(store.calibration, store.encoder, store.templates)  # no ensemble depends on it, lifts do
    diagnosis = Diagnosis(fit.calibrated(calibration), losses, store.index())
    bank = bank_result(diagnosis) if len(reference.texts) else None
    fit = replace(fit, bank=bank, background=diagnosis.background)
    artifact.save(store.layout, bagged, fit)
    _record(store, losses, bagged, report)
    return report


def learn(
    embeddings: Embeddings,
    losses: Floats,
    *,
    model: str,
    groups: Groups | None = None,
    grouped_by: str | None = None,
    training_share: float | None = None,
    seed: int = 0,
    limit: int = FIT_IMAGES,
    progress: Progress | None = None,
    device: str = "cpu",
    distribute: Distribute | None = None,
) -> tuple[Bagged, FitReport]:
    """Train on about `limit` of the unit `embeddings`, (n, d), with `losses`, (n,), and predict for all of them.

    `groups`, (n,), of repeated images are drawn, held out and shuffled whole; by default each image is its own.
    """
    steps = MEMBERS + PERMUTED_MEMBERS

    def tick(first: int) -> Progress | None:
        return (lambda done, _: progress(first + done, steps)) if progress else None

    groups = singletons(len(losses)) if groups is None else groups
    rows = fitting_rows(embeddings, losses, seed, limit, groups)
    chosen = embeddings[rows].astype(np.float32)
    trainer = local_trainer(chosen, device) if distribute is None else distributed_trainer(chosen, distribute)
    drawn = dense(groups[rows])
    null = shuffled(losses[rows], drawn, np.random.default_rng([seed, 31]))
    permuted = train(trainer, chosen, null, groups=drawn, members=PERMUTED_MEMBERS, seed=seed + 1, progress=tick(0))
    bagged = train(trainer, chosen, losses[rows], groups=drawn, seed=seed, progress=tick(PERMUTED_MEMBERS))
    chance = _spearman(permuted.prediction(), null)
    effective = effective_images(losses[rows], drawn)
    bagged = _predict_all(bagged, embeddings, rows)
    real, predicted = losses, bagged.prediction()
    seen = np.isfinite(predicted)
    residual = real[seen] - predicted[seen]
    spearman = _spearman(predicted, real)
    pearson = float(np.corrcoef(predicted[seen], real[seen])[0, 1]) if predicted[seen].std() > 0 else 0.0
    skill = max(spearman, pearson)  # a rare group that fails badly hardly moves the ranks
    report = FitReport(
        model=model,
        images=len(real),
        sampled=len(rows),
        mean_loss=float(real.mean()),
        loss_std=float(real.std()),
        members=MEMBERS,
        trees=bagged.stacking.trees,
        linear=bagged.stacking.linear,
        rounds=float(np.mean(bagged.rounds)),
        spearman=spearman,
        r2=float(1.0 - (residual**2).mean() / real[seen].var()),
        spearman_permuted=chance,
        signal=bool(skill > max(chance, CHANCE / np.sqrt(effective))),
        target=bagged.transform.kind,
        training_share=training_share,
        seed=seed,
        groups=int(groups.max()) + 1,
        largest_group=int(np.bincount(groups).max()),
        grouped_by=grouped_by,
        effective_images=effective,
    )
    return bagged, report


def _predict_all(bagged: Bagged, embeddings: Embeddings, rows: NDArray[np.int64]) -> Bagged:
    """`bagged`, which was trained on `rows`, with predictions for every embedding; the others are out of every bag."""
    n = len(embeddings)
    if len(rows) == n:
        return bagged
    members, out = np.empty((len(bagged.members), n), np.float32), np.ones((len(bagged.members), n), bool)
    for start, block in placed_blocks(embeddings):
        members[:, start : start + len(block)] = bagged.predict(block.astype(np.float32))
    members[:, rows], out[:, rows] = bagged.members, bagged.out_of_bag
    return replace(bagged, members=members, out_of_bag=out)


def _spearman(predicted: Floats, real: Floats) -> float:
    import scipy.stats

    seen = np.isfinite(predicted)
    if np.ptp(predicted[seen]) == 0.0:
        return 0.0
    return float(scipy.stats.spearmanr(predicted[seen], real[seen]).statistic)


def _record(store: Store, losses: Losses, bagged: Bagged, report: FitReport) -> None:
    predicted = bagged.prediction()
    seen = np.isfinite(predicted)
    row = {
        "model": report.model,
        "fitted_at": utc_now(),
        "images": report.images,
        "mean_loss": report.mean_loss,
        "members": report.members,
        "spearman": report.spearman,
        "r2": report.r2,
        "spearman_permuted": report.spearman_permuted,
        "signal": report.signal,
        "seed": report.seed,
        "target": report.target,
        "trees": report.trees,
        "linear": report.linear,
        "sampled": report.sampled,
        "training_share": report.training_share,
        "groups": report.groups,
        "largest_group": report.largest_group,
    }
    predictions = pa.table(
        {
            "model": pa.array([report.model] * int(seen.sum()), pa.string()),
            "image_id": losses.image_ids[seen],
            "predicted_loss": predicted[seen],
        }
    )
    with store.catalog.write() as con:
        con.execute("DELETE FROM predictions WHERE model = ?", [report.model])
        insert(con, "predictions", predictions)
        insert(con, "models", pa.Table.from_pylist([row]), replace=True)
