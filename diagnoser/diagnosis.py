"""Assess phrases against one black box: neighbours, bridge, lift with its interval, observed lift with its p.

It takes text embeddings, not text; `search` embeds, words and ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser import bridge as bridges
from fsearch.diagnoser.artifact import FitArtifact
from fsearch.diagnoser.bridge import DEFAULT, PROTOTYPE_IMAGES, Bridge
from fsearch.diagnoser.ensemble import out_of_bag_base, out_of_bag_mean
from fsearch.diagnoser.lift import Lift, combine, half_width, member_lifts, residual_lift, spread
from fsearch.diagnoser.observed import Observed, Retrieval, normalised, observe, permuted_losses
from fsearch.diagnoser.reference_bank import percentile
from fsearch.diagnoser.support import Floors, Support
from fsearch.indexer.errors import NotReadyError
from fsearch.indexer.storage.vectors import Embeddings
from fsearch.indexer.vector_index.index import VectorIndex
from fsearch.indexer.workspace.store import Losses

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
PERMUTATIONS = 5000
MIN_IMAGES = 50
_CHUNK = 256
_KEPT = 100  # nearest images that an assessment keeps
_SAMPLE = 4096  # images on which the share that shows a phrase is estimated


def neighbourhood_size(images: int) -> int:
    """How many nearest images a phrase is judged by: a quarter of them, between 64 and 2048."""
    return min(images, max(64, min(2048, images // 4)))


@dataclass(frozen=True, slots=True)
class Assessment:
    """What was found for q phrases; arrays are (q,) float64 unless said.

    Attributes
    ----------
    baseline : mean loss of all images asked about.
    lift, lo, hi : excess of the expected loss over `baseline`, and its 90% interval.
    percentile : of the lift among reference phrases.
    retrieval : how clean the images found are.
    support, floors, unseen, doubtful : whether the index holds such images at all; the last two are (q,) bool.
    neighbours, similarities : (q, at most 100) positions in the diagnosis' images, nearest first, and their cosines.
    """

    baseline: float
    lift: Lift
    lo: Floats
    hi: Floats
    percentile: Floats
    observed: Observed
    retrieval: Retrieval
    support: Support
    floors: Floors
    unseen: NDArray[np.bool_]
    doubtful: NDArray[np.bool_]
    neighbours: NDArray[np.int64]
    similarities: Singles


@dataclass(frozen=True, slots=True)
class Found:
    """The images found for q phrases, nearest first: similarities, positions and memberships are (q, k)."""

    similarities: Singles
    near: NDArray[np.int64]
    memberships: Floats
    retrieval: Retrieval
    support: Support


class Diagnosis:
    """One black box's fit, losses and index, aligned and held in memory for many questions.

    Images without a prediction (added since the fit) take no part; `stale` says that the fit knows other losses.
    `rows`, if given, are the only global rows asked about: everything, the baseline too, is then of these alone.
    """

    def __init__(
        self,
        fitted: FitArtifact,
        losses: Losses,
        index: VectorIndex,
        vectors: Callable[[], Embeddings],
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        shared, here, there = np.intersect1d(losses.rows, fitted.rows, assume_unique=True, return_indices=True)
        same_images = len(shared) == len(losses.rows) == len(fitted.rows)
        self.stale = not same_images or float(losses.values[here].mean()) != fitted.report.mean_loss
        self._everywhere = len(shared)
        self._whole: NDArray[np.bool_] | None = None
        if rows is not None:
            self._whole = np.isin(np.arange(len(index)), shared)
            kept = np.isin(shared, rows)
            shared, here, there = shared[kept], here[kept], there[kept]
        if len(shared) < MIN_IMAGES:
            what = "took part in the last fit; run: fsearch fit" if rows is None else "fulfil the condition; loosen it"
            raise NotReadyError(f"only {len(shared)} of the images here now {what} (at least {MIN_IMAGES} are needed)")
        self.report = fitted.report
        self.losses: Floats = losses.values[here]
        self.keys = [losses.keys[i] for i in here]
        self.image_ids = losses.image_ids[here]
        self.loss_std = float(self.losses.std())
        self.text_mean = fitted.reference.mean
        self._fitted, self._index, self._vectors = fitted, index, vectors
        self._rows = shared
        self._members = np.asarray(fitted.members)[:, there]
        self._out_of_bag = np.asarray(fitted.out_of_bag)[:, there]
        self._base = out_of_bag_base(self._members, self._out_of_bag)
        predicted = out_of_bag_mean(self._members, self._out_of_bag)
        self._residuals = self.losses - np.where(np.isfinite(predicted), predicted, self._members.mean(axis=0))
        self._position = np.full(len(index), -1, np.int64)
        self._position[shared] = np.arange(len(shared))
        self._allowed = None if len(shared) == len(index) else self._position >= 0
        self._k = neighbourhood_size(len(shared))
        self._samples: dict[int, Singles] = {}  # by number of rows: of a slice, and of the whole
        self._shuffled: dict[tuple[int, int, int], Singles] = {}
        self._bank: dict[Bridge, Floats] = {}

    def __len__(self) -> int:
        return len(self.losses)

    def assess(
        self, texts: Singles, *, bridge: Bridge = DEFAULT, permutations: int = PERMUTATIONS, seed: int = 0
    ) -> Assessment:
        """Assess unit text embeddings, (q, d)."""
        floors, bank = self._reference(bridge)
        parts = [
            self._assess(texts[i : i + _CHUNK], bridge, floors, bank, self._draws(self._k, permutations, seed))
            for i in range(0, len(texts), _CHUNK)
        ]
        return parts[0] if len(parts) == 1 else _join(parts)

    def _draws(self, k: int, permutations: int, seed: int) -> Singles:
        """Losses of k images under `permutations` shuffles, (permutations, k); kept for the next question."""
        if (k, permutations, seed) not in self._shuffled:
            self._shuffled = {(k, permutations, seed): permuted_losses(self.losses, k, permutations, seed)}
        return self._shuffled[k, permutations, seed]

    def _assess(self, texts: Singles, bridge: Bridge, floors: Floors, bank: Floats, draws: Singles) -> Assessment:
        found = self.shows(texts)
        lift = self._lift(texts, found, bridge)
        width = half_width(lift.error, self.report.conformal)
        return Assessment(
            baseline=float(self.losses.mean()),
            lift=lift,
            lo=lift.value - width,
            hi=lift.value + width,
            percentile=percentile(lift.value, bank),
            observed=observe(found.memberships, found.retrieval, self.losses[found.near], self.losses, draws),
            retrieval=found.retrieval,
            support=found.support,
            floors=floors,
            unseen=floors.unseen(found.support),
            doubtful=floors.doubtful(found.support),
            neighbours=found.near[:, :_KEPT],
            similarities=found.similarities[:, :_KEPT],
        )

    def shows(self, texts: Singles) -> Found:
        """The images that show `texts`, (q, d), each with the chance that it does.

        What surely fitting images reach, and whether there are any, is asked of the whole index.
        """
        similarities, rows = self._index.search(texts, self._k, self._allowed)
        scale = self._fitted.reference.logit_scale
        surest = similarities if self._whole is None else self._index.search(texts, self._k, self._whole)[0]
        reference = bridges.reference_similarity(surest, self._everywhere)
        memberships = bridges.membership(similarities, reference, scale)
        share = self._share(texts, memberships, self._rows, reference)
        whole = share
        if self._whole is not None:
            fits = bridges.membership(surest, reference, scale)
            whole = self._share(texts, fits, np.flatnonzero(self._whole), reference)
        near = self._position[rows]
        return Found(
            similarities, near, memberships, Retrieval.of(memberships, share), Support.of(reference, whole, scale)
        )

    def _share(self, texts: Singles, found: Floats, rows: NDArray[np.int64], reference: Singles) -> Floats:
        """(q,) share of `rows` that show each phrase. Where more do than were `found`, only a sample tells how many."""
        sampled = bridges.membership(texts @ self._sample(rows).T, reference, self._fitted.reference.logit_scale)
        share: Floats = np.maximum(found.sum(axis=1) / len(rows), sampled.mean(axis=1)).clip(max=1.0)
        return share

    def _sample(self, rows: NDArray[np.int64]) -> Singles:
        """(m, d) embeddings of evenly spread images among `rows`."""
        if len(rows) not in self._samples:
            some = rows[np.linspace(0, len(rows) - 1, min(_SAMPLE, len(rows))).astype(np.int64)]
            self._samples[len(rows)] = self._embeddings(some)
        return self._samples[len(rows)]

    def _embeddings(self, rows: NDArray[np.int64]) -> Singles:
        """(..., d) embeddings of global `rows`, (...)."""
        found: Singles = self._vectors()[rows.ravel()].astype(np.float32).reshape(*rows.shape, -1)
        return found

    def _lift(self, texts: Singles, found: Found, bridge: Bridge) -> Lift:
        """The lift over all images: predicted through `bridge`, corrected by the residuals of the images found."""
        clean = found.retrieval.against_all
        if bridge in ("raw", "shift", "centre", "prototype"):
            lifts = self._fitted.predict(self._points(texts, found.near, bridge)) - self._base[:, None]
        else:
            weights = normalised(self._weights(texts, found, bridge))
            lifts = member_lifts(weights, self._members[:, found.near], self._out_of_bag[:, found.near], self._base)
        residual, noise = residual_lift(
            found.memberships, self._residuals[found.near], float(self._residuals.mean()), self.report.residual_variance
        )
        predicted = np.nanmean(lifts, axis=0)
        if bridge != DEFAULT:  # for comparison: what the ensemble says through this bridge, as it is
            return combine(predicted, np.zeros_like(noise), noise, spread(lifts), self.loss_std)
        return combine(predicted * clean, residual * clean, noise * clean**2, spread(lifts) * clean**2, self.loss_std)

    def _points(self, texts: Singles, near: NDArray[np.int64], bridge: Bridge) -> Singles:
        if bridge == "raw":
            return texts
        if bridge == "prototype":
            return bridges.prototype(self._embeddings(self._rows[near[:, :PROTOTYPE_IMAGES]]))
        move = bridges.shift if bridge == "shift" else bridges.centre
        return move(texts, self._fitted.moments.mean, self.text_mean)

    def _weights(self, texts: Singles, found: Found, bridge: Bridge) -> Floats:
        if bridge == "membership":
            return found.memberships
        scores = self._fitted.moments.standardise(texts, found.similarities)
        return bridges.attention(scores) if bridge == "attention" else bridges.mixture(scores)

    def _reference(self, bridge: Bridge) -> tuple[Floors, Floats]:
        """The floors of support, and the lifts of the reference phrases through `bridge`."""
        texts = self._fitted.reference.texts
        if bridge not in self._bank:
            found = self.shows(texts)
            self._floors = self._fitted.reference.floors or Floors.of_bank(found.support)
            self._bank[bridge] = self._lift(texts, found, bridge).value
        return self._floors, self._bank[bridge]


def _join(parts: list[Assessment]) -> Assessment:
    """Assessments one after the other."""

    def join(values: list[object]) -> object:
        first = values[0]
        if isinstance(first, np.ndarray):
            return np.concatenate(values)  # type: ignore[arg-type]
        if isinstance(first, Lift | Observed | Retrieval | Support):
            return type(first)(*(join([getattr(v, f.name) for v in values]) for f in fields(first)))  # type: ignore[arg-type]
        return first

    return Assessment(**{f.name: join([getattr(p, f.name) for p in parts]) for f in fields(Assessment)})  # type: ignore[arg-type]
