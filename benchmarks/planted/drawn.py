"""Worlds of portraits with drawn losses, where one thing is hard: frames of clips, sizes, prevalence, lists, losses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.stats
import torch
from benchmarks.planted.pool import Phrase, Pool
from benchmarks.planted.world import ENOUGH, SMALL_EFFECT, World, truth
from benchmarks.planted.worlds import BASE, EFFECT, ENCODER, common

from fsearch.data.portraits import CONCEPTS

INDEXED = 3000
STRONG, BESIDE = 4 * EFFECT, 1.5  # what a rare or a leading failure adds; effects that X adds beside two others
TEMPLATES = (
    *("{}", "a photo of a person with {}", "a portrait: {}", "somebody with {}", "a picture of {}", "an image of {}"),
    *(
        "someone who has {}",
        "a face with {}",
        "here is a person with {}",
        "a close-up of {}",
        "a snapshot of {}",
        "{} in a photo",
    ),
)


def clip_losses(mean: np.ndarray, clip: np.ndarray, correlation: float, rng: np.random.Generator) -> np.ndarray:
    """(n,) gamma losses (shape 1) of frames with `mean`, (n,); ranks within one `clip`, (n,), correlate (a copula)."""
    shared = rng.normal(size=int(clip.max()) + 1)[clip]
    normal = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * rng.normal(size=len(clip))
    return np.asarray(-np.log(scipy.stats.norm.sf(normal)) * mean)


def jitter(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, h, w, 3) uint8 pictures as the next frames of a clip: moved by up to three pixels, lit and grained anew."""
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    padded = torch.nn.functional.pad(x, (3, 3, 3, 3), mode="replicate").numpy()
    h, w = pixels.shape[1:3]
    moves = rng.integers(0, 7, (len(pixels), 2))
    moved = np.stack([p[:, dy : dy + h, dx : dx + w] for p, (dy, dx) in zip(padded, moves, strict=True)])
    gain, grain = rng.uniform(0.93, 1.07, (len(pixels), 1, 1, 1)), rng.normal(0, 3, moved.shape)
    return np.asarray((moved * gain + grain).clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1))


def frames(pool: Pool, seed: int, clips: int, each: int, correlation: float, failing: bool) -> World:
    """`clips` portraits in `each` frames; losses within a clip correlate. Two concepts fail badly, or nothing does."""
    rng = np.random.default_rng([seed, 30, clips])
    rows = np.repeat(np.sort(rng.choice(len(pool.portraits), clips, replace=False)), each)
    vectors = pool.embed(jitter(pool.pixels[rows], rng), f"frames-{pool.seed}-{seed}-{clips}x{each}")
    rng = np.random.default_rng([seed, 31, clips, round(100 * correlation), failing])
    names = _draw(pool, rng, 2) if failing else ()
    expected = BASE + STRONG * sum((pool.where(n)[rows].astype(float) for n in names), np.zeros(len(rows)))
    clip = np.arange(clips).repeat(each)
    losses = clip_losses(expected, clip, correlation, rng)
    name = f"frames-{clips}x{each}-{correlation:g}{'' if failing else '-null'}"
    return world(name, seed, pool, rows, losses, expected, names, vectors=vectors, groups=clip)


def size(pool: Pool, seed: int, count: int) -> World:
    """Three concepts fail among `count` portraits."""
    rng = np.random.default_rng([seed, 32, count])
    names, rows = _draw(pool, rng, 3), _rows(pool, rng, count)
    expected = BASE + EFFECT * sum(pool.where(n)[rows].astype(float) for n in names)
    return world(f"size-{count}", seed, pool, rows, rng.gamma(1.0, expected), expected, names)


def beside(pool: Pool, seed: int, count: int) -> World:
    """A concept adds BESIDE times the smallest effect that matters, beside two that fail badly."""
    rng = np.random.default_rng([seed, 33, count])
    names, rows = _draw(pool, rng, 3), _rows(pool, rng, count)
    worse = BASE + STRONG * sum(pool.where(n)[rows].astype(float) for n in names[1:])
    least = pool.where(names[0])[rows]
    expected = worse
    for _ in range(8):  # what matters depends on the spread of the losses, and that on the effect
        spread = np.sqrt(2 * (expected**2).mean() - expected.mean() ** 2)  # of a mixture of exponentials
        expected = worse + BESIDE * min(SMALL_EFFECT * spread, expected.mean() / 2) * least
    return world(f"beside-{count}", seed, pool, rows, rng.gamma(1.0, expected), expected, names)


