"""Permutation p-values of a thousand phrases: seconds and memory of the product's own code."""

from __future__ import annotations

import resource
import statistics

import numpy as np
from benchmarks.measure import machine, seconds

from fsearch.diagnoser.observed import observe, permuted_losses, q_values
from fsearch.diagnoser.retrieval import RetrievalQuality, anchor_similarity, membership, neighbourhood_size

PHRASES, IMAGES, PERMUTATIONS, REPEATS = 1000, 100_000, 1000, 3


def main() -> None:
    rng = np.random.default_rng(0)
    losses = rng.gamma(1.0, 1.0, IMAGES)
    k = neighbourhood_size(IMAGES)
    near = np.stack([rng.choice(IMAGES, k, replace=False) for _ in range(PHRASES)])
    similarities = -np.sort(-rng.normal(0.1, 0.05, (PHRASES, k)).astype(np.float32), axis=1)
    before = _peak()

    def work() -> None:
        shuffled = permuted_losses(losses, k, PERMUTATIONS, 0)
        for start in range(0, PHRASES, 256):
            rows = slice(start, start + 256)
            chances = membership(similarities[rows], anchor_similarity(similarities[rows], IMAGES), 100.0)
            found = RetrievalQuality.of(chances, chances.sum(axis=1) / IMAGES)
            q_values(observe(chances, found, losses[near[rows]], losses, shuffled).p_value)

    times = [seconds(work) for _ in range(REPEATS)]
    print(
        f"evidence: {PHRASES:,} phrases x {IMAGES:,} images x {PERMUTATIONS:,} permutations of the losses, "
        f"of which the {k:,} nearest of a phrase matter, median of {REPEATS} ({machine()})"
    )
    print(f"  {statistics.median(times):.1f} s, peak memory {(_peak() - before) / 2**20:.2f} GiB above the inputs")


def _peak() -> float:
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    main()
