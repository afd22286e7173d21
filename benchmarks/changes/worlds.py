"""Two models on the same images, of which it is known where the second is worse and by how much.

Losses are gamma distributed (shape 1); an image that is hard for the one is hard for the other (a normal copula of
correlation CORRELATION), as it is of two trainings of one model. Before, two concepts or phrases fail. After, the
images of another concept (portraits) or of some phrases (real CLIP), a given share of all, lose `effect` standard
deviations more; and in a `simpson` world all others lose GAIN less, so that the whole is better, or not worse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import scipy.stats
from benchmarks.planted import clip_sets
from benchmarks.planted.pool import Pool
from benchmarks.planted.world import ENOUGH, World
from benchmarks.planted.worlds import BASE, EFFECT, ENCODER, common

CORRELATION, GAIN = 0.8, 0.1
INDEXED = 3000


@dataclass(frozen=True)
class Change:
    """A world before, its losses `after`, (n,), and the true change of each phrase, (q,), in units of the loss.

    `moved` : (n,) the change of each image's mean loss; `planted` : (p, n) bool, the images of what gets worse.
    """

    world: World
    after: np.ndarray
    truth: np.ndarray
    moved: np.ndarray
    planted: np.ndarray

    @property
    def second(self) -> World:
        """The world with the losses after."""
        return replace(self.world, losses=self.after)


def portraits(pool: Pool, seed: int, share: float, effect: float, simpson: bool) -> Change:
    """A concept that `share` of INDEXED portraits show gets worse; two others fail before and after."""
    rng = np.random.default_rng([seed, 70, round(1000 * share)])
    wanted = round(share * INDEXED)
    able = [n for n in common(pool) if wanted <= pool.where(n).sum() and (~pool.where(n)).sum() >= INDEXED - wanted]
    name = str(rng.choice(able))
    holds = pool.where(name)
    inside = rng.choice(np.flatnonzero(holds), wanted, replace=False)
    rows = np.sort(np.concatenate([inside, rng.choice(np.flatnonzero(~holds), INDEXED - wanted, replace=False)]))
    others = rng.choice([n for n in common(pool) if n != name], 2, replace=False)
    expected = BASE + EFFECT * sum(pool.where(str(n))[rows].astype(float) for n in others)
    shown = pool.shown[:, rows]
    world = _world(
        setting="portraits",
        seed=seed,
        vectors=pool.embeddings[rows],
        texts=pool.texts,
        phrases=tuple(p.text for p in pool.phrases),
        losses=np.zeros(len(rows)),
        shown=shown,
        reference=pool.reference,
        encoder=ENCODER,
        planted=(name,),
    )
    return _changed(world, expected, holds[rows][None], effect, simpson, rng)


def real_clip(folder: Path, name: str, seed: int, share: float, effect: float, simpson: bool) -> Change:
    """What some phrases show gets worse, until `share` of the images do; two other phrases fail throughout."""
    whole = clip_sets.labelled_set(folder, name)
    rng = np.random.default_rng([seed, 71, round(1000 * share)])
    order = rng.permutation(np.flatnonzero(whole.shown.sum(axis=1) >= ENOUGH))
    worse, chosen = np.zeros(len(whole.images), bool), list[int]()
    for i in order:
        more = worse | whole.shown[i]
        if not worse.any() or more.mean() <= 1.25 * share:
            worse = more
            chosen.append(int(i))
        if worse.mean() >= share:
            break
    expected = np.full(len(worse), clip_sets.LOW)
    for i in order[-2:]:
        expected = np.where(whole.shown[i], clip_sets.HIGH[0], expected)
    world = _world(
        setting=name,
        seed=seed,
        vectors=whole.images,
        texts=whole.texts,
        phrases=whole.phrases,
        losses=np.zeros(len(worse)),
        shown=whole.shown,
        reference=whole.reference,
        encoder=clip_sets.ENCODER,
    )
    return _changed(world, expected, whole.shown[chosen], effect, simpson, rng)


def _world(**values: object) -> World:
    """A world whose lifts nobody asks about."""
    none = np.zeros(len(values["phrases"]))  # type: ignore[arg-type]
    return World(**values, gaps=none, lifts=none)  # type: ignore[arg-type]


def _changed(
    world: World, expected: np.ndarray, planted: np.ndarray, effect: float, simpson: bool, rng: np.random.Generator
) -> Change:
    """Losses before and after: `planted`, (p, n) bool, are the images on which the second model is worse."""
    n, worse = len(expected), planted.any(axis=0)
    z = rng.normal(size=(2, n))
    z[1] = CORRELATION * z[0] + np.sqrt(1 - CORRELATION**2) * z[1]
    before, draw = (-np.log(scipy.stats.norm.sf(row)) for row in z)
    before = before * expected
    spread = float(before.std())
    change = spread * np.where(worse, effect, -GAIN if simpson else 0.0)
    later = (expected + change).clip(min=0.1 * expected.min())
    counts = world.shown.sum(axis=1)
    truth = (world.shown @ (later - expected)) / np.maximum(counts, 1)
    return Change(replace(world, losses=before), draw * later, truth, later - expected, planted)
