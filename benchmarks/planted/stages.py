"""Scores of every bridge, of each half of the ensemble, and of truth in place of one stage: what each is worth."""

from __future__ import annotations

import numpy as np
from benchmarks.planted.bridges import Moments, all_bridges
from benchmarks.planted.world import World

from fsearch.diagnoser import ridge
from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.ensemble import Bagged, out_of_bag_mean
from fsearch.diagnoser.estimate import estimate_lift
from fsearch.diagnoser.observed import normalised
from fsearch.indexer.storage.vectors import unit


def stage_scores(world: World, diagnosis: Diagnosis, bagged: Bagged) -> dict[str, np.ndarray]:
    """(q,) scores by name, from the diagnosis of `world`."""
    bridges = all_bridges(Moments.of(world.vectors.astype(np.float16).astype(np.float32)))
    retrieved = diagnosis.retriever.find(world.texts)
    scores = {f"bridge: {name}": estimate_lift(diagnosis, retrieved, b).value for name, b in bridges.items()}
    weights = normalised(retrieved.weights)
    points = world.vectors
    trees = np.stack([b.inplace_predict(points) for b in bagged.boosters]).astype(np.float64)
    linear = ridge.predict(bagged.coefficients, points)
    for name, side in (("trees alone", trees), ("linear alone", linear)):
        predicted = np.nan_to_num(out_of_bag_mean(bagged.transform.backward(side), bagged.out_of_bag), nan=0.0)
        scores[name] = (weights * predicted[retrieved.neighbours]).sum(axis=1)
    true = world.shown / np.maximum(world.shown.sum(axis=1, keepdims=True), 1)
    scores["oracle membership: ensemble on true images"] = true @ np.nan_to_num(bagged.prediction(), nan=0.0)
    mean_image = unit(true @ points).astype(np.float32)
    lift = estimate_lift(diagnosis, diagnosis.retriever.find(mean_image), bridges["attention"])
    scores["oracle text: mean of true images, attention"] = lift.value - lift.error
    return scores
