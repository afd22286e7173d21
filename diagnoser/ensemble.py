"""The ensemble: bagged XGBoost regressors, each with a linear side, from embedding to loss. Only here is xgboost.

All members share one QuantileDMatrix, so the embeddings are quantised once. Member b sees Poisson(1) weights (the
online bootstrap of Oza and Russell, 2001); the rows it drew zero times are its out-of-bag rows (Breiman, 1996), and on
them its trees are stopped early.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser import ridge as linear
from fsearch.diagnoser.loss_transform import Target
from fsearch.diagnoser.stacking import Blend
from fsearch.indexer.errors import WorkspaceError

Floats = NDArray[np.float64]
Job = tuple[NDArray[np.float32], int]  # a member's weights, (n,), and its seed
Member = tuple[Any, NDArray[np.float32], Floats]  # its trees, their predictions, (n,), and its linear side, (d + 1,)
Grow = Callable[[Floats, str, Sequence[Job]], Iterable[Member]]  # of the learned target, (n,), and the objective
Spread = Callable[[Callable[[Any, Any], Any], Any, Sequence[Any]], Iterable[Any]]  # work(shared, job) for each job

PARAMETERS: dict[str, Any] = {
    "tree_method": "hist",
    "max_depth": 4,
    "eta": 0.08,
    "max_bin": 64,
    "min_child_weight": 8,
    "colsample_bynode": 0.3,
    "lambda": 4.0,
    "disable_default_eval_metric": True,
}
ROUNDS = 120
PATIENCE = 15  # rounds without a better out-of-bag error
MEMBERS = 10


@dataclass(frozen=True, slots=True)
class Bagged:
    """A trained ensemble with its predictions for the n images it was given.

    Attributes
    ----------
    boosters : the members' trees; `coefficients` : (b, d + 1) their linear sides, intercept last.
    members : (b, n) float32, each member's prediction for each row, in units of the loss.
    out_of_bag : (b, n) bool, True where the member did not train on the row.
    rounds : trees kept by each member.
    """

    boosters: tuple[Any, ...]
    coefficients: Floats
    members: NDArray[np.float32]
    out_of_bag: NDArray[np.bool_]
    target: Target
    blend: Blend
    rounds: tuple[int, ...]

    def prediction(self) -> Floats:
        """(n,) mean over the members that did not train on the row; NaN where every member did."""
        return out_of_bag_mean(self.members, self.out_of_bag)

    def predict(self, points: NDArray[np.float32]) -> Floats:
        """(b, m) each member's expected loss at any `points`, (m, d)."""
        return predict(self.boosters, self.coefficients, self.target, self.blend, points)


def out_of_bag_mean(members: NDArray[np.floating], out_of_bag: NDArray[np.bool_]) -> Floats:
    """(n,) float64 mean of `members`, (b, n), over True entries of `out_of_bag`; NaN where there is none."""
    counts = out_of_bag.sum(axis=0)
    sums: Floats = np.where(out_of_bag, members, 0.0).sum(axis=0, dtype=np.float64)
    return np.asarray(np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0), np.float64)


def out_of_bag_base(members: NDArray[np.float32], out_of_bag: NDArray[np.bool_]) -> Floats:
    """(b,) each member's mean prediction over the rows it did not train on: its own baseline."""
    return np.array([m[o].mean() if o.any() else m.mean() for m, o in zip(members, out_of_bag, strict=True)])


def here(embeddings: NDArray[np.float32], device: str = "cpu") -> Grow:
    """Grow members one after the other on one quantised matrix of unit `embeddings`, (n, d), on "cpu" or "cuda"."""
    import xgboost

    matrix = xgboost.QuantileDMatrix(embeddings, max_bin=PARAMETERS["max_bin"])

    def grow(learned: Floats, objective: str, jobs: Sequence[Job]) -> Iterator[Member]:
        matrix.set_label(learned)
        for weights, seed in jobs:
            booster = _grow(matrix, learned, weights, objective, seed, device)
            yield booster, booster.predict(matrix), linear.ridge(embeddings, learned, weights)

    return grow


