"""fsearch on one world, in memory: the fit, the diagnosis and the verdicts are the product's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from benchmarks.planted.bridges import all_bridges
from benchmarks.planted.rivals import Evidence

from fsearch.diagnoser import ridge
from fsearch.diagnoser.artifact import FitArtifact
from fsearch.diagnoser.bridge import Bridge
from fsearch.diagnoser.calibration import Moments
from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.ensemble import Bagged, out_of_bag_mean
from fsearch.diagnoser.estimate import estimate_lift
from fsearch.diagnoser.findings import Finding, Phrase, find
from fsearch.diagnoser.fit import learn
from fsearch.diagnoser.lift import half_width
from fsearch.diagnoser.observed import normalised
from fsearch.diagnoser.reference_bank import ReferenceBank
from fsearch.indexer.storage.vectors import unit
from fsearch.indexer.vector_index.index import exact_index
from fsearch.indexer.workspace.store import Losses


@dataclass(frozen=True)
class Verdicts:
    """The default's answers, and the scores of every bridge and stage, (q,) each."""

    words: np.ndarray
    lo: np.ndarray
    hi: np.ndarray
    scores: dict[str, np.ndarray]
    signal: bool


def diagnose(images: np.ndarray, losses: np.ndarray, reference: ReferenceBank, seed: int) -> tuple[Diagnosis, Bagged]:
    """What `fsearch fit` and a query would hold in memory for `images`, (n, d) unit float32."""
    vectors = images.astype(np.float16)
    bagged, report = learn(vectors, losses, model="world", seed=seed)
    rows = np.arange(len(losses))
    index = exact_index(vectors, images.shape[1])
    index.add([vectors])
    artifact = FitArtifact.of(bagged, rows, reference, report)
    return Diagnosis(artifact, Losses("world", rows, rows, losses), index), bagged


def verdicts(evidence: Evidence, reference: ReferenceBank, seed: int) -> Verdicts:
    """Ask everything through the default bridge, as the product does, and rank by every other one too."""
    diagnosis, bagged = diagnose(evidence.images, evidence.losses, reference, seed)
    bridges = all_bridges(Moments.of(evidence.images.astype(np.float16).astype(np.float32)))
    retrieved = diagnosis.retriever.find(evidence.texts)
    scores = {name: estimate_lift(diagnosis, retrieved, bridge).value for name, bridge in bridges.items()}
    phrases = [Phrase(str(i)) for i in range(len(evidence.texts))]
    found = [f.finding for f in find({None: diagnosis}, evidence.texts, phrases, seed=seed)]
    scores["membership, observed lift alone"] = column(found, "observed_lift")
    scores |= _stages(evidence, diagnosis, bagged, bridges)
    words = np.array([str(f.verdict) for f in found])
    return Verdicts(words, column(found, "lo"), column(found, "hi"), scores, diagnosis.report.signal)


def column(findings: list[Finding], name: str) -> np.ndarray:
    """One field of several findings, (q,)."""
    return np.array([getattr(f, name) for f in findings])


def _stages(
    evidence: Evidence, diagnosis: Diagnosis, bagged: Bagged, bridges: dict[str, Bridge]
) -> dict[str, np.ndarray]:
    """What each half of the ensemble says alone, and what truth in place of one stage would gain."""
    shown = diagnosis.retriever.find(evidence.texts)
    weights = normalised(shown.memberships)
    points = evidence.images
    trees = np.stack([b.inplace_predict(points) for b in bagged.boosters]).astype(np.float64)
    linear = ridge.predict(bagged.coefficients, points)
    scores = {}
    for name, side in (("membership, trees alone", trees), ("membership, linear alone", linear)):
        predicted = np.nan_to_num(out_of_bag_mean(bagged.transform.backward(side), bagged.out_of_bag), nan=0.0)
        scores[name] = (weights * predicted[shown.neighbours]).sum(axis=1)
    true = evidence.shown / np.maximum(evidence.shown.sum(axis=1, keepdims=True), 1)
    scores["oracle membership: ensemble on true images"] = true @ np.nan_to_num(bagged.prediction(), nan=0.0)
    mean_image = unit(true @ points).astype(np.float32)
    lift = estimate_lift(diagnosis, diagnosis.retriever.find(mean_image), bridges["attention"])
    lower = lift.value - half_width(lift.error, diagnosis.report.conformal)
    scores["oracle text: mean of true images, attention"] = lower
    return scores
