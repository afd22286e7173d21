"""An error-aware mixture: regions of the embedding space whose images lose alike, after Domino.

Domino (Eyuboglu et al., ICLR 2022, section 4.2) fits a mixture whose components are normal in the embedding and, by a
weight of their own, in the errors. Here the embedding is taken to its main directions, and the error is the loss. The
losses shape the components; whether an image is of one is told by its embedding alone, so that images whose losses were
not seen can be judged by it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

DIRECTIONS = 32  # main directions of the embeddings that are kept
LOSS_WEIGHT = 10.0  # of the loss against the embedding, as in Domino
ROUNDS = 40
_FLOOR = 1e-3  # least variance, as a share of that of all images


@dataclass(frozen=True, slots=True)
class Mixture:
    """A mixture of k normal components with diagonal covariance in p main directions.

    Attributes
    ----------
    centre : (d,) and `basis` : (d, p) take an embedding to its main directions.
    means, variances : (k, p); `log_shares` : (k,).
    """

    centre: Singles
    basis: Singles
    means: Floats
    variances: Floats
    log_shares: Floats

    def posterior(self, embeddings: Singles) -> Floats:
        """(n, k) chance that each of `embeddings`, (n, d), is of each component; no loss is asked."""
        points = ((embeddings - self.centre) @ self.basis).astype(np.float64)
        return _responsibilities(self.log_shares + _log_normal(points, self.means, self.variances))


def fit(embeddings: Singles, losses: Floats, components: int, seed: int = 0) -> Mixture:
    """Fit a mixture to unit `embeddings`, (n, d), and `losses`, (n,), by expectation maximisation.

    The first means are `components` images, drawn one after the other far from those before (k-means++, Arthur and
    Vassilvitskii, SODA 2007).
    """
    centre = embeddings.mean(axis=0)
    moved = embeddings - centre
    basis = _main_directions(moved, seed)
    points = (moved @ basis).astype(np.float64)
    error = (losses - losses.mean()) / max(float(losses.std()), 1e-300)
    rng = np.random.default_rng([seed, 71])
    found = _nearest(points, _spread_out(points, components, rng))
    floor = _FLOOR * float(points.var(axis=0).mean()) + 1e-12
    for _ in range(ROUNDS):
        total = found.sum(axis=0) + 1e-9
        means = found.T @ points / total[:, None]
        variances = found.T @ points**2 / total[:, None] - means**2
        variances = np.maximum(variances, 0.0) + floor
        error_mean = found.T @ error / total
        error_variance = found.T @ error**2 / total - error_mean**2
        error_variance = np.maximum(error_variance, 0.0) + 0.05
        shares = np.log(total / total.sum())
        place = _log_normal(points, means, variances)
        loses = _log_normal(error[:, None], error_mean[:, None], error_variance[:, None])
        found = _responsibilities(shares + place + LOSS_WEIGHT * loses)
    return Mixture(centre, basis, means, variances, shares)


def _main_directions(moved: Singles, seed: int) -> Singles:
    """(d, p) principal directions of centred points, (n, d)."""
    some = np.random.default_rng([seed, 73]).permutation(len(moved))[:8192]
    _, vectors = np.linalg.eigh(moved[some].T @ moved[some])
    return np.ascontiguousarray(vectors[:, ::-1][:, :DIRECTIONS])


def _spread_out(points: Floats, count: int, rng: np.random.Generator) -> Floats:
    chosen = [points[rng.integers(len(points))]]
    distance = np.full(len(points), np.inf)
    while len(chosen) < count:
        distance = np.minimum(distance, ((points - chosen[-1]) ** 2).sum(axis=1))
        total = float(distance.sum())
        chosen.append(points[rng.choice(len(points), p=distance / total if total > 0 else None)])
    return np.array(chosen)


def _nearest(points: Floats, means: Floats) -> Floats:
    """(n, k) 1 where a mean is the nearest to a point."""
    nearest = ((points**2).sum(axis=1)[:, None] - 2 * points @ means.T + (means**2).sum(axis=1)).argmin(axis=1)
    found: Floats = np.eye(len(means))[nearest]
    return found


def _log_normal(points: Floats, means: Floats, variances: Floats) -> Floats:
    """(n, k) log density, up to a constant, of `points`, (n, p), under components of diagonal covariance."""
    precision = 1 / variances
    squares = points**2 @ precision.T - 2 * points @ (means * precision).T + (means**2 * precision).sum(axis=1)
    found: Floats = -0.5 * (squares + np.log(variances).sum(axis=1))
    return found


def _responsibilities(logs: Floats) -> Floats:
    chances = np.exp(logs - logs.max(axis=1, keepdims=True))
    found: Floats = chances / chances.sum(axis=1, keepdims=True)
    return found
