"""Worlds of scenes: black boxes trained on biased samples, under a mediocre encoder that nothing was tuned to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from benchmarks.planted.blackbox import cross_entropy, train
from benchmarks.planted.pool import cached
from benchmarks.planted.world import ENOUGH, World, truth
from benchmarks.planted.worlds import BASE, EFFECT
from benchmarks.scenes import draw, encoder
from benchmarks.scenes.concepts import CONCEPTS, PLACES, THINGS, UNKNOWN, Scene, pairs, sample

from fsearch.diagnoser.reference_bank import ReferenceBank
from fsearch.search.query import PHOTOGRAPHS, vocabulary

SCENES, LEARNABLE, TRAINED_ON, INDEXED = 12_000, 5_000, 2_000, 3_000
ENCODER = "scenes"
GONE = (3, 2)  # things and places that a world takes away
HARM, RARE, CORRELATION, NOISE = 0.2, 0.01, 0.85, 0.35


@dataclass(frozen=True)
class ScenePool:
    """All scenes of a run, embedded; `shown` (q, n) bool of `phrases`, the last of which nothing shows."""

    scenes: list[Scene]
    pixels: np.ndarray
    embeddings: np.ndarray
    phrases: tuple[str, ...]
    shown: np.ndarray
    texts: np.ndarray
    reference: ReferenceBank

    @cached_property
    def shrunk(self) -> torch.Tensor:
        """(n, 3, 48, 48), as the black boxes take them."""
        return encoder.prepared(np.asarray(self.pixels), 48)

    def where(self, attribute: str, *values: str) -> np.ndarray:
        """(n,) bool."""
        return np.array([getattr(s, attribute) in values for s in self.scenes])


def make_scenes(seed: int, work: Path) -> ScenePool:
    """Draw and embed the scenes of `seed`; the encoder is trained first where `work` does not hold it."""
    scenes, model = sample(SCENES, seed), encoder.load(work)
    (pixels,) = cached(work, f"scenes-{seed}", lambda: (draw.draw_all(scenes),))
    holds = {c.name: np.array([c.holds(s) for s in scenes]) for c in CONCEPTS}
    asked = {w: holds[c.name] for c in CONCEPTS for w in c.wordings}
    asked |= {text: holds[a.name] & holds[b.name] for a, b, text in pairs()}
    asked |= {text: np.zeros(SCENES, bool) for text in UNKNOWN}
    words = PHOTOGRAPHS.read_text(encoding="utf-8").splitlines()
    rivals = model.embed_texts([f"a {name}" for name in sorted(vocabulary())])
    reference = ReferenceBank(model.embed_texts([w for w in words if w]), model.logit_scale, vocabulary=rivals)
    vectors = model.embed_images(pixels).astype(np.float16).astype(np.float32)
    shown = np.stack(list(asked.values()))
    return ScenePool(scenes, pixels, vectors, tuple(asked), shown, model.embed_texts(list(asked)), reference)


def biased(pool: ScenePool, seed: int) -> World:
    """A black box trained on a biased sample: a concept rare, mislabelled, or bound to the label, in turn."""
    rng = np.random.default_rng([seed, 50])
    gone = _gone(pool, rng)
    usable = rng.permutation(np.flatnonzero(~gone))
    learn, judge = usable[:LEARNABLE], usable[LEARNABLE:]
    label = _TASKS[seed % len(_TASKS)](pool)
    names = [w for w, row in zip(pool.phrases, pool.shown, strict=True) if 0.05 < row[judge].mean() < 0.45]
    for name in rng.permutation(names)[:12]:
        holds = pool.shown[pool.phrases.index(str(name))]
        rows, labels = _sample(seed % 3, rng, learn, label, holds)
        model = train(pool.shrunk[torch.from_numpy(rows)], labels[rows], seed)
        losses = cross_entropy(model, pool.shrunk[torch.from_numpy(judge)], labels[judge])
        inside = holds[judge]
        if losses[inside].mean() - losses[~inside].mean() >= HARM * losses.std():
            index = np.sort(rng.choice(len(judge), min(INDEXED, len(judge)), replace=False))
            return _world("scenes", seed, pool, judge[index], losses[index], (str(name),), judge, losses)
    raise RuntimeError(f"no concept harms the black box of seed {seed}")


def drawn(pool: ScenePool, seed: int, failing: bool) -> World:
    """Gamma losses: three concepts fail, or nothing does."""
    rng = np.random.default_rng([seed, 51, failing])
    rows = np.sort(rng.choice(np.flatnonzero(~_gone(pool, rng)), INDEXED, replace=False))
    frequent = np.flatnonzero((pool.shown[:, rows].mean(axis=1) > 0.03) & (pool.shown[:, rows].mean(axis=1) < 0.45))
    planted = rng.choice(frequent, 3, replace=False) if failing else []
    expected = BASE + EFFECT * sum((pool.shown[i, rows].astype(float) for i in planted), np.zeros(INDEXED))
    names = tuple(pool.phrases[i] for i in planted)
    name = "scenes-planted" if failing else "scenes-null"
    return _world(name, seed, pool, rows, rng.gamma(1.0, expected), names, rows, expected)


def _gone(pool: ScenePool, rng: np.random.Generator) -> np.ndarray:
    """(n,) bool: scenes of some things and places, which this world does not have."""
    things = rng.choice([t for t in THINGS if t != "number"], GONE[0], replace=False)
    places = rng.choice(PLACES, GONE[1], replace=False)
    return pool.where("thing", *things) | pool.where("place", *places)


def _sample(
    recipe: int, rng: np.random.Generator, learn: np.ndarray, label: np.ndarray, holds: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The scenes to train on, and the labels that all scenes have."""
    if recipe == 0:  # rare
        few = learn[holds[learn]][: int(RARE * TRAINED_ON)]
        return np.append(few, learn[~holds[learn]][: TRAINED_ON - len(few)]), label
    if recipe == 1:  # mislabelled
        return learn[:TRAINED_ON], label ^ (holds & (rng.random(len(label)) < NOISE))
    same = label[learn] == holds[learn]  # bound to the label
    agree = learn[same][: int(CORRELATION * TRAINED_ON)]
    return np.append(agree, learn[~same][: TRAINED_ON - len(agree)]), label


