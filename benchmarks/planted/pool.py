"""The portraits of a benchmark run: drawn and embedded once, shared by all its worlds, with every phrase's truth."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from benchmarks.planted.blackbox import shrink

import fsearch.data
from fsearch.data.portraits import CONCEPTS, Concept, Portrait, draw_many, phrases, sample
from fsearch.data.training.measure import embed_pixels
from fsearch.diagnoser.reference_bank import ReferenceBank
from fsearch.indexer.embedding.encoder import Encoder, identify, load_encoder
from fsearch.search.query import reference_bank

POOL = 12_000
MANY = 5000  # phrases
LEAST_SHARE = 0.004
_LABELS = (("smiling", "smiling"), ("not smiling", "not smiling"), ("frowning", "frowning"))


@dataclass(frozen=True)
class Phrase:
    """A hypothesis, the concepts it is made of, and where it is true: `holds` over the pool."""

    text: str
    concepts: tuple[str, ...]
    holds: np.ndarray


@dataclass(frozen=True)
class Pool:
    """`pixels` (n, 96, 96, 3) uint8, `embeddings` (n, d) unit float32, `texts` (q, d) of the phrases.

    `seed` drew it; `cache` is the folder that keeps what was embedded. A pool of vectors alone has no pixels.
    """

    seed: int
    cache: Path | None
    portraits: list[Portrait]
    pixels: np.ndarray
    embeddings: np.ndarray
    phrases: list[Phrase]
    texts: np.ndarray
    encoder: Encoder
    reference: ReferenceBank

    @cached_property
    def shown(self) -> np.ndarray:
        """(q, n) bool."""
        return np.stack([p.holds for p in self.phrases])

    @cached_property
    def shrunk(self) -> torch.Tensor:
        """The pixels as the trained black boxes take them."""
        return shrink(self.pixels)

    def where(self, concept: str) -> np.ndarray:
        """(n,) bool: the portraits that show `concept`."""
        found = next(c for c in CONCEPTS if c.name == concept)
        return np.array([found.holds(p) for p in self.portraits])

    def embed(self, pixels: np.ndarray, name: str) -> np.ndarray:
        """(m, d) unit float32 embeddings of other pictures, kept under `name`."""
        (found,) = cached(self.cache, name, lambda: (embed_pixels(self.encoder, pixels).astype(np.float16),))
        return np.asarray(found, np.float32)

    def texts_of(self, phrases: list[Phrase]) -> np.ndarray:
        """(q, d) unit embeddings of some phrases; those of the pool are at hand."""
        known = {p.text: i for i, p in enumerate(self.phrases)}
        found = {t: self.texts[i] for t, i in known.items()}
        new = [p.text for p in phrases if p.text not in found]
        if new:
            found |= dict(zip(new, self.encoder.embed_texts(new), strict=True))
        return np.stack([found[p.text] for p in phrases])

    def many(self) -> list[Phrase]:
        """The phrases of the pool and several thousand conjunctions in other words."""
        rng = np.random.default_rng(9)
        single = [p for p in self.phrases if len(p.concepts) == 1]
        family = {c.name: c.family for c in CONCEPTS}
        found = {p.text: p for p in self.phrases}
        while len(found) < MANY:
            a, b = (single[int(i)] for i in rng.choice(len(single), 2, replace=False))
            if family[a.concepts[0]] != family[b.concepts[0]]:
                text = f"{a.text}, {b.text}"
                found[text] = Phrase(text, (*a.concepts, *b.concepts), a.holds & b.holds)
        return list(found.values())


def make_pool(seed: int, count: int = POOL, cache: Path | None = None) -> Pool:
    """Draw and embed `count` portraits of `seed`; with a `cache`, once while renderer and encoder are the same."""
    portraits = sample(count, seed)
    encoder = load_encoder(identify("demo", None), "cpu")
    if count <= POOL:
        pixels, vectors = cached(cache, f"portraits-{seed}-{count}", lambda: _draw(portraits, encoder))
    else:  # too many to keep their pixels
        pixels = np.empty((0, 96, 96, 3), np.uint8)
        (vectors,) = cached(cache, f"portraits-{seed}-{count}", lambda: (_embed_many(portraits, encoder),))
    bank = reference_bank(encoder)
    asked = [p for p in _phrases(portraits) if p.holds.mean() >= LEAST_SHARE]
    texts = encoder.embed_texts([p.text for p in asked])
    return Pool(seed, cache, portraits, pixels, vectors.astype(np.float32), asked, texts, encoder, bank)


def _draw(portraits: list[Portrait], encoder: Encoder) -> tuple[np.ndarray, np.ndarray]:
    """Pixels, and vectors as a workspace keeps them."""
    pixels = np.stack(list(draw_many(portraits)))
    return pixels, embed_pixels(encoder, pixels).astype(np.float16)


def _embed_many(portraits: list[Portrait], encoder: Encoder) -> np.ndarray:
    parts = (portraits[i : i + 2000] for i in range(0, len(portraits), 2000))
    return np.concatenate([embed_pixels(encoder, list(draw_many(part))).astype(np.float16) for part in parts])


def cached(folder: Path | None, name: str, make: Callable[[], tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    """The arrays that `make` gives, kept in `folder` under `name` and the state of the renderer and the encoder."""
    if folder is None:
        return make()
    data = Path(fsearch.data.__file__).parent
    sources = [*sorted((data / "portraits").glob("*.py")), *sorted((data / "encoder").glob("*.safetensors"))]
    state = hashlib.sha256(b"".join(p.read_bytes() for p in sources)).hexdigest()[:12]
    first = folder / f"{name}-{state}-0.npy"
    if not first.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for i, array in reversed(list(enumerate(make()))):  # the first last: where it is, all are
            part = folder / f".{name}-{state}-{i}.part.npy"
            np.save(part, array)
            part.rename(folder / f"{name}-{state}-{i}.npy")
    files = sorted(folder.glob(f"{name}-{state}-?.npy"))
    return tuple(np.load(f, mmap_mode="r", allow_pickle=False) for f in files)


def _phrases(portraits: list[Portrait]) -> Iterator[Phrase]:
    """Every wording of every concept, then pairs of concepts."""
    shows = {c.name: np.array([c.holds(p) for p in portraits]) for c in CONCEPTS}
    for text, concept in phrases():
        yield Phrase(text, (concept.name,), shows[concept.name])
    for a, b, text in _pairs():
        yield Phrase(text, (a.name, b.name), shows[a.name] & shows[b.name])


def _pairs() -> Iterator[tuple[Concept, Concept, str]]:
    """Sixty pairs drawn once and for all, dark skin in dim light, and every expression with every other concept."""
    rng = np.random.default_rng(7)
    by_name = {c.name: c for c in CONCEPTS}
    nouns = [c for c in CONCEPTS if c.nouns]
    seen: set[frozenset[str]] = set()
    while len(seen) < 60:
        a, b = (nouns[int(i)] for i in rng.choice(len(nouns), 2, replace=False))
        if a.family != b.family and frozenset((a.name, b.name)) not in seen:
            seen.add(frozenset((a.name, b.name)))
            yield a, b, f"{a.nouns[0]} {b.places[0]}" if b.places else f"{a.nouns[0]} and {b.nouns[0]}"
    for name, word in _LABELS:
        for other in CONCEPTS:
            if other.family == by_name[name].family or other.shots or not (other.nouns or other.places):
                continue
            rest = f"with {other.nouns[0]}" if other.nouns else other.places[0]
            yield by_name[name], other, f"a {word} person {rest}"
