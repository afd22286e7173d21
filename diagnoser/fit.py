"""Fit one black box: train the ensemble, measure it out of bag, calibrate its intervals, save all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import scipy.stats
from numpy.typing import NDArray

from fsearch.diagnoser import fitted as storage
from fsearch.diagnoser.bridge import Moments, attention
from fsearch.diagnoser.calibration import conformal_quantile, member_lifts, scale
from fsearch.diagnoser.diagnosis import MIN_IMAGES, neighbourhood_size
from fsearch.diagnoser.ensemble import MEMBERS, Bagged, out_of_bag_base, quantise, train
from fsearch.diagnoser.evidence import n_effective
from fsearch.diagnoser.fitted import FitReport
from fsearch.indexer.catalog import insert, utc_now
from fsearch.indexer.errors import BadInput
from fsearch.indexer.store import Losses, Store

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]  # (members done, members in all)

PERMUTED_MEMBERS = 3
CALIBRATION_QUERIES = 400


def fit_model(store: Store, model: str, *, seed: int = 0, progress: Progress | None = None) -> FitReport:
    """Fit the ensemble of `model` and store it. Call inside `store.writer()`.

    Raises BadInput where there are fewer than MIN_IMAGES images with a loss, or all losses are equal.
    """
    losses = store.losses(model)
    _check(losses)
    embeddings = store.vectors()[losses.rows].astype(np.float32)
    steps = MEMBERS + PERMUTED_MEMBERS

    def tick(first: int) -> Progress | None:
        return (lambda done, _: progress(first + done, steps)) if progress else None

    matrix = quantise(embeddings)
    rng = np.random.default_rng([seed, 31])
    shuffled = rng.permutation(losses.values)
    permuted = train(matrix, shuffled, members=PERMUTED_MEMBERS, seed=seed + 1, progress=tick(0))
    bagged = train(matrix, losses.values, seed=seed, progress=tick(PERMUTED_MEMBERS))
    moments = Moments.of(embeddings)
    report = _report(losses, bagged, _spearman(permuted.prediction(), shuffled), embeddings, moments, seed)
    storage.save(store.layout, bagged, losses.rows, moments, report)
    _record(store, losses, bagged, report)
    return report


def _check(losses: Losses) -> None:
    if len(losses.values) < MIN_IMAGES:
        raise BadInput(f"{len(losses.values)} images with a loss for model {losses.model!r}; a fit needs {MIN_IMAGES}")
    if float(np.ptp(losses.values)) == 0.0:
        raise BadInput(
            f"all losses of model {losses.model!r} are equal ({losses.values[0]:g}); there is nothing to learn"
        )


def _report(
    losses: Losses, bagged: Bagged, permuted: float, embeddings: NDArray[np.float32], moments: Moments, seed: int
) -> FitReport:
    real, predicted = losses.values, bagged.prediction()
    seen = np.isfinite(predicted)
    residual = real[seen] - predicted[seen]
    spearman = _spearman(predicted, real)
    residual_variance = float(residual.var())
    errors = calibration_errors(embeddings, moments, real, bagged, residual_variance, seed)
    chance = scipy.stats.norm.isf(0.001) / np.sqrt(seen.sum() - 1)  # of a rank correlation without signal
    return FitReport(
        model=losses.model,
        images=len(real),
        mean_loss=float(real.mean()),
        loss_std=float(real.std()),
        members=len(bagged.boosters),
        spearman=spearman,
        r2=float(1.0 - (residual**2).mean() / real[seen].var()),
        spearman_permuted=permuted,
        signal=bool(spearman > max(permuted, chance)),
        conformal=conformal_quantile(errors),
        residual_variance=residual_variance,
        log_target=bagged.target.log,
        seed=seed,
    )


def calibration_errors(
    embeddings: NDArray[np.float32], moments: Moments, real: Floats, bagged: Bagged, residual_variance: float, seed: int
) -> Floats:
    """Scaled errors of predicted lifts over the neighbourhoods of up to CALIBRATION_QUERIES images, each left out."""
    rng = np.random.default_rng([seed, 37])
    picks = rng.choice(len(real), min(CALIBRATION_QUERIES, len(real)), replace=False)
    k = min(neighbourhood_size(len(real)), len(real) - 1)
    base = out_of_bag_base(bagged.members, bagged.out_of_bag)
    errors = []
    for block in np.array_split(picks, max(1, len(picks) // 50)):
        queries = embeddings[block]
        cosines = queries @ embeddings.T
        cosines[np.arange(len(block)), block] = -np.inf
        near = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        weights = attention(moments.standardise(queries, np.take_along_axis(cosines, near, axis=1)))
        lifts = member_lifts(weights, bagged.members[:, near], bagged.out_of_bag[:, near], base)
        truth = (weights * real[near]).sum(axis=1) - real.mean()
        errors.append((truth - np.nanmean(lifts, axis=0)) / scale(lifts, residual_variance, n_effective(weights)))
    return np.concatenate(errors)


def _spearman(predicted: Floats, real: Floats) -> float:
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
