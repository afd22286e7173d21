"""Sets of images that are given rather than found by a phrase, in the form that all evidence is taken from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.retrieval import Retrieved, judged_images
from fsearch.diagnoser.retrieval_quality import RetrievalQuality
from fsearch.diagnoser.rivals import Rivalry
from fsearch.diagnoser.support import Support

Floats = NDArray[np.float64]

_LEAST = 1e-12  # no chance is zero, as in `membership`


def given(weights: Floats, dim: int, logit_scale: float) -> Retrieved:
    """The retrieval of one set of n images, each of which is of it with the chance `weights`, (n,) 0 to 1.

    All are judged or, of many, those of the largest chance and a random sample of the rest, as for a phrase. There is
    no text: its place holds zeros, and an image's chance stands for its similarity.
    """
    n = len(weights)
    nearest, others = judged_images(n)
    rng = np.random.default_rng([n, 43])
    order = np.argsort(-(weights + 1e-9 * rng.random(n)) if others else -weights, kind="stable")
    sampled = rng.choice(order[nearest:], min(others, n - nearest), replace=False)
    chosen = np.concatenate([order[:nearest], sampled]).astype(np.int64)
    stands_for = (n - nearest) / max(len(sampled), 1)
    copies = np.where(np.arange(len(chosen)) < nearest, 1.0, stands_for).astype(np.float32)[None]
    chances = np.maximum(weights[chosen], _LEAST)[None]
    quality = RetrievalQuality.of(chances, copies, n)
    support = Support.of(np.ones(1, np.float32), quality.count / n, logit_scale, np.full(1, np.nan))
    similarities = chances.astype(np.float32)
    texts, scale = np.zeros((1, dim), np.float32), np.full(1, logit_scale)
    return Retrieved(texts, texts, similarities, chosen[None], chances, copies, scale, quality, support)


def joined(parts: Sequence[Retrieved]) -> Retrieved:
    """Several retrievals among the same images as one."""
    if len(parts) == 1:
        return parts[0]
    return Retrieved(*(_together([getattr(part, f.name) for part in parts]) for f in fields(Retrieved)))


def with_given(rivals: Rivalry, count: int) -> Rivalry:
    """`rivals` of phrases followed by `count` sets of images, which have none."""
    margin = np.concatenate([rivals.margin, np.full(count, np.nan)])
    winners = np.concatenate([rivals.winners, np.zeros(count, np.int64)])
    standing, excess = np.ones(count), np.full(count, np.inf)
    return Rivalry(
        margin, winners, np.concatenate([rivals.standing, standing]), np.concatenate([rivals.excess, excess])
    )


def _together(values: Sequence[Any]) -> Any:
    if isinstance(values[0], np.ndarray):
        return np.concatenate(values)
    kind = type(values[0])
    return kind(*(_together([getattr(v, f.name) for v in values]) for f in fields(kind)))
