"""Assess phrases against one black box: neighbours, bridge, predicted lift with its interval, observed lift with its p.

It takes text embeddings, not text; `search` embeds, words and ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser import bridge as bridges
from fsearch.diagnoser.bridge import PROTOTYPE_IMAGES, Bridge
from fsearch.diagnoser.calibration import member_lifts, scale
from fsearch.diagnoser.ensemble import out_of_bag_base
from fsearch.diagnoser.evidence import Observed, observe, permuted_losses
from fsearch.diagnoser.fitted import Fitted
from fsearch.indexer.errors import NotReady
from fsearch.indexer.store import Losses
from fsearch.indexer.vectors import VectorIndex

Floats = NDArray[np.float64]
PERMUTATIONS = 5000
MIN_IMAGES = 50
_CHUNK = 256


def neighbourhood_size(images: int) -> int:
    """How many nearest images a phrase is judged by: a quarter of them, between 64 and 2048."""
    return min(images, max(64, min(2048, images // 4)))


@dataclass(frozen=True, slots=True)
class Assessment:
    """What was found for q phrases; arrays are (q,) float64 unless said.

    Attributes
    ----------
    predicted, lift, lo, hi : expected loss, its excess over `baseline`, and the 90% interval of that excess.
    neighbours, similarities : (q, top) positions in the diagnosis' images, nearest first, and their cosines.
    """

    baseline: float
    predicted: Floats
    lift: Floats
    lo: Floats
    hi: Floats
    observed: Observed
    neighbours: NDArray[np.int64]
    similarities: NDArray[np.float32]


class Diagnosis:
    """One black box's fit, losses and index, aligned and held in memory for many questions.

    Images without a prediction (added since the fit) take no part; `stale` says that the fit knows other losses.
    """

    def __init__(
        self, fitted: Fitted, losses: Losses, index: VectorIndex, vectors: Callable[[], NDArray[np.float16]]
    ) -> None:
        shared, here, there = np.intersect1d(losses.rows, fitted.rows, assume_unique=True, return_indices=True)
        if len(shared) < MIN_IMAGES:
            raise NotReady(f"only {len(shared)} of the images here now took part in the last fit; run: fsearch fit")
        self.report = fitted.report
        self.losses: Floats = losses.values[here]
        same_images = len(shared) == len(losses.rows) == len(fitted.rows)
        self.stale = not same_images or float(self.losses.mean()) != fitted.report.mean_loss
        self.keys = [losses.keys[i] for i in here]
        self.image_ids = losses.image_ids[here]
        self.loss_std = float(self.losses.std())
        self._fitted, self._index, self._vectors = fitted, index, vectors
        self._rows = shared
        self._members = np.asarray(fitted.members)[:, there]
        self._out_of_bag = np.asarray(fitted.out_of_bag)[:, there]
        self._base = out_of_bag_base(self._members, self._out_of_bag)
        self._position = np.full(index.rows, -1, np.int64)
        self._position[shared] = np.arange(len(shared))
        self._allowed = None if len(shared) == index.rows else self._position >= 0
        self._k = neighbourhood_size(len(shared))
        self._shuffled: dict[tuple[int, int], NDArray[np.float32]] = {}

    def assess(
        self,
        texts: NDArray[np.float32],
        *,
        bridge: Bridge = bridges.DEFAULT,
        text_mean: Floats | None = None,
        top: int = 8,
        permutations: int = PERMUTATIONS,
        seed: int = 0,
    ) -> Assessment:
        """Assess unit text embeddings, (q, d). `text_mean` (d,) is needed by the bridge "shift" alone."""
        parts = [
            self._assess(texts[i : i + _CHUNK], bridge, text_mean, top, permutations, seed)
            for i in range(0, len(texts), _CHUNK)
        ]
        return parts[0] if len(parts) == 1 else _join(parts)

    def _assess(
        self,
        texts: NDArray[np.float32],
        bridge: Bridge,
        text_mean: Floats | None,
        top: int,
        permutations: int,
        seed: int,
    ) -> Assessment:
        similarities, rows = self._index.search(texts, self._k, self._allowed)
        near = self._position[rows]
        weights = bridges.attention(self._fitted.moments.standardise(texts, similarities))
        observed = observe(weights, self.losses[near], self.losses, self._draws(near.shape[1], permutations, seed))
        lifts = self._member_lifts(texts, near, weights, bridge, text_mean)
        lift = np.nanmean(lifts, axis=0)
        error = scale(lifts, self.report.residual_variance, observed.n_effective) * self.report.conformal
        base = float(self._base.mean())
        return Assessment(
            base, base + lift, lift, lift - error, lift + error, observed, near[:, :top], similarities[:, :top]
        )

    def _member_lifts(
        self,
        texts: NDArray[np.float32],
        near: NDArray[np.int64],
        weights: Floats,
        bridge: Bridge,
        text_mean: Floats | None,
    ) -> Floats:
        """(b, q) lift by each member, through the chosen bridge."""
        if bridge == "attention":
            return member_lifts(weights, self._members[:, near], self._out_of_bag[:, near], self._base)
        if bridge == "prototype":
            closest = near[:, : min(PROTOTYPE_IMAGES, near.shape[1])]
            points = bridges.prototype(self._vectors()[self._rows[closest]].astype(np.float32))
        elif bridge == "shift":
            if text_mean is None:
                raise ValueError("the bridge 'shift' needs text_mean")
            points = bridges.shift(texts, self._fitted.moments.mean, text_mean)
        else:
            points = texts
        return self._fitted.predict(points) - self._base[:, None]

    def _draws(self, k: int, permutations: int, seed: int) -> NDArray[np.float32]:
        key = (permutations, seed)
        if key not in self._shuffled:
            self._shuffled[key] = permuted_losses(self.losses, k, permutations, seed)
        return self._shuffled[key]


def _join(parts: list[Assessment]) -> Assessment:
    def cat(name: str) -> NDArray[np.generic]:
        return np.concatenate([getattr(p, name) for p in parts])

    fields = ("predicted", "lift", "lo", "hi", "neighbours", "similarities")
    observed = Observed(
        *(np.concatenate([getattr(p.observed, f) for p in parts]) for f in ("lift", "n_effective", "p_value", "error"))
    )
    found = {name: cat(name) for name in fields}
    return Assessment(baseline=parts[0].baseline, observed=observed, **found)  # type: ignore[arg-type]
