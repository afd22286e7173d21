"""The ensemble's fit beside one plain XGBoost training of the same trees."""

from __future__ import annotations

import numpy as np
import xgboost
from benchmarks.measure import machine, paired

from fsearch.diagnoser.ensemble import MEMBERS, PARAMETERS, ROUNDS, here, train
from fsearch.diagnoser.subsample import fitting_rows

ROWS, DIM, REPEATS = 100_000, 512, 3
_PLAIN = {k: v for k, v in PARAMETERS.items() if k != "disable_default_eval_metric"}


def main() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(50, DIM)) * 0.7
    x = (centres[rng.integers(50, size=ROWS)] + rng.normal(size=(ROWS, DIM))).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    losses = rng.gamma(1.0, np.exp(4 * x[:, 0]))

    def ensemble() -> None:
        """Ten members, trees and ridge, on the stratified sample; predictions for every image."""
        rows = fitting_rows(x, losses, 0)
        bagged = train(here(x[rows]), x[rows], losses[rows])
        bagged.predict(x[np.setdiff1d(np.arange(ROWS), rows)])

    def plain() -> None:
        """One training on all rows: quantise, grow as many trees as a member may, predict."""
        matrix = xgboost.QuantileDMatrix(x, np.log1p(losses), max_bin=PARAMETERS["max_bin"])
        xgboost.train(_PLAIN, matrix, ROUNDS).predict(matrix)

    mine, one, ratio = paired(ensemble, plain, REPEATS)
    print(f"members: {MEMBERS} on {ROWS:,} x {DIM}, median of {REPEATS} ({machine()})")
    print(f"  ensemble {mine:.1f} s, one plain training of {ROUNDS} trees {one:.1f} s, ratio {1 / ratio:.1f}")


if __name__ == "__main__":
    main()
