"""Real CLIP: 500 images and captions of MSCOCO in ViT-B/32, losses planted on clusters of the image embeddings."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from benchmarks.planted.clip_sets import ENCODER, reference_bank
from benchmarks.planted.world import World
from scipy.cluster.vq import kmeans2

from fsearch.indexer.storage.vectors import unit

FILE = "coco_pairs_vitb32.npy"
CLUSTERS, PLANTED, LOW, HIGH = 12, 2, 0.1, 0.6


@cache
def load(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Unit (500, 512) embeddings of images and of their captions."""
    images, captions = np.load(folder / FILE, allow_pickle=False).astype(np.float32)
    return unit(unit(images).astype(np.float16)), unit(captions)


def clusters_fail(folder: Path, seed: int) -> World:
    """Two clusters of 15 to 120 images fail; the truly failing hypotheses are the captions of their images."""
    images, captions = load(folder)
    rng = np.random.default_rng([seed, 8])
    _, cluster = kmeans2(images.astype(np.float64), CLUSTERS, seed=seed, minit="++")
    sizes = np.bincount(cluster, minlength=CLUSTERS)
    bad = rng.choice(np.flatnonzero((sizes >= 15) & (sizes <= 120)), PLANTED, replace=False)
    expected = np.where(np.isin(cluster, bad), HIGH, LOW)
    return World(
        setting="real CLIP",
        seed=seed,
        vectors=images,
        texts=captions,
        phrases=tuple(f"caption {i}" for i in range(len(captions))),
        losses=rng.gamma(1.0, expected),
        shown=cluster[:, None] == cluster[None],
        gaps=np.where(expected == HIGH, HIGH - LOW, 0.0),
        lifts=expected - expected.mean(),
        reference=reference_bank(folder),
        encoder=ENCODER,
        planted=tuple(f"cluster {b}" for b in bad),
        supported=False,
    )
