"""The ensemble: bagged XGBoost regressors from embedding to loss. The one file that imports xgboost.

All members share one QuantileDMatrix, so the embeddings are quantised once. Member b sees Poisson(1) weights (the
online bootstrap of Oza and Russell, 2001); the rows it drew zero times are its out-of-bag rows (Breiman, 1996).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.errors import WorkspaceError

Floats = NDArray[np.float64]

PARAMETERS: dict[str, Any] = {
    "objective": "reg:squarederror",
    "tree_method": "hist",
    "max_depth": 4,
    "eta": 0.08,
    "max_bin": 64,
    "min_child_weight": 8,
    "colsample_bynode": 0.3,
    "lambda": 4.0,
}
ROUNDS = 120
MEMBERS = 10


@dataclass(frozen=True, slots=True)
class Target:
    """How losses are put before the trees: log1p tames heavy tails where no loss is negative.

    Attributes
    ----------
    log : whether the trees see log1p(loss).
    smearing : factor that makes the back-transformed mean unbiased (Duan, JASA 1983); 1 without log.
    """

    log: bool
    smearing: float = 1.0

    def forward(self, losses: Floats) -> Floats:
        """Losses to what the trees learn."""
        return np.log1p(losses) if self.log else losses

    def backward(self, predicted: Floats) -> Floats:
        """What the trees say, in units of the loss: an expected loss, not a median."""
        return np.exp(predicted) * self.smearing - 1.0 if self.log else predicted


@dataclass(frozen=True, slots=True)
class Bagged:
    """A trained ensemble with its out-of-bag predictions.

    Attributes
    ----------
    boosters : the members.
    members : (b, n) float32, each member's prediction for each row, in units of the loss.
    out_of_bag : (b, n) bool, True where the member did not train on the row.
    """

    boosters: tuple[Any, ...]
    members: NDArray[np.float32]
    out_of_bag: NDArray[np.bool_]
    target: Target

    def prediction(self) -> Floats:
        """(n,) mean over the members that did not train on the row; NaN where every member did."""
        return out_of_bag_mean(self.members, self.out_of_bag)


def out_of_bag_mean(members: NDArray[np.float32], out_of_bag: NDArray[np.bool_]) -> Floats:
    """(n,) float64 mean of `members`, (b, n), over True entries of `out_of_bag`; NaN where there is none."""
    counts = out_of_bag.sum(axis=0)
    sums: Floats = np.where(out_of_bag, members, 0.0).sum(axis=0, dtype=np.float64)
    return np.asarray(np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0), np.float64)


def out_of_bag_base(members: NDArray[np.float32], out_of_bag: NDArray[np.bool_]) -> Floats:
    """(b,) each member's mean prediction over the rows it did not train on: its own baseline."""
    return np.array([m[o].mean() for m, o in zip(members, out_of_bag, strict=True)], np.float64)


def quantise(embeddings: NDArray[np.float32]) -> Any:
    """The one matrix that every member trains on, from unit `embeddings`, (n, d)."""
    import xgboost

    return xgboost.QuantileDMatrix(embeddings, max_bin=PARAMETERS["max_bin"])


def train(
    matrix: Any,
    losses: Floats,
    *,
    members: int = MEMBERS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Bagged:
    """Train `members` regressors on a quantised `matrix` of n rows and `losses`, (n,) finite."""
    import xgboost

    target = Target(log=bool(losses.min() >= 0))
    learned = target.forward(losses)
    matrix.set_label(learned)
    rng = np.random.default_rng([seed, 11])
    draws = rng.poisson(1.0, size=(members, len(losses))).astype(np.float32)
    boosters, raw = [], np.empty(draws.shape, np.float32)
    for b, weights in enumerate(draws):
        matrix.set_weight(weights)
        booster = xgboost.train({**PARAMETERS, "seed": seed * 1000 + b}, matrix, ROUNDS)
        raw[b] = booster.predict(matrix)
        boosters.append(booster)
        if progress:
            progress(b + 1, members)
    out = draws == 0
    if target.log:
        residual = learned - out_of_bag_mean(raw, out)
        target = Target(log=True, smearing=float(np.nanmean(np.exp(residual))))
    return Bagged(tuple(boosters), target.backward(raw.astype(np.float64)).astype(np.float32), out, target)


def predict(boosters: Sequence[Any], target: Target, points: NDArray[np.float32]) -> Floats:
    """(b, m) each member's expected loss at each of `points`, (m, d)."""
    return np.stack([target.backward(b.inplace_predict(points).astype(np.float64)) for b in boosters])


def save(boosters: Sequence[Any], folder: Path) -> None:
    """Write each member in XGBoost's own UBJSON: no pickle."""
    for i, booster in enumerate(boosters):
        booster.save_model(folder / f"member-{i:02d}.ubj")


def load(folder: Path, members: int) -> tuple[Any, ...]:
    """Read the members back. Raises WorkspaceError where one is missing or damaged."""
    import xgboost

    found = []
    for i in range(members):
        path = folder / f"member-{i:02d}.ubj"
        try:
            booster = xgboost.Booster()
            booster.load_model(path)
        except xgboost.core.XGBoostError as error:
            raise WorkspaceError(f"{path} is missing or damaged; run: fsearch fit") from error
        found.append(booster)
    return tuple(found)