def hidden(pool: Pool, seed: int, failing: bool, count: int = INDEXED) -> World:
    """A concept fails badly; another does where the first is not shown, and loses less where it is: it stands out not.

    Or the second does nothing at all.
    """
    rng = np.random.default_rng([seed, 39, failing])
    wide = [n for n in common(pool) if pool.where(n).mean() >= 0.2]
    worst, rows = str(rng.choice(wide)), _rows(pool, rng, count)
    family = {c.name: c.family for c in CONCEPTS}
    other = str(rng.choice([n for n in common(pool) if family[n] != family[worst]]))
    first, second = (pool.where(n)[rows] for n in (worst, other))
    share = (first & second).sum() / second.sum()
    less = min(EFFECT * (1 - share) / share, BASE + STRONG - 0.05)
    expected = BASE + STRONG * first
    if failing:
        expected = expected + np.where(first, -less, EFFECT) * second
    names = (worst, other) if failing else (worst,)
    name = f"hidden{'' if failing else '-nothing'}"
    return world(name, seed, pool, rows, rng.gamma(1.0, expected), expected, names)


def prevalence(pool: Pool, seed: int, share: float) -> World:
    """A concept that `share` of the portraits show fails; where it is rare, badly."""
    rng = np.random.default_rng([seed, 34, round(1000 * share)])
    wanted = round(share * INDEXED)
    name = str(rng.choice([n for n in common(pool) if pool.where(n).sum() >= wanted]))
    holds = pool.where(name)
    inside = rng.choice(np.flatnonzero(holds), wanted, replace=False)
    outside = rng.choice(np.flatnonzero(~holds), INDEXED - wanted, replace=False)
    rows = np.sort(np.append(inside, outside))
    expected = BASE + (STRONG if share < 0.1 else EFFECT) * holds[rows]
    return world(f"prevalence-{share:g}", seed, pool, rows, rng.gamma(1.0, expected), expected, (name,))


def listed(pool: Pool, seed: int, count: int) -> World:
    """`count` phrases, conjunctions most of them; one concept fails beyond 15 standard errors, one just so."""
    rng = np.random.default_rng([seed, 35, count])
    names, rows = _draw(pool, rng, 2), _rows(pool, rng, INDEXED)
    strong, weak = (pool.where(n)[rows] for n in names)
    expected = BASE + 1.5 * EFFECT * strong + 0.4 * EFFECT * weak
    own = [p for p in pool.phrases if p.concepts in ((names[0],), (names[1],))]
    others = [p for p in pool.many() if p.concepts not in ((names[0],), (names[1],))]
    found = [*own, *(others[i] for i in rng.permutation(len(others))[: count - len(own)])]
    return world(f"list-{count}", seed, pool, rows, rng.gamma(1.0, expected), expected, names, found)


def padded(pool: Pool, seed: int) -> World:
    """Sixty paraphrases of one true failure in a list of fifty phrases of which none fails."""
    rng = np.random.default_rng([seed, 36])
    (name,), rows = _draw(pool, rng, 1), _rows(pool, rng, INDEXED)
    holds = pool.where(name)
    expected = BASE + EFFECT * holds[rows]
    wordings = [p.text for p in pool.phrases if p.concepts == (name,)]
    texts = [t.format(w) for t in TEMPLATES for w in wordings][:60]
    others = [p for p in pool.phrases if abs(np.corrcoef(p.holds, holds)[0, 1]) < 0.05]
    found = [others[i] for i in rng.permutation(len(others))[:50]] + [Phrase(t, (name,), holds) for t in texts]
    return world("list-padded", seed, pool, rows, rng.gamma(1.0, expected), expected, (name,), found)


