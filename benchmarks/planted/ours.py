"""fsearch on one world, in memory: the fit, the diagnosis and the verdicts are the product's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from benchmarks.planted.rivals import Evidence

from fsearch.diagnoser import ridge as linear
from fsearch.diagnoser.artifact import FitArtifact
from fsearch.diagnoser.bridge import BRIDGES, DEFAULT, unit
from fsearch.diagnoser.diagnosis import Assessment, Diagnosis
from fsearch.diagnoser.ensemble import Bagged, out_of_bag_mean
from fsearch.diagnoser.fit import learn
from fsearch.diagnoser.observed import normalised, q_values
from fsearch.diagnoser.reference_bank import Reference
from fsearch.diagnoser.verdict import judge
from fsearch.indexer.vector_index.index import exact
from fsearch.indexer.workspace.store import Losses
from fsearch.search.query import facts_of


@dataclass(frozen=True)
class Verdicts:
    """The default's answers, and the scores of every bridge and stage, (q,) each."""

    words: np.ndarray
    found: Assessment
    scores: dict[str, np.ndarray]
    signal: bool


def diagnose(images: np.ndarray, losses: np.ndarray, reference: Reference, seed: int) -> tuple[Diagnosis, Bagged]:
    """What `fsearch fit` and a query would hold in memory for `images`, (n, d) unit float32."""
    vectors = images.astype(np.float16)
    bagged, moments, report = learn(vectors, losses, model="world", seed=seed)
    rows = np.arange(len(losses))
    index = exact(vectors, images.shape[1])
    index.add([vectors])
    fitted = FitArtifact.of(bagged, rows, moments, reference, report)
    diagnosis = Diagnosis(fitted, Losses("world", rows, [str(i) for i in rows], rows, losses), index, lambda: vectors)
    return diagnosis, bagged


def verdicts(evidence: Evidence, reference: Reference, seed: int) -> Verdicts:
    """Ask everything through every bridge, and judge through the default one."""
    diagnosis, bagged = diagnose(evidence.images, evidence.losses, reference, seed)
    seen = {
        name: diagnosis.assess(evidence.texts, bridge=name, seed=seed)  # type: ignore[arg-type]
        for name in BRIDGES
    }
    scores = {name: found.lift.value for name, found in seen.items()}
    found = seen[DEFAULT]
    scores["membership, observed lift alone"] = found.observed.lift
    scores |= _stages(evidence, diagnosis, bagged, seed)
    q = q_values(found.observed.p_value)
    words = [judge(facts_of(diagnosis, found, i, float(q[i])))[0] for i in range(len(evidence.texts))]
    return Verdicts(np.array(words), found, scores, diagnosis.report.signal)


def _stages(evidence: Evidence, diagnosis: Diagnosis, bagged: Bagged, seed: int) -> dict[str, np.ndarray]:
    """What each half of the ensemble says alone, and what truth in place of one stage would gain."""
    shown = diagnosis.shows(evidence.texts)
    weights = normalised(shown.memberships)
    points = evidence.images
    trees = np.stack([b.inplace_predict(points) for b in bagged.boosters]).astype(np.float64)
    flat = linear.predict(bagged.coefficients, points)
    scores = {}
    for name, side in (("membership, trees alone", trees), ("membership, linear alone", flat)):
        predicted = np.nan_to_num(out_of_bag_mean(bagged.target.backward(side), bagged.out_of_bag), nan=0.0)
        scores[name] = (weights * predicted[shown.near]).sum(axis=1)
    true = evidence.shown / np.maximum(evidence.shown.sum(axis=1, keepdims=True), 1)
    scores["oracle membership: ensemble on true images"] = true @ np.nan_to_num(bagged.prediction(), nan=0.0)
    middle = unit(true @ points).astype(np.float32)
    scores["oracle text: mean of true images, attention"] = diagnosis.assess(middle, bridge="attention", seed=seed).lo
    return scores
