"""A diagnosis: the fit, the losses and the index of one black box, aligned and held in memory for many questions."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.artifact import FitArtifact
from fsearch.diagnoser.ensemble import out_of_bag_base, out_of_bag_mean
from fsearch.diagnoser.evidence import shuffled_means
from fsearch.diagnoser.lift import member_lifts
from fsearch.diagnoser.retrieval import Retrieved, Retriever
from fsearch.diagnoser.standing import background
from fsearch.indexer.errors import NotReadyError
from fsearch.indexer.vector_index.exact_search import NearestImages
from fsearch.indexer.vector_index.near_duplicates import dense
from fsearch.indexer.workspace.store import Losses

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

MIN_FIT_IMAGES = 50


class Diagnosis:
    """What the images with both a loss and a prediction are known to lose.

    Images without a prediction (added since the fit) take no part.

    Attributes
    ----------
    losses, image_ids : (n,) float64 losses and int64 ids of the images.
    groups : (n,) int32 group of repeated images that each belongs to, numbered from 0 in order of first appearance.
    residuals : (n,) float64 losses less their mean and what is predicted beyond it out of bag.
    retriever : retrieval among these images; `whole` : the diagnosis of all images, where this is one of a subset.
    stale : whether the fit was made with other images or losses.
    """

    def __init__(
        self,
        artifact: FitArtifact,
        losses: Losses,
        index: NearestImages,
        rows: NDArray[np.int64] | None = None,
        whole: Diagnosis | None = None,
    ) -> None:
        shared, here, there = np.intersect1d(losses.rows, artifact.rows, assume_unique=True, return_indices=True)
        same_images = len(shared) == len(losses.rows) == len(artifact.rows)
        self.stale = not same_images or float(losses.values[here].mean()) != artifact.report.mean_loss
        if rows is not None:
            kept = np.isin(shared, rows)
            shared, here, there = shared[kept], here[kept], there[kept]
        if len(shared) < MIN_FIT_IMAGES:
            what = "took part in the last fit; run: fsearch fit" if rows is None else "fulfil the condition; loosen it"
            raise NotReadyError(
                f"only {len(shared)} of the images here now {what} (at least {MIN_FIT_IMAGES} are needed)"
            )
        self.artifact, self.report, self.whole = artifact, artifact.report, whole
        self._all_losses, self._index = losses, index
        self.losses: Floats = losses.values[here]
        self.image_ids = losses.image_ids[here]
        self.groups: NDArray[np.int32] = dense(artifact.groups[there]).astype(np.int32)
        self.loss_std, self.baseline = float(self.losses.std()), float(self.losses.mean())
        self.retriever: Retriever = (
            artifact.reference.retriever(index, shared) if whole is None else whole.retriever.within(shared)
        )
        self._members = np.asarray(artifact.members)[:, there]
        self._out_of_bag = np.asarray(artifact.out_of_bag)[:, there]
        self._base = out_of_bag_base(self._members, self._out_of_bag)
        predicted = out_of_bag_mean(self._members, self._out_of_bag)
        predicted = np.where(np.isfinite(predicted), predicted, self._members.mean(axis=0))
        self.residuals = self.losses - self.baseline - predicted
        self.scale = artifact.reference.scale(self.loss_std, float(predicted.std()))
        self._draws: dict[tuple[int, int, int], Singles] = {}

    def __len__(self) -> int:
        return len(self.losses)

    def within(self, rows: NDArray[np.int64]) -> Diagnosis:
        """The diagnosis of the images at some global rows alone: everything, the baseline too, is then of these.

        Raises NotReadyError where fewer than MIN_FIT_IMAGES are left.
        """
        return Diagnosis(self.artifact, self._all_losses, self._index, rows, self)

    @property
    def logit_scale(self) -> float:
        """The encoder's inverse temperature."""
        return self.artifact.reference.logit_scale

    @cached_property
    def mean_residual(self) -> float:
        """Mean of the residuals of all images."""
        return float(self.residuals.mean())

    @cached_property
    def reference(self) -> Retrieved:
        """What is retrieved for the reference phrases; searched once, however many questions and slices need it."""
        whole = None if self.whole is None else self.whole.reference
        return self.retriever.find(self.artifact.reference.texts, whole)

    @cached_property
    def background(self) -> Floats:
        """(2, v) how well the images fit common things, from `standing.background`; stored with the fit."""
        stored = self.artifact.background
        if stored is not None and self.whole is None and not self.stale:
            return stored
        return background(self.retriever, self.artifact.reference.rivals)

    def member_lifts(self, weights: Floats, neighbours: NDArray[np.int64]) -> Floats:
        """(b, q) lift that each member predicts, out of bag, from neighbours (q, k) with `weights` (q, k)."""
        return member_lifts(weights, neighbours, self._members, self._out_of_bag, self._base)

    def lifts_at(self, points: Singles) -> Floats:
        """(b, q) lift that each member predicts at `points`, (q, d), of embedding space."""
        return self.artifact.predict(points) - self._base[:, None]

    def draws(self, k: int, permutations: int, seed: int) -> Singles:
        """(permutations, at most k) means of groups of images under shuffles of them; kept for the next question."""
        if (k, permutations, seed) not in self._draws:
            drawn = shuffled_means(self.losses, self.groups, k, permutations, seed)
            self._draws = {(k, permutations, seed): drawn}
        return self._draws[k, permutations, seed]