def binary(mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Errors, 1% of all images or a little more: 0 or 1."""
    return (rng.random(len(mean)) < mean).astype(float)


def pareto(mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A tail of index 2.1: the variance hardly exists."""
    return np.asarray(rng.pareto(2.1, len(mean)) * 1.1 * mean)


def spikes(mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Small losses and, whatever an image shows, one in two hundred a hundred times as large."""
    return np.asarray(rng.gamma(1.0, mean) * np.where(rng.random(len(mean)) < 0.005, 100.0, 1.0) / (0.995 + 0.5))


def signed(mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Losses of both signs whose mean lies near zero (a log-likelihood)."""
    return np.asarray(rng.normal(mean - BASE - EFFECT, 1.0))


def gamma(mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """As elsewhere."""
    return rng.gamma(1.0, mean)


# how losses are drawn, what their mean is for most images and what a failing concept adds, a factor and an offset
KINDS: dict[str, tuple[Callable[[np.ndarray, np.random.Generator], np.ndarray], float, float, float, float]] = {
    "binary": (binary, 0.005, 0.03, 1.0, 0.0),
    "pareto": (pareto, BASE, 2 * EFFECT, 1.0, 0.0),
    "spikes": (spikes, BASE, 2 * EFFECT, 1.0, 0.0),
    "signed": (signed, BASE, EFFECT, 1.0, 0.0),
    "tiny": (gamma, BASE, EFFECT, 1e-10, 0.0),
    "offset": (gamma, BASE, EFFECT, 1.0, 1e6),
}


def losses(pool: Pool, seed: int, kind: str, failing: bool) -> World:
    """Losses of one of KINDS; two concepts fail, or nothing does."""
    rng = np.random.default_rng([seed, 37, list(KINDS).index(kind), failing])
    draw, base, effect, factor, offset = KINDS[kind]
    names, rows = _draw(pool, rng, 2) if failing else (), _rows(pool, rng, INDEXED)
    expected = base + effect * sum((pool.where(n)[rows].astype(float) for n in names), np.zeros(len(rows)))
    drawn = draw(expected, rng) * factor + offset
    return world(f"losses-{kind}{'' if failing else '-null'}", seed, pool, rows, drawn, expected * factor, names)


def unequal_variance(pool: Pool, seed: int) -> World:
    """Nothing fails; losses of one concept vary four times as much as others, about the same mean."""
    rng = np.random.default_rng([seed, 38])
    (name,), rows = _draw(pool, rng, 1), _rows(pool, rng, INDEXED)
    shape = np.where(pool.where(name)[rows], 0.25, 4.0)
    expected = np.full(INDEXED, BASE)
    return world("losses-variance-null", seed, pool, rows, rng.gamma(shape, expected / shape), expected, ())


def world(
    setting: str,
    seed: int,
    pool: Pool,
    rows: np.ndarray,
    losses: np.ndarray,
    expected: np.ndarray,
    planted: tuple[str, ...],
    phrases: list[Phrase] | None = None,
    vectors: np.ndarray | None = None,
    groups: np.ndarray | None = None,
) -> World:
    """The portraits at `rows` of the pool, with phrases that at least ENOUGH of them show and as many do not."""
    asked = pool.phrases if phrases is None else phrases
    shown = np.stack([p.holds[rows] for p in asked])
    enough = (shown.sum(axis=1) >= ENOUGH) & ((~shown).sum(axis=1) >= ENOUGH)
    asked, shown = [p for p, e in zip(asked, enough, strict=True) if e], shown[enough]
    gaps, lifts = truth(shown, expected)
    return World(
        setting=setting,
        seed=seed,
        vectors=pool.embeddings[rows] if vectors is None else vectors,
        texts=pool.texts_of(asked),
        phrases=tuple(p.text for p in asked),
        concepts=tuple(p.concepts for p in asked),
        losses=losses,
        shown=shown,
        gaps=gaps,
        lifts=lifts,
        reference=pool.reference,
        encoder=ENCODER,
        groups=groups,
        planted=planted,
        expected=expected,
    )


def _draw(pool: Pool, rng: np.random.Generator, count: int) -> tuple[str, ...]:
    """`count` concepts of as many families: portraits that show one show the others no more and no less often."""
    family = {c.name: c.family for c in CONCEPTS}
    found: dict[str, str] = {}
    for name in rng.permutation(common(pool)):
        found.setdefault(family[str(name)], str(name))
    return tuple(list(found.values())[:count])


def _rows(pool: Pool, rng: np.random.Generator, count: int) -> np.ndarray:
    return np.sort(rng.choice(len(pool.portraits), count, replace=False))
