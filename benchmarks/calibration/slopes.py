"""How well some hundred labels tell the slope of the truth on membership: plainly, and prediction-powered.

Prediction-powered inference (Angelopoulos et al., Science 2023) estimates a moment by that of predictions on all images
plus the mean of what they miss on the labelled ones; power-tuned (Angelopoulos, Duchi and Zrnic, 2023) it takes the
share of the predictions that varies least. Here memberships are the predictions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from benchmarks.calibration.unseen import SINGLE
from benchmarks.planted.clip_sets import labelled_set

from fsearch.diagnoser.labelled import usable
from fsearch.diagnoser.membership import membership

IMAGES, REPEATS = (200, 400), 20


def print_table(folder: Path) -> None:
    """Root mean square error of the slope of a concept, and of the mean of all, against those from all labels."""
    print("Root mean square error of a concept's slope of the truth on membership (of the mean slope of all)\n")
    head = ["set", "labelled images", "concepts", "plain", "prediction-powered", "power-tuned"]
    print(f"| {' | '.join(head)} |\n|---|{'---:|' * (len(head) - 1)}")
    for name in SINGLE:
        whole = labelled_set(folder, name)
        retriever = whole.retriever(whole.images)
        found = retriever.find(whole.texts)
        chances = membership(found.directions @ whole.images.T, found.support.anchor, found.scale)
        for m in IMAGES:
            if 2 * m <= len(whole.images):
                print(f"| {name} | {m} | {' | '.join(_errors(chances, whole.shown, m))} |", flush=True)
    print()


def _errors(chances: np.ndarray, shown: np.ndarray, m: int) -> list[str]:
    rng, n = np.random.default_rng(0), chances.shape[1]
    full = np.array([slope(c, y) for c, y in zip(chances, shown, strict=True)])
    single, mean = [], []
    concepts = 0.0
    for _ in range(REPEATS):
        rows = rng.choice(n, m, replace=False)
        some = usable(shown[:, rows], np.ones((len(shown), m), bool))
        found = np.array([estimates(chances[i], shown[i, rows], rows) for i in some])
        single.append(((found - full[some, None]) ** 2).mean(axis=0))
        mean.append((found.mean(axis=0) - full[some].mean()) ** 2)
        concepts += len(some) / REPEATS
    cells = zip(np.sqrt(np.mean(single, axis=0)), np.sqrt(np.mean(mean, axis=0)), strict=True)
    return [f"{concepts:.0f}", *(f"{a:.3f} ({b:.3f})" for a, b in cells)]


def slope(chance: np.ndarray, shows: np.ndarray) -> float:
    """Least squares."""
    x = chance - chance.mean()
    return float((x * shows).sum() / (x**2).sum())


def estimates(chance: np.ndarray, shows: np.ndarray, rows: np.ndarray) -> tuple[float, float, float]:
    """The slope from labels of the images at `rows`: plain, prediction-powered, power-tuned.

    `chance`, (n,), are the memberships of all images, `shows` what the labelled ones truly show.
    """
    x, m = chance - chance.mean(), len(rows)
    truth, predicted = x[rows] * shows, x[rows] * chance[rows]
    spread = predicted.var(ddof=1) * (1 + m / len(chance))
    share = np.cov(truth, predicted)[0, 1] / spread if spread > 0 else 0.0
    power, everywhere = (x**2).mean(), (x * chance).mean()
    powered = (everywhere + (truth - predicted).mean()) / power
    tuned = (share * everywhere + (truth - share * predicted).mean()) / power
    return slope(chance[rows], shows), float(powered), float(tuned)
