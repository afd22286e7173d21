"""Real CLIP: 500 images and captions of MSCOCO in ViT-B/32, losses planted on clusters of the image embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from benchmarks.planted.worlds import World
from scipy.cluster.vq import kmeans2

from fsearch.indexer.storage.vectors import unit

FILE = "coco_pairs_vitb32.npy"
CLUSTERS, PLANTED, LOW, HIGH = 12, 2, 0.1, 0.6
LOGIT_SCALE = 100.0  # of every CLIP that OpenAI trained


def load(folder: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Unit (500, 512) embeddings of images and of their captions, or None where the file is missing."""
    path = folder / FILE
    if not path.is_file():
        return None
    images, captions = np.load(path, allow_pickle=False).astype(np.float32)
    return unit(unit(images).astype(np.float16)), unit(captions)


def plant(images: np.ndarray, seed: int) -> World:
    """Two clusters of 15 to 120 images fail; the truly failing hypotheses are the captions of their images."""
    rng = np.random.default_rng([seed, 8])
    _, cluster = kmeans2(images.astype(np.float64), CLUSTERS, seed=seed, minit="++")
    sizes = np.bincount(cluster, minlength=CLUSTERS)
    bad = rng.choice(np.flatnonzero((sizes >= 15) & (sizes <= 120)), PLANTED, replace=False)
    expected = np.where(np.isin(cluster, bad), HIGH, LOW)
    n = len(images)
    return World(
        "real CLIP",
        seed,
        np.arange(n),
        rng.gamma(1.0, expected),
        np.where(expected == HIGH, 10.0, 0.0),
        expected - expected.mean(),
        np.ones(n, bool),
        np.zeros(n, bool),
        tuple(f"cluster {b}" for b in bad),
    )
