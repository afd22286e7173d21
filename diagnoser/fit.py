"""Fit one black box: train the ensemble, measure it out of bag, calibrate its intervals, save all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import scipy.stats
from numpy.typing import NDArray

from fsearch.diagnoser import fitted as storage
from fsearch.diagnoser.bridge import Moments, attention
from fsearch.diagnoser.diagnosis import MIN_IMAGES, neighbourhood_size
from fsearch.diagnoser.ensemble import MEMBERS, Bagged, out_of_bag_base, out_of_bag_mean, quantise, train
from fsearch.diagnoser.evidence import n_effective, normalised
from fsearch.diagnoser.lift import combine, conformal_quantile, member_lifts, residual_lift, spread
from fsearch.diagnoser.reference import Reference
from fsearch.diagnoser.report import FitReport
from fsearch.diagnoser.sample import FIT_IMAGES, fitting_rows
from fsearch.indexer.catalog import insert, utc_now
from fsearch.indexer.errors import BadInput
from fsearch.indexer.store import Losses, Store

Floats = NDArray[np.float64]
Progress = Callable[[int, int], None]  # (members done, members in all)

PERMUTED_MEMBERS = 3
CALIBRATION_QUERIES = 400
LUCK = 4.5  # standard errors of a correlation; predictions of like images hang together, so luck reaches past three
_BLOCK = 65_536


def fit_model(
    store: Store, model: str, reference: Reference, *, seed: int = 0, progress: Progress | None = None
) -> FitReport:
    """Fit the ensemble of `model` and store it. Call inside `store.writer()`.

    Raises BadInput where there are fewer than MIN_IMAGES images with a loss, or all losses are equal.
    """
    losses = store.losses(model)
    if len(losses.values) < MIN_IMAGES:
        raise BadInput(f"{len(losses.values)} images with a loss for model {model!r}; a fit needs {MIN_IMAGES}")
    if float(np.ptp(losses.values)) == 0.0:
        raise BadInput(f"all losses of model {model!r} are equal ({losses.values[0]:g}); there is nothing to learn")
    embeddings = store.vectors()[losses.rows]
    share = store.training_share(model)
    bagged, moments, report = learn(
        embeddings, losses.values, model=model, training_share=share, seed=seed, progress=progress
    )
    storage.save(store.layout, bagged, losses.rows, moments, reference, report)
    _record(store, losses, bagged, report)
    return report


def learn(
    embeddings: NDArray[np.floating],
    losses: Floats,
    *,
    model: str,
    training_share: float | None = None,
    seed: int = 0,
    limit: int = FIT_IMAGES,
    progress: Progress | None = None,
) -> tuple[Bagged, Moments, FitReport]:
    """Train on at most `limit` of the unit `embeddings`, (n, d), with `losses`, (n,), and predict for all of them."""
    steps = MEMBERS + PERMUTED_MEMBERS

    def tick(first: int) -> Progress | None:
        return (lambda done, _: progress(first + done, steps)) if progress else None

    rows = fitting_rows(embeddings, losses, seed, limit)
    chosen = embeddings[rows].astype(np.float32)
    matrix = quantise(chosen)
    shuffled = np.random.default_rng([seed, 31]).permutation(losses[rows])
    permuted = train(matrix, chosen, shuffled, members=PERMUTED_MEMBERS, seed=seed + 1, progress=tick(0))
    bagged = train(matrix, chosen, losses[rows], seed=seed, progress=tick(PERMUTED_MEMBERS))
    chance = _spearman(permuted.prediction(), shuffled)
    moments = Moments.of(chosen)
    bagged = _for_all(bagged, embeddings, rows)
    real, predicted = losses, bagged.prediction()
    seen = np.isfinite(predicted)
    residual = real[seen] - predicted[seen]
    spearman, variance = _spearman(predicted, real), float(residual.var())
    pearson = float(np.corrcoef(predicted[seen], real[seen])[0, 1]) if predicted[seen].std() > 0 else 0.0
    strongest = max(spearman, pearson)  # a rare group that fails badly hardly moves the ranks
    errors = calibration_errors(embeddings, moments, real, bagged, variance, seed)
    report = FitReport(
        model=model,
        images=len(real),
        sampled=len(rows),
        mean_loss=float(real.mean()),
        loss_std=float(real.std()),
        members=MEMBERS,
        trees=bagged.blend.trees,
        linear=bagged.blend.linear,
        rounds=float(np.mean(bagged.rounds)),
        spearman=spearman,
        r2=float(1.0 - (residual**2).mean() / real[seen].var()),
        spearman_permuted=chance,
        signal=bool(strongest > max(chance, LUCK / np.sqrt(len(rows)))),
        conformal=conformal_quantile(errors),
        residual_variance=variance,
        target=bagged.target.kind,
        training_share=training_share,
        seed=seed,
    )
    return bagged, moments, report


def _for_all(bagged: Bagged, embeddings: NDArray[np.floating], rows: NDArray[np.int64]) -> Bagged:
    """`bagged`, which was trained on `rows`, with predictions for every embedding; the others are out of every bag."""
    n = len(embeddings)
    if len(rows) == n:
        return bagged
    members, out = np.empty((len(bagged.members), n), np.float32), np.ones((len(bagged.members), n), bool)
    for start in range(0, n, _BLOCK):
        block = embeddings[start : start + _BLOCK].astype(np.float32)
        members[:, start : start + len(block)] = bagged.predict(block)
    members[:, rows], out[:, rows] = bagged.members, bagged.out_of_bag
    return replace(bagged, members=members, out_of_bag=out)


def calibration_errors(
    embeddings: NDArray[np.floating], moments: Moments, real: Floats, bagged: Bagged, variance: float, seed: int
) -> Floats:
    """Errors of lifts in standard errors, over the neighbourhoods of up to CALIBRATION_QUERIES images as queries.

    The truth of a neighbourhood is not at hand, only losses that scatter about it. So each is split in halves: the lift
    is found from one, compared with the real losses of the other, and the error is scaled by the variance of both.
    """
    rng = np.random.default_rng([seed, 37])
    picks = rng.choice(len(real), min(CALIBRATION_QUERIES, len(real)), replace=False)
    k = min(neighbourhood_size(len(real)), len(real) - 1) // 2 * 2
    base = out_of_bag_base(bagged.members, bagged.out_of_bag)
    residuals = real - np.nan_to_num(out_of_bag_mean(bagged.members, bagged.out_of_bag), nan=real.mean())
    errors = []
    for block in np.array_split(picks, max(1, len(picks) // 50)):
        queries = embeddings[block].astype(np.float32)
        cosines = np.concatenate(
            [queries @ embeddings[i : i + _BLOCK].astype(np.float32).T for i in range(0, len(real), _BLOCK)], axis=1
        )
        cosines[np.arange(len(block)), block] = -np.inf
        near = rng.permuted(np.argpartition(-cosines, k - 1, axis=1)[:, :k], axis=1)
        weights = attention(moments.standardise(queries, np.take_along_axis(cosines, near, axis=1)))
        (near, other), (weights, apart) = np.split(near, 2, axis=1), np.split(weights, 2, axis=1)
        lifts = member_lifts(normalised(weights), bagged.members[:, near], bagged.out_of_bag[:, near], base)
        residual, noise = residual_lift(weights, residuals[near], float(residuals.mean()), variance)
        found = combine(np.nanmean(lifts, axis=0), residual, noise, spread(lifts), float(real.std()))
        share = normalised(apart)
        truth = (share * real[other]).sum(axis=1)
        scatter = (share * (real[other] - truth[:, None]) ** 2).sum(axis=1) / n_effective(apart)
        errors.append((truth - real.mean() - found.value) / np.sqrt(found.error**2 + scatter))
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
        "target": report.target,
        "trees": report.trees,
        "linear": report.linear,
        "sampled": report.sampled,
        "training_share": report.training_share,
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
