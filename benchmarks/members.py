"""Ten ensemble members on one shared QuantileDMatrix beside ten separate trainings of the same trees."""

from __future__ import annotations

import numpy as np
import xgboost
from benchmarks.measure import machine, paired

from fsearch.diagnoser.ensemble import MEMBERS, PARAMETERS, ROUNDS, quantise, train

ROWS, DIM, REPEATS = 20_000, 512, 3


def main() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, DIM)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    losses = rng.gamma(1.0, np.exp(4 * x[:, 0]))

    def shared() -> None:
        train(quantise(x), losses)

    def separate() -> None:
        """What a user would write: each member draws its rows, quantises them, trains, predicts the rest."""
        for b in range(MEMBERS):
            draw = np.random.default_rng(b)
            rows = draw.integers(0, ROWS, ROWS)
            matrix = xgboost.QuantileDMatrix(x[rows], np.log1p(losses[rows]), max_bin=PARAMETERS["max_bin"])
            booster = xgboost.train({**PARAMETERS, "seed": b}, matrix, ROUNDS)
            booster.predict(xgboost.DMatrix(x[np.setdiff1d(np.arange(ROWS), rows)]))

    mine, apart, ratio = paired(shared, separate, REPEATS)
    print(f"members: {MEMBERS} of {ROUNDS} trees on {ROWS:,} x {DIM}, median of {REPEATS} ({machine()})")
    print(f"  shared matrix {mine:.1f} s, separate trainings {apart:.1f} s, shared / separate {1 / ratio:.2f}")


if __name__ == "__main__":
    main()