def elsewhere(embeddings: NDArray[np.float32], spread: Spread) -> Grow:
    """Grow each member in another process, on a matrix of its own; `spread` sends them there."""
    import xgboost

    def grow(learned: Floats, objective: str, jobs: Sequence[Job]) -> Iterator[Member]:
        for raw, predicted, flat in spread(_one, (embeddings, learned, objective), jobs):
            yield xgboost.Booster(model_file=bytearray(raw)), predicted, flat

    return grow


def _one(shared: tuple[NDArray[np.float32], Floats, str], job: Job) -> tuple[bytes, NDArray[np.float32], Floats]:
    """One member, with its trees in XGBoost's own UBJSON."""
    embeddings, learned, objective = shared
    ((booster, predicted, flat),) = here(embeddings)(learned, objective, [job])
    return bytes(booster.save_raw("ubj")), predicted, flat


def train(
    grow: Grow,
    embeddings: NDArray[np.float32],
    losses: Floats,
    *,
    members: int = MEMBERS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Bagged:
    """Train `members` on `embeddings`, (n, d), and `losses`, (n,) finite. `grow` is made from the same embeddings."""
    target = Target.of(losses)
    learned = target.forward(losses)
    draws = np.random.default_rng([seed, 11]).poisson(1.0, size=(members, len(losses))).astype(np.float32)
    out = draws == 0
    boosters, trees, coefficients = [], np.empty(draws.shape), []
    jobs = [(weights, seed * 1000 + b) for b, weights in enumerate(draws)]
    for b, (booster, predicted, flat) in enumerate(grow(learned, target.objective, jobs)):
        trees[b] = predicted
        boosters.append(booster)
        coefficients.append(flat)
        if progress:
            progress(b + 1, members)
    found = np.array(coefficients)
    lines = linear.predict(found, embeddings)
    mean = (out_of_bag_mean(trees, out) + out_of_bag_mean(lines, out)) / 2
    target = target.smeared(learned - mean)
    trees, lines = target.backward(trees), target.backward(lines)
    blend = Blend.of(out_of_bag_mean(trees, out), out_of_bag_mean(lines, out), losses)
    mixed = blend.mix(trees, lines).astype(np.float32)
    rounds = tuple(int(b.num_boosted_rounds()) for b in boosters)
    return Bagged(tuple(boosters), found, mixed, out, target, blend, rounds)


def _grow(matrix: Any, learned: Floats, weights: NDArray[np.float32], objective: str, seed: int, device: str) -> Any:
    """One member's trees, stopped when the rows it did not draw are predicted no better."""
    import xgboost

    matrix.set_weight(weights)
    unseen = weights == 0
    truth = learned[unseen]

    def error(predicted: NDArray[np.float32], _: Any) -> tuple[str, float]:
        return "out_of_bag", float(np.mean((predicted[unseen] - truth) ** 2))

    stop = xgboost.callback.EarlyStopping(rounds=PATIENCE, metric_name="out_of_bag", data_name="fit", save_best=True)
    settings = {**PARAMETERS, "objective": objective, "seed": seed, "device": device}
    return xgboost.train(
        settings, matrix, ROUNDS, evals=[(matrix, "fit")], custom_metric=error, callbacks=[stop], verbose_eval=False
    )


def predict(
    boosters: Sequence[Any], coefficients: Floats, target: Target, blend: Blend, points: NDArray[np.float32]
) -> Floats:
    """(b, m) each member's expected loss at each of `points`, (m, d)."""
    trees = np.stack([target.backward(b.inplace_predict(points).astype(np.float64)) for b in boosters])
    return blend.mix(trees, target.backward(linear.predict(coefficients, points)))


def save(boosters: Sequence[Any], folder: Path) -> None:
    """Write each member's trees in XGBoost's own UBJSON: no pickle."""
    for i, booster in enumerate(boosters):
        booster.save_model(folder / f"member-{i:02d}.ubj")


def load(folder: Path, members: int) -> tuple[Any, ...]:
    """Read the trees back. Raises WorkspaceError where a file is missing or damaged."""
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
