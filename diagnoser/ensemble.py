"""The ensemble: bagged XGBoost regressors, each with a linear side, from embedding to loss. Only here is xgboost.

All members share one QuantileDMatrix, so the embeddings are quantised once. Member b sees Poisson(1) weights (the
online bootstrap of Oza and Russell, 2001), one for each group of repeated images: else a frame's twins would train the
member that judges it. The rows it drew zero times are its out-of-bag rows (Breiman, 1996), and on them its trees are
stopped early.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser import ridge
from fsearch.diagnoser.groups import Groups, singletons
from fsearch.diagnoser.loss_transform import LossTransform
from fsearch.diagnoser.stacking import Stacking

Floats = NDArray[np.float64]
Job = tuple[NDArray[np.float32], int]  # a member's weights, (n,), and its seed
Member = tuple[Any, NDArray[np.float32], Floats]  # its trees, their predictions, (n,), and its linear side, (d + 1,)
Trainer = Callable[[Floats, str, Sequence[Job]], Iterable[Member]]  # of the transformed losses, (n,), and the objective
Distribute = Callable[[Callable[[Any, Any], Any], Any, Sequence[Any]], Iterable[Any]]  # work(shared, job) for each job

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
    members : (b, n) float32, each member's prediction for each row: the expected loss less the mean loss.
    out_of_bag : (b, n) bool, True where the member did not train on the row.
    rounds : trees kept by each member.
    """

    boosters: tuple[Any, ...]
    coefficients: Floats
    members: NDArray[np.float32]
    out_of_bag: NDArray[np.bool_]
    transform: LossTransform
    stacking: Stacking
    rounds: tuple[int, ...]

    def prediction(self) -> Floats:
        """(n,) expected loss by the members that did not train on the row; NaN where every member did."""
        return out_of_bag_mean(self.members, self.out_of_bag) + self.stacking.level

    def predict(self, points: NDArray[np.float32]) -> Floats:
        """(b, m) each member's expected loss less the mean loss, at any `points`, (m, d)."""
        return predict(self._margins, self.coefficients, self.transform, self.stacking, points)

    def _margins(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.stack([b.inplace_predict(points, predict_type="margin") for b in self.boosters])


def out_of_bag_mean(members: NDArray[np.floating], out_of_bag: NDArray[np.bool_]) -> Floats:
    """(n,) float64 mean of `members`, (b, n), over True entries of `out_of_bag`; NaN where there is none."""
    counts = out_of_bag.sum(axis=0)
    sums: Floats = np.where(out_of_bag, members, 0.0).sum(axis=0, dtype=np.float64)
    return np.asarray(np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0), np.float64)


def out_of_bag_base(members: NDArray[np.float32], out_of_bag: NDArray[np.bool_]) -> Floats:
    """(b,) each member's mean prediction over the rows it did not train on: its own baseline."""
    return np.array([m[o].mean() if o.any() else m.mean() for m, o in zip(members, out_of_bag, strict=True)])


def local_trainer(embeddings: NDArray[np.float32], device: str = "cpu") -> Trainer:
    """Train members one after the other on one quantised matrix of unit `embeddings`, (n, d), on "cpu" or "cuda"."""
    import xgboost

    matrix = xgboost.QuantileDMatrix(embeddings, max_bin=PARAMETERS["max_bin"])

    def train_members(learned: Floats, objective: str, jobs: Sequence[Job]) -> Iterator[Member]:
        matrix.set_label(learned)
        for weights, seed in jobs:
            booster = _train_member(matrix, learned, weights, objective, seed, device)
            yield booster, booster.predict(matrix), ridge.ridge(embeddings, learned, weights)

    return train_members


def distributed_trainer(embeddings: NDArray[np.float32], distribute: Distribute) -> Trainer:
    """Train each member in another process, on a matrix of its own; `distribute` sends them there."""
    import xgboost

    def train_members(learned: Floats, objective: str, jobs: Sequence[Job]) -> Iterator[Member]:
        for raw, predicted, linear in distribute(_train_one, (embeddings, learned, objective), jobs):
            yield xgboost.Booster(model_file=bytearray(raw)), predicted, linear

    return train_members


