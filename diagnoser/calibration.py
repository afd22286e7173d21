"""How wrong the lifts of a fit are, in standard errors: what its intervals are widened by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.ensemble import Bagged, out_of_bag_base, out_of_bag_mean
from fsearch.diagnoser.lift import combine, member_lifts, member_variance, residual_lift
from fsearch.diagnoser.observed import n_effective, normalised
from fsearch.diagnoser.retrieval import neighbourhood_size
from fsearch.indexer.storage.vectors import Embeddings, placed_blocks

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
CALIBRATION_QUERIES = 400
TEMPERATURE = 0.5  # in standard deviations of a query's similarity over the index


@dataclass(frozen=True, slots=True)
class Moments:
    """First and second moments of the images' embeddings: mean (d,), covariance (d, d), both float64."""

    mean: Floats
    covariance: Floats

    @classmethod
    def of(cls, embeddings: Singles) -> Moments:
        """The moments of `embeddings`, (n, d)."""
        centred = embeddings - embeddings.mean(axis=0)
        return cls(embeddings.mean(axis=0, dtype=np.float64), (centred.T @ centred / len(centred)).astype(np.float64))

    def standardise(self, queries: Singles, similarities: Singles) -> Floats:
        """Cosines, (q, k), as standard deviations above their mean over all images, for `queries` (q, d).

        Mean and variance of t.v over the images follow from the moments: t.mean and t.covariance.t. Phrases differ in
        both, and encoders far more, so a temperature only has one meaning on this scale.
        """
        mean = queries @ self.mean
        spread = np.sqrt(np.einsum("qd,de,qe->q", queries, self.covariance, queries).clip(min=1e-12))
        return (similarities - mean[:, None]) / spread[:, None]  # type: ignore[no-any-return]


def attention(scores: Floats, temperature: float = TEMPERATURE) -> Floats:
    """Weights from standardised similarities, (q, k): softmax over the k images, scaled so that the largest is one."""
    return np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature)  # type: ignore[no-any-return]


def calibration_errors(
    embeddings: Embeddings, moments: Moments, real: Floats, bagged: Bagged, variance: float, seed: int
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
    parts = np.array_split(picks, max(1, len(picks) // 50))
    for queries, cosines, near in _neighbourhoods(embeddings, parts, k):
        order = rng.permuted(np.tile(np.arange(k), (len(near), 1)), axis=1)
        near = np.take_along_axis(near, order, axis=1)
        weights = attention(moments.standardise(queries, np.take_along_axis(cosines, order, axis=1)))
        (near, other), (weights, apart) = np.split(near, 2, axis=1), np.split(weights, 2, axis=1)
        lifts = member_lifts(normalised(weights), bagged.members[:, near], bagged.out_of_bag[:, near], base)
        residual, noise = residual_lift(weights, residuals[near], float(residuals.mean()), variance)
        found = combine(np.nanmean(lifts, axis=0), residual, noise, member_variance(lifts), float(real.std()))
        share = normalised(apart)
        truth = (share * real[other]).sum(axis=1)
        scatter = (share * (real[other] - truth[:, None]) ** 2).sum(axis=1) / n_effective(apart)
        errors.append((truth - real.mean() - found.value) / np.sqrt(found.error**2 + scatter))
    return np.concatenate(errors)


def _neighbourhoods(
    embeddings: Embeddings, parts: Sequence[NDArray[np.int64]], k: int
) -> Iterator[tuple[Singles, Singles, NDArray[np.int64]]]:
    """For each part of some positions: their embeddings, and cosines and positions of the k nearest others, unordered.

    Goes through `embeddings` once and holds one block of them.
    """
    queries = [embeddings[part].astype(np.float32) for part in parts]
    cosines = [np.empty((len(part), 0), np.float32) for part in parts]
    near = [np.empty((len(part), 0), np.int64) for part in parts]
    for start, block in placed_blocks(embeddings):
        columns = block.astype(np.float32).T
        for i, part in enumerate(parts):
            similarities = queries[i] @ columns
            own = np.flatnonzero((part >= start) & (part < start + len(block)))
            similarities[own, part[own] - start] = -np.inf
            positions = np.broadcast_to(np.arange(start, start + len(block)), similarities.shape)
            joined = np.concatenate([cosines[i], similarities], axis=1), np.concatenate([near[i], positions], axis=1)
            nearest = np.argpartition(-joined[0], min(k, joined[0].shape[1]) - 1, axis=1)[:, :k]
            cosines[i], near[i] = (np.take_along_axis(a, nearest, axis=1) for a in joined)
    return zip(queries, cosines, near, strict=True)