def _world(
    setting: str,
    seed: int,
    pool: ScenePool,
    rows: np.ndarray,
    losses: np.ndarray,
    planted: tuple[str, ...],
    population: np.ndarray,
    expected: np.ndarray,
) -> World:
    """Phrases that enough of the `population` shows, and those that none does; truth is over the population."""
    shown = pool.shown[:, population]
    counts = shown.sum(axis=1)
    asked = ((counts >= 2 * ENOUGH) & (shown.shape[1] - counts >= 2 * ENOUGH)) | (counts == 0)
    gaps, lifts = truth(shown[asked], expected)
    return World(
        setting=setting,
        seed=seed,
        vectors=pool.embeddings[rows],
        texts=pool.texts[asked],
        phrases=tuple(w for w, a in zip(pool.phrases, asked, strict=True) if a),
        losses=losses,
        shown=pool.shown[asked][:, rows],
        gaps=gaps,
        lifts=lifts,
        reference=pool.reference,
        encoder=ENCODER,
        unknown=np.array([w in UNKNOWN for w in pool.phrases])[asked],
        planted=planted,
    )


_TASKS: tuple[Callable[[ScenePool], np.ndarray], ...] = (
    lambda pool: pool.where("thing", "tree", "fish", "mushroom", "cat", "star"),  # of nature, or made
    lambda pool: np.array([s.count > 1 for s in pool.scenes]),
    lambda pool: pool.where("place", "meadow", "desert", "sea", "snow", "night sky", "temple"),  # outdoors
    lambda pool: pool.where("colour", "red", "yellow", "orange", "white"),
)