def _train_one(shared: tuple[NDArray[np.float32], Floats, str], job: Job) -> tuple[bytes, NDArray[np.float32], Floats]:
    """One member, with its trees in XGBoost's own UBJSON."""
    embeddings, learned, objective = shared
    ((booster, predicted, linear),) = local_trainer(embeddings)(learned, objective, [job])
    return bytes(booster.save_raw("ubj")), predicted, linear


def train(
    trainer: Trainer,
    embeddings: NDArray[np.float32],
    losses: Floats,
    *,
    groups: Groups | None = None,
    members: int = MEMBERS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Bagged:
    """Train `members` on `embeddings`, (n, d), and `losses`, (n,) finite. `trainer` has these embeddings.

    `groups`, (n,), are drawn and held out whole; by default each image is its own.
    """
    transform = LossTransform.of(losses)
    learned = transform.forward(losses)
    groups = singletons(len(losses)) if groups is None else groups
    rng = np.random.default_rng([seed, 11])
    draws = rng.poisson(1.0, size=(members, int(groups.max()) + 1)).astype(np.float32)
    draws[~draws.any(axis=1)] = 1  # of very few groups a member may draw none: it then draws each once
    draws = np.take(draws, groups, axis=1)  # rows stay contiguous: other strides change sums in their last bit
    out = draws == 0
    boosters, trees, coefficients = [], np.empty(draws.shape), []
    jobs = [(weights, seed * 1000 + b) for b, weights in enumerate(draws)]
    for b, (booster, predicted, linear) in enumerate(trainer(learned, transform.objective, jobs)):
        trees[b] = predicted
        boosters.append(booster)
        coefficients.append(linear)
        if progress:
            progress(b + 1, members)
    found = np.array(coefficients)
    lines = ridge.predict(found, embeddings)
    mean = (out_of_bag_mean(trees, out) + out_of_bag_mean(lines, out)) / 2
    transform = transform.smeared(learned - mean)
    trees, lines = transform.backward(trees), transform.backward(lines)
    stacking = Stacking.of(out_of_bag_mean(trees, out), out_of_bag_mean(lines, out), losses)
    mixed = stacking.mix(trees, lines).astype(np.float32)
    rounds = tuple(int(b.num_boosted_rounds()) for b in boosters)
    return Bagged(tuple(boosters), found, mixed, out, transform, stacking, rounds)


def _train_member(
    matrix: Any, learned: Floats, weights: NDArray[np.float32], objective: str, seed: int, device: str
) -> Any:
    """One member's trees, stopped when the rows it did not draw are predicted no better."""
    import xgboost

    matrix.set_weight(weights)
    unseen = (weights == 0) if (weights == 0).any() else np.ones(len(weights), bool)  # one group may hold all images
    truth = learned[unseen]

    def error(predicted: NDArray[np.float32], _: Any) -> tuple[str, float]:
        return "out_of_bag", float(np.mean((predicted[unseen] - truth) ** 2))

    stop = xgboost.callback.EarlyStopping(rounds=PATIENCE, metric_name="out_of_bag", data_name="fit", save_best=True)
    settings = {**PARAMETERS, "objective": objective, "seed": seed, "device": device}
    return xgboost.train(
        settings, matrix, ROUNDS, evals=[(matrix, "fit")], custom_metric=error, callbacks=[stop], verbose_eval=False
    )


def predict(
    margins: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    coefficients: Floats,
    transform: LossTransform,
    stacking: Stacking,
    points: NDArray[np.float32],
) -> Floats:
    """(b, m) what each member expects at each of `points`, (m, d), beyond the mean loss.

    `margins` gives what its trees say there.
    """
    from scipy.special import expit

    said = margins(points).astype(np.float64)
    trees = transform.backward(expit(said) if transform.kind == "logistic" else said)
    return stacking.mix(trees, transform.backward(ridge.predict(coefficients, points)))
