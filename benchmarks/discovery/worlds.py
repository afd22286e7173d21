"""Worlds in which something fails that nobody lists: portraits with the demo's encoder, and labelled real CLIP sets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from benchmarks.planted import clip_sets
from benchmarks.planted.clip_sets import LOGIT_SCALE, LOW, labelled_set
from benchmarks.planted.pool import Pool, make_pool
from benchmarks.planted.settings import DEV_POOL, HELD_OUT_POOL, Sources
from benchmarks.planted.world import World
from benchmarks.planted.worlds import BASE, EFFECT, Sizes, interaction, null, planted_loss

from fsearch.data.portraits import phrases as taught
from fsearch.indexer.storage.vectors import unit
from fsearch.search.discovery.vocabulary import shipped_phrases

POOL, INDEXED = 4000, 2000  # portraits that are drawn, and in the index of one world
HIGH = (0.3, 0.4, 0.6)  # mean losses of the planted concepts of a real CLIP set, beside LOW
LEAST = 30  # images of a planted concept there
SETTINGS = (
    *("portraits", "portraits-both", "portraits-null"),
    *(f"{name}{rest}" for name in clip_sets.SETS for rest in ("", "-unworded", "-null")),
)


@dataclass(frozen=True)
class Hidden:
    """A world of n images, and the v phrases that a discovery may try.

    Attributes
    ----------
    world : with vectors, losses and the reference of the encoder; its own phrases are not used.
    expected : (n,) true mean loss of each image.
    phrases, texts : (v,) and (v, d) the vocabulary; `shown` : (v, n) bool, which images truly show each, or None.
    planted : (p, n) bool, the images of each planted concept.
    """

    world: World
    expected: np.ndarray
    phrases: tuple[str, ...]
    texts: np.ndarray
    shown: np.ndarray | None
    planted: np.ndarray


def make(setting: str, sources: Sources, seed: int) -> Hidden:
    """The world of a setting and seed."""
    if setting.startswith("portraits"):
        return _portraits(setting, sources, seed)
    name, _, rest = setting.partition("-")
    whole, _, kind = rest.partition("-")
    return _clip(f"{name}-{whole}", kind, sources.clip_folder, seed)


@cache
def _pool(held_out: bool, folder: Path | None) -> Pool:
    return make_pool(HELD_OUT_POOL if held_out else DEV_POOL, POOL, folder)


def _portraits(setting: str, sources: Sources, seed: int) -> Hidden:
    plant = {"portraits": planted_loss, "portraits-both": interaction, "portraits-null": null}[setting]
    pool = _pool(sources.held_out, sources.cache)
    world = plant(pool, seed, Sizes(indexed=INDEXED))
    own = {c[0]: row for c, row in zip(world.concepts, world.shown, strict=True) if len(c) == 1}
    holds = [own[name] for name in world.planted]
    expected = np.full(len(world.losses), BASE)
    if setting == "portraits":
        planted = np.stack(holds)
        expected = expected + EFFECT * planted.sum(axis=0)
    elif setting == "portraits-both":
        planted = (holds[0] & holds[1])[None]
        expected = expected + 4 * EFFECT * planted[0]
    else:
        planted = np.empty((0, len(expected)), bool)
    some = [text for text, concept in taught() if concept.name in own]
    concept_of = {text: concept.name for text, concept in taught()}
    texts = pool.encoder.embed_texts(some)
    return Hidden(world, expected, tuple(some), texts, np.stack([own[concept_of[t]] for t in some]), planted)


def _clip(name: str, kind: str, folder: Path, seed: int) -> Hidden:
    whole = labelled_set(folder, name)
    rng = np.random.default_rng([seed, 60])
    expected = np.full(len(whole.labels), LOW)
    phrases, texts = bank(folder)
    chosen: list[int] = []
    if kind != "null":
        some = np.flatnonzero((whole.shown.sum(axis=1) >= LEAST) & (whole.shown.mean(axis=1) < 0.3))
        for i in rng.permutation(some).tolist():
            apart = all((whole.shown[i] & whole.shown[j]).sum() == 0 for j in chosen)
            chosen += [i] if apart and len(chosen) < len(HIGH) else []
        for i, high in zip(chosen, HIGH, strict=True):
            expected = np.where(whole.shown[i], high, expected)
    if kind == "unworded":  # nobody has the words for what fails
        gone = {whole.phrases[i].removeprefix("a ").split(" (")[0] for i in chosen}
        kept = [i for i, p in enumerate(phrases) if not gone & {p, p.split(" (")[0]}]
        phrases, texts = tuple(phrases[i] for i in kept), texts[kept]
    planted, losses = whole.shown[chosen], rng.gamma(1.0, expected)
    every = np.ones(len(losses), bool)
    names = tuple(whole.phrases[i] for i in chosen)
    return Hidden(
        clip_sets.clip_world(name, seed, whole, every, losses, expected, names), expected, phrases, texts, None, planted
    )


@cache
def bank(folder: Path) -> tuple[tuple[str, ...], np.ndarray]:
    """Of the names that have an embedding there, those that come with fsearch."""
    shipped = {p.lower().removeprefix("an ").removeprefix("a ") for p in shipped_phrases()}
    with np.load(folder / "text_bank_vitb32.npz", allow_pickle=False) as held:
        texts, names = unit(held["texts"].astype(np.float32)), [str(n) for n in held["names"]]
    first = {name.lower(): i for i, name in reversed(list(enumerate(names)))}
    kept = [i for name, i in first.items() if name.split(" (")[0] in shipped]
    assert LOGIT_SCALE == 100.0
    return tuple(names[i].lower() for i in kept), texts[kept]
