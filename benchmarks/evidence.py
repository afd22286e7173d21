"""Permutation p-values of a thousand phrases: seconds and memory of the product's own code."""

from __future__ import annotations

import resource
import statistics

import numpy as np
from benchmarks.measure import machine, seconds

from fsearch.diagnoser.discoveries import q_values
from fsearch.diagnoser.evidence import Design, shuffled_means
from fsearch.diagnoser.membership import anchor_similarity, membership
from fsearch.diagnoser.observed import observe
from fsearch.diagnoser.retrieval import Retrieved, judged_images
from fsearch.diagnoser.retrieval_quality import RetrievalQuality
from fsearch.diagnoser.support import Support

PHRASES, IMAGES, PERMUTATIONS, REPEATS = 1000, 100_000, 1000, 3


def main() -> None:
    rng = np.random.default_rng(0)
    losses = rng.gamma(1.0, 1.0, IMAGES)
    groups = np.arange(IMAGES)
    nearest, sampled = judged_images(IMAGES)
    k = nearest + sampled
    near = np.stack([rng.choice(IMAGES, k, replace=False) for _ in range(PHRASES)])
    similarities = -np.sort(-rng.normal(0.1, 0.05, (PHRASES, k)).astype(np.float32), axis=1)
    copies = np.append(np.ones(nearest), np.full(sampled, (IMAGES - nearest) / sampled)).astype(np.float32)
    before = _peak()

    def work() -> None:
        draws = shuffled_means(losses, groups, k, PERMUTATIONS, 0)
        for start in range(0, PHRASES, 256):
            rows = slice(start, start + 256)
            found = _retrieved(similarities[rows], near[rows], copies)
            q_values(observe(found, Design(found, groups), losses, groups, draws).p_value)

    times = [seconds(work) for _ in range(REPEATS)]
    print(
        f"evidence: {PHRASES:,} phrases x {IMAGES:,} images x {PERMUTATIONS:,} permutations of the losses, "
        f"of which {k:,} are judged for a phrase, median of {REPEATS} ({machine()})"
    )
    print(f"  {statistics.median(times):.1f} s, peak memory {(_peak() - before) / 2**20:.2f} GiB above the inputs")


def _retrieved(similarities: np.ndarray, near: np.ndarray, copies: np.ndarray) -> Retrieved:
    q = len(near)
    anchor = anchor_similarity(similarities, 100.0)
    chances = membership(similarities, anchor, 100.0)
    stands_for = np.tile(copies, (q, 1))
    quality = RetrievalQuality.of(chances, stands_for, IMAGES)
    support = Support(anchor, np.zeros(q), np.full(q, np.nan))
    texts = np.zeros((q, 1), np.float32)
    return Retrieved(texts, similarities, near, chances, stands_for, np.full(q, 100.0), quality, support)


def _peak() -> float:
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    main()
