"""The settings: for each, losses of a few thousand portraits, and what is truly expected of each portrait and phrase.

Truth is the generator's: `expected` is the mean of the distribution a loss was drawn from or, for a trained black box,
its mean loss on all portraits of the pool that it could not be trained on, the index among them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.stats
import torch
from benchmarks.planted.blackbox import cross_entropy, train
from benchmarks.planted.pool import Pool
from benchmarks.planted.world import World, truth

ENCODER = "demo"
BASE, EFFECT = 0.3, 0.35  # mean loss, and what each planted concept adds to it
HARM = 0.2  # standard deviations of the loss that a trained black box must lose more on its concept
RARE, CORRELATION, NOISE = 0.01, 0.8, 0.4


@dataclass(frozen=True)
class Sizes:
    """Numbers of portraits: in the index, open to training, and in one training set."""

    indexed: int = 3000
    learnable: int = 4000
    trained_on: int = 1500


FULL = Sizes()


def planted_loss(pool: Pool, seed: int, sizes: Sizes = FULL) -> World:
    """Three concepts each add EFFECT to the mean of a gamma distribution (shape 1)."""
    rng = np.random.default_rng([seed, 1])
    names = tuple(str(n) for n in rng.choice(common(pool), 3, replace=False))
    expected = BASE + EFFECT * sum(pool.where(n).astype(float) for n in names)
    return _drawn(pool, sizes, "planted loss", seed, rng, expected, names)


def interaction(pool: Pool, seed: int, sizes: Sizes = FULL) -> World:
    """Only portraits that show both of two concepts fail, four times as badly as elsewhere."""
    rng = np.random.default_rng([seed, 2])
    pairs = [p.concepts for p in pool.phrases if len(p.concepts) == 2 and p.holds.mean() >= 0.03]
    names = pairs[int(rng.integers(len(pairs)))]
    expected = BASE + 4 * EFFECT * (pool.where(names[0]) & pool.where(names[1]))
    return _drawn(pool, sizes, "interaction", seed, rng, expected, names)


def null(pool: Pool, seed: int, sizes: Sizes = FULL) -> World:
    """Losses that depend on nothing."""
    rng = np.random.default_rng([seed, 3])
    return _drawn(pool, sizes, "null", seed, rng, np.full(len(pool.portraits), BASE), ())


def absent(pool: Pool, seed: int, sizes: Sizes = FULL) -> World:
    """A concept never occurs in the index; two others fail."""
    rng = np.random.default_rng([seed, 4])
    names = [str(n) for n in rng.choice(common(pool), 3, replace=False)]
    expected = BASE + EFFECT * sum(pool.where(n).astype(float) for n in names[1:])
    return _drawn(pool, sizes, "absent", seed, rng, expected, (names[0],), ~pool.where(names[0]))


def rare(pool: Pool, seed: int, sizes: Sizes = FULL) -> World:
    """The black box saw a concept in RARE of its training portraits."""

    def recipe(rng: np.random.Generator, smiling: np.ndarray, holds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        few = rng.permutation(np.flatnonzero(holds))[: int(RARE * sizes.trained_on)]
        rest = rng.permutation(np.flatnonzero(~holds))[: sizes.trained_on - len(few)]
        return np.append(few, rest), smiling

    return _trained(pool, sizes, "rare", seed, 5, recipe)


def correlation(pool: Pool, seed: int, sizes: Sizes = FULL) -> World:
    """A concept goes with the label in training, not in the index (dcbench's induce_correlation)."""

    def recipe(rng: np.random.Generator, smiling: np.ndarray, holds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a, b, n = 0.5, 0.5, sizes.trained_on
        both = a * b * n + CORRELATION * np.sqrt(a * (1 - a) * b * (1 - b)) * (n - 1)
        cells = {(True, True): both, (True, False): a * n - both, (False, True): b * n - both}
        cells[False, False] = n - sum(cells.values())
        rows = [
            rng.choice(np.flatnonzero((smiling == s) & (holds == h)), int(m), replace=True)
            for (s, h), m in cells.items()
        ]
        return np.concatenate(rows), smiling

    return _trained(pool, sizes, "correlation", seed, 6, recipe)


def noisy_label(pool: Pool, seed: int, sizes: Sizes = FULL) -> World:
    """Labels are flipped with chance NOISE where a concept holds, in training and in the index alike."""

    def recipe(rng: np.random.Generator, smiling: np.ndarray, holds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return rng.permutation(len(smiling))[: sizes.trained_on], smiling ^ (holds & (rng.random(len(smiling)) < NOISE))

    return _trained(pool, sizes, "noisy label", seed, 7, recipe)


PORTRAITS: dict[str, Callable[..., World]] = {
    "planted loss": planted_loss,
    "rare": rare,
    "correlation": correlation,
    "noisy label": noisy_label,
    "interaction": interaction,
    "null": null,
    "absent": absent,
}

_Recipe = Callable[[np.random.Generator, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def _trained(pool: Pool, sizes: Sizes, setting: str, seed: int, salt: int, recipe: _Recipe) -> World:
    """Train on one part of the pool, judge the rest; a concept that does the model no harm is drawn again (Domino)."""
    rng = np.random.default_rng([seed, salt])
    parts = rng.permutation(len(pool.portraits))
    learn, judge = np.sort(parts[: sizes.learnable]), np.sort(parts[sizes.learnable :])
    images = pool.shrunk
    smiling = pool.where("smiling")
    for name in rng.permutation([n for n in common(pool) if n not in _FACES]):
        holds = pool.where(str(name))
        rows, _ = recipe(rng, smiling[learn], holds[learn])
        labels = recipe(rng, smiling, holds)[1]
        model = train(images[torch.from_numpy(learn[rows])], labels[learn[rows]], seed)
        losses = cross_entropy(model, images[torch.from_numpy(judge)], labels[judge])
        bad = _slice(setting, holds, smiling)[judge]
        harm = losses[bad].mean() - losses[~bad].mean()
        p = scipy.stats.ttest_ind(losses[bad], losses[~bad], equal_var=False, alternative="greater").pvalue
        if p < 0.001 and harm >= HARM * losses.std():
            picked = np.sort(rng.choice(len(judge), sizes.indexed, replace=False))
            own = losses[picked]
            return _world(pool, setting, seed, judge[picked], own, (str(name),), judge, losses, own)
    raise RuntimeError(f"no concept harms the black box of setting {setting!r}, seed {seed}")


def _slice(setting: str, holds: np.ndarray, smiling: np.ndarray) -> np.ndarray:
    return holds != smiling if setting == "correlation" else holds


def _drawn(
    pool: Pool,
    sizes: Sizes,
    setting: str,
    seed: int,
    rng: np.random.Generator,
    expected: np.ndarray,
    names: tuple[str, ...],
    allowed: np.ndarray | None = None,
) -> World:
    rows = np.arange(len(pool.portraits)) if allowed is None else np.flatnonzero(allowed)
    picked = np.sort(rng.choice(rows, sizes.indexed, replace=False))
    losses = rng.gamma(1.0, expected)
    return _world(pool, setting, seed, picked, losses[picked], names, rows, expected[rows], expected[picked])


def _world(
    pool: Pool,
    setting: str,
    seed: int,
    rows: np.ndarray,
    losses: np.ndarray,
    names: tuple[str, ...],
    population: np.ndarray,
    expected: np.ndarray,
    own: np.ndarray,
) -> World:
    """Of phrases that some of the `population`, rows of the pool, show and some do not, and of what is absent."""
    shown = pool.shown[:, population]
    enough = (shown.sum(axis=1) >= 20) & ((~shown).sum(axis=1) >= 20)
    gone = np.array([setting == "absent" and names[0] in p.concepts for p in pool.phrases])
    asked = np.flatnonzero(enough | gone)
    gaps, lifts = truth(shown[asked], expected)
    return World(
        setting=setting,
        seed=seed,
        vectors=pool.embeddings[rows],
        texts=pool.texts[asked],
        phrases=tuple(pool.phrases[i].text for i in asked),
        concepts=tuple(pool.phrases[i].concepts for i in asked),
        losses=losses,
        shown=pool.shown[asked][:, rows],
        gaps=gaps,
        lifts=lifts,
        reference=pool.reference,
        encoder=ENCODER,
        planted=names,
        expected=own,
    )


def common(pool: Pool) -> list[str]:
    """Concepts that 6% to 45% of the portraits show."""
    return sorted({p.concepts[0] for p in pool.phrases if len(p.concepts) == 1 and 0.06 < p.holds.mean() < 0.45})


_FACES = frozenset({"smiling", "neutral face", "frowning", "surprised", "not smiling"})
