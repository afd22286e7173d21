"""The training corpus of the demo encoder: rendered portraits and tokenised captions, made once and cached on disk."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsearch.data.portraits import SIZE, caption, pixels, sample

CAPTIONS = 12
_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Corpus:
    """Images and captions of the same portraits.

    Attributes
    ----------
    images : (n, SIZE, SIZE, 3) uint8.
    tokens : (n, CAPTIONS, context) int32, each row one caption of open_clip token ids.
    """

    images: NDArray[np.uint8]
    tokens: NDArray[np.int32]


def load(folder: Path, count: int, context: int, workers: int) -> Corpus:
    """Open the cached corpus of `count` portraits in `folder`, making it first if it is not there."""
    paths = folder / f"images-{count}.npy", folder / f"tokens-{count}-{context}.npy"
    if not all(p.exists() for p in paths):
        folder.mkdir(parents=True, exist_ok=True)
        _make(paths, count, context, workers)
    return Corpus(np.load(paths[0], mmap_mode="r"), np.load(paths[1], mmap_mode="r"))


def _make(paths: tuple[Path, Path], count: int, context: int, workers: int) -> None:
    chunks = -(-count // _CHUNK)
    images = np.lib.format.open_memmap(_tmp(paths[0]), "w+", np.uint8, (count, SIZE, SIZE, 3))
    tokens = np.lib.format.open_memmap(_tmp(paths[1]), "w+", np.int32, (count, CAPTIONS, context))
    with ProcessPoolExecutor(workers) as pool:
        for k, (drawn, ids) in enumerate(pool.map(_chunk, range(chunks), [context] * chunks)):
            rows = slice(k * _CHUNK, min(count, (k + 1) * _CHUNK))
            size = rows.stop - rows.start
            images[rows], tokens[rows] = drawn[:size], ids[:size]
    images.flush()
    tokens.flush()
    for path in paths:
        _tmp(path).replace(path)


def _tmp(path: Path) -> Path:
    return path.with_suffix(".part")


def _chunk(index: int, context: int) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Portraits of chunk `index` and their captions. Training seeds are 1,000,000 and up; evaluation stays below."""
    from open_clip import SimpleTokenizer

    seed = 1_000_000 + index
    rng = np.random.default_rng([seed, 5])
    tokenizer = SimpleTokenizer(context_length=context)
    portraits = sample(_CHUNK, seed)
    texts = [caption(p, rng) for p in portraits for _ in range(CAPTIONS)]
    ids = tokenizer(texts).numpy().astype(np.int32)
    return np.stack([pixels(p) for p in portraits]), ids.reshape(_CHUNK, CAPTIONS, context)
