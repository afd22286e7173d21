"""How near is a near-duplicate? Groups found among independent images, and among frames of clips, rule by rule.

    python -m benchmarks.groups [--clip FOLDER] [--portraits 1000]

Independent are the portraits of the generator and, in FOLDER, labelled sets of real CLIP: a group that mixes classes is
wrong for certain. Frames are portraits drawn anew (moved, lit, grained, cropped) through the demo encoder and, for real
CLIP, walks along differences of images, at a mean cosine within a clip that is given.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from benchmarks.planted.clip_sets import SETS, labelled_set
from benchmarks.planted.drawn import jitter
from PIL import Image

from fsearch.data.portraits import draw_many, sample
from fsearch.data.training.measure import embed_pixels
from fsearch.indexer.embedding.encoder import identify, load_encoder
from fsearch.indexer.storage.vectors import unit
from fsearch.indexer.vector_index.near_duplicates import RULE, Rule, find

RULES = {
    "0.06": Rule(0.06, 0.06),
    "0.10": Rule(0.10, 0.10),
    "0.15": Rule(0.15, 0.15),
    "0.05 to 0.15 apart": RULE,
}
CLIPS, EACH = 50, 10
COSINES = (0.98, 0.96, 0.94)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, help="folder of labelled CLIP sets")
    parser.add_argument("--portraits", type=int, default=1000)
    asked = parser.parse_args()
    print(f"| independent images | n | {' | '.join(RULES)} |\n|---|---|{'---|' * len(RULES)}")
    for name, vectors, labels in _independent(asked.clip, asked.portraits):
        cells = [_alone(find(vectors, rule), labels) for rule in RULES.values()]
        print(f"| {name} | {len(vectors):,} | {' | '.join(cells)} |", flush=True)
    print(f"\n| clips of {EACH} frames | {' | '.join(RULES)} |\n|---|{'---|' * len(RULES)}")
    for name, vectors in _frames(asked.clip):
        cells = [_together(find(vectors, rule)) for rule in RULES.values()]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def _alone(groups: np.ndarray, labels: np.ndarray | None) -> str:
    """Share of the images that are in a group with others, the largest group, and groups that mix classes."""
    sizes = np.bincount(groups)
    text = f"{(sizes[groups] > 1).mean():.1%}, largest {sizes.max()}"
    if labels is None:
        return text
    mixed = sum(len(np.unique(labels[groups == g])) > 1 for g in np.flatnonzero(sizes > 1))
    return f"{text}, {mixed} mixed"


def _together(groups: np.ndarray) -> str:
    """Groups found to a clip, and groups that join clips."""
    clips = np.repeat(np.arange(CLIPS), EACH)
    parts = np.mean([len(np.unique(groups[clips == c])) for c in range(CLIPS)])
    joined = sum(len(np.unique(clips[groups == g])) > 1 for g in np.unique(groups))
    return f"{parts:.2f} a clip, {joined} joined"


def _independent(clip: Path | None, portraits: int) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
    encoder = load_encoder(identify("demo", None), "cpu")
    yield "portraits, demo encoder", embed_pixels(encoder, list(draw_many(sample(portraits, 5)))), None
    for name in SETS if clip else ():
        found = labelled_set(clip, name)
        yield f"{name}, ViT-B-32", found.images, found.labels


def _frames(clip: Path | None) -> Iterator[tuple[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    encoder = load_encoder(identify("demo", None), "cpu")
    stills = np.stack(list(draw_many(sample(CLIPS, 6)))).repeat(EACH, axis=0)
    yield "portraits, moved, lit, grained", embed_pixels(encoder, list(jitter(stills, rng)))
    for share in (0.9, 0.8):
        yield (
            f"portraits, cropped to {share:.0%} or more",
            embed_pixels(encoder, [_crop(p, share, rng) for p in stills]),
        )
    for name in SETS if clip else ():
        images = labelled_set(clip, name).images
        for cosine in COSINES:
            yield f"{name}, mean cosine {cosine:.2f}", _walks(images, cosine, rng)


def _crop(pixels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    side = pixels.shape[0]
    kept = int(side * rng.uniform(share, 1.0))
    y, x = rng.integers(0, side + 1 - kept, 2)
    return np.asarray(
        Image.fromarray(pixels[y : y + kept, x : x + kept]).resize((side, side), Image.Resampling.BICUBIC)
    )


def _walks(images: np.ndarray, cosine: float, rng: np.random.Generator) -> np.ndarray:
    """Clips that walk from an image along differences of others; the step is set for a mean `cosine` within a clip."""
    first, second = rng.integers(0, len(images), (2, CLIPS, EACH))
    steps = (images[first] - images[second]) * np.sqrt(1 - 0.9**2)
    for t in range(1, EACH):
        steps[:, t] += 0.9 * steps[:, t - 1]
    start = images[rng.choice(len(images), CLIPS, replace=False)][:, None]
    low, high = 0.0, 10.0
    for _ in range(30):
        size = (low + high) / 2
        clips = unit(start + size * steps)
        low, high = (size, high) if np.einsum("cid,cjd->cij", clips, clips).mean() > cosine else (low, size)
    return clips.reshape(CLIPS * EACH, -1)


if __name__ == "__main__":
    main()
