"""Discoveries as lists of image scores: fsearch's own, and four others reimplemented from their papers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from benchmarks.discovery.worlds import Hidden
from benchmarks.planted.method import diagnose
from benchmarks.planted.rivals import wrong
from scipy.cluster.vq import kmeans2

from fsearch.diagnoser.bridge import DEFAULT
from fsearch.diagnoser.concepts import fold, overlaps
from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.discovery.definitions import Text
from fsearch.diagnoser.discovery.halves import proposing
from fsearch.diagnoser.discovery.judging import judging_slice, weights_in
from fsearch.diagnoser.discovery.mixture import fit
from fsearch.diagnoser.discovery.propose import Candidate, Origin, propose
from fsearch.diagnoser.discovery.proposing import ProposingHalf
from fsearch.diagnoser.discovery.shortlist import shortlist
from fsearch.diagnoser.finding import Finding
from fsearch.diagnoser.findings import judged
from fsearch.diagnoser.slice import Asking
from fsearch.diagnoser.verdict import Verdict
from fsearch.indexer.storage.vectors import unit

TOP = 10
COMPONENTS = 25  # of Domino's mixture, and clusters of nearest images
_PERMUTATIONS = 2000


@dataclass(frozen=True)
class Listed:
    """An entry of a list: `scores` (n,), how well each image fits it; `name`; and the finding, where there is one."""

    name: str
    scores: np.ndarray
    finding: Finding | None = None


def ours(h: Hidden) -> list[Listed]:
    """Fsearch discover, in memory: every concept by its head, in its order."""
    diagnosis, _ = diagnose(h.world)
    side = proposing([f"{h.world.setting} {h.world.seed} {g}" for g in diagnosis.groups])
    some = np.flatnonzero(side)
    half = ProposingHalf.of(diagnosis.retriever.embeddings(some), some, diagnosis.losses[some], diagnosis.groups[some])
    kept = shortlist(diagnosis, half, h.texts.astype(np.float32))
    candidates = [Candidate(h.phrases[i], Origin.VOCABULARY, d) for i, d in kept]
    proposals = propose(half, candidates, h.world.seed)
    return _judged(diagnosis, np.flatnonzero(~side), proposals, h.world.seed)


def _judged(diagnosis: Diagnosis, rows: np.ndarray, proposals: list, seed: int) -> list[Listed]:
    if not proposals:
        return []
    asking = Asking(DEFAULT, _PERMUTATIONS, seed, False, 1)
    definitions, names = zip(*((p.candidate.definition, p.candidate.name) for p in proposals), strict=True)
    part, order = judging_slice(diagnosis.within(rows), definitions, names, asking)
    found = judged([part])
    heads = [
        (proposals[i].candidate, f.finding) for i, f in zip(order, found, strict=True) if proposals[i].concept == i
    ]
    heads.sort(key=lambda pair: (pair[1].verdict == Verdict.UNSEEN, -pair[1].strength))
    return [
        Listed(
            c.name if isinstance(c.definition, Text) else "",
            weights_in(diagnosis.retriever, c.definition),
            f,
        )
        for c, f in heads
    ]


def domino(h: Hidden) -> list[Listed]:
    """Domino (Eyuboglu et al., ICLR 2022): an error-aware mixture of all images and losses; slices by mean loss."""
    mixture = fit(h.world.vectors.astype(np.float32), h.world.losses, COMPONENTS, h.world.seed)
    weights = mixture.posterior(h.world.vectors.astype(np.float32)).T
    mean = weights @ h.world.losses / weights.sum(axis=1).clip(min=1e-9)
    return [Listed("", weights[i]) for i in np.argsort(-mean, kind="stable")[:TOP]]


def clusters(h: Hidden) -> list[Listed]:
    """Clusters of nearest images by k-means, those of 5 images or more by mean loss."""
    _, label = kmeans2(h.world.vectors.astype(np.float64), COMPONENTS, seed=h.world.seed, minit="++")
    held = [label == k for k in range(COMPONENTS) if (label == k).sum() >= 5]
    held.sort(key=lambda m: -float(h.world.losses[m].mean()))
    return [Listed("", m.astype(float)) for m in held[:TOP]]


def b2t(h: Hidden) -> list[Listed]:
    """B2T (Kim et al., CVPR 2024): keywords by mean similarity to wrongly answered images less that to right ones."""
    bad = wrong(h.world)
    return _phrases(h, h.texts @ (h.world.vectors[bad].mean(axis=0) - h.world.vectors[~bad].mean(axis=0)))


def failure_direction(h: Hidden) -> list[Listed]:
    """Jain et al. (ICLR 2023): captions along the normal of a linear SVM between wrong and right."""
    from sklearn.svm import LinearSVC

    vectors = h.world.vectors
    middle, spread = vectors.mean(axis=0), vectors.std(axis=0)
    svm = LinearSVC(C=0.1, class_weight="balanced", random_state=0).fit(
        unit((vectors - middle) / spread), wrong(h.world)
    )
    return _phrases(h, unit((h.texts - h.world.reference.mean) / spread) @ svm.coef_[0])


def _phrases(h: Hidden, score: np.ndarray) -> list[Listed]:
    """The best phrases of different images: those of ours that share theirs are folded, and so are these."""
    best = np.argsort(-score, kind="stable")[: 10 * TOP]
    fits = h.texts[best] @ h.world.vectors.T
    near = fits >= np.partition(fits, -50, axis=1)[:, -50:-49]  # the 50 nearest images stand for what a phrase shows
    heads = np.unique(fold(overlaps(near.astype(float), near.astype(float)), np.arange(len(best))))[:TOP]
    return [Listed(h.phrases[best[i]], fits[i]) for i in heads]


METHODS: dict[str, Callable[[Hidden], list[Listed]]] = {
    "fsearch discover": ours,
    "Domino": domino,
    "B2T keyword score": b2t,
    "failure direction": failure_direction,
    "clusters of images": clusters,
}
