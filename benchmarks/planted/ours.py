"""fsearch on one world, in memory: the fit, the diagnosis and the verdicts are the product's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fsearch.diagnoser.bridge import BRIDGES
from fsearch.diagnoser.diagnosis import Assessment, Diagnosis
from fsearch.diagnoser.evidence import q_values
from fsearch.diagnoser.fit import learn
from fsearch.diagnoser.fitted import Fitted
from fsearch.diagnoser.reference import Reference
from fsearch.diagnoser.verdict import judge
from fsearch.indexer.store import Losses
from fsearch.indexer.vectors import VectorIndex
from fsearch.search.ask import facts_of


@dataclass(frozen=True)
class Verdicts:
    """The default's answers, and the scores of every bridge, (q,) each."""

    words: np.ndarray
    found: Assessment
    scores: dict[str, np.ndarray]
    signal: bool


def diagnose(images: np.ndarray, losses: np.ndarray, reference: Reference, seed: int) -> Diagnosis:
    """What `fsearch fit` and a query would hold in memory for `images`, (n, d) unit float32."""
    vectors = images.astype(np.float16)
    bagged, moments, report = learn(vectors, losses, model="world", seed=seed)
    rows = np.arange(len(losses))
    index = VectorIndex(images.shape[1])
    index.add([vectors])
    fitted = Fitted.of(bagged, rows, moments, reference, report)
    return Diagnosis(fitted, Losses("world", rows, [str(i) for i in rows], rows, losses), index, lambda: vectors)


def verdicts(diagnosis: Diagnosis, texts: np.ndarray, seed: int) -> Verdicts:
    """Ask everything through every bridge, and judge through the default one."""
    scores = {}
    for name in BRIDGES:
        found = diagnosis.assess(texts, bridge=name, seed=seed)  # type: ignore[arg-type]
        scores[name] = found.lift.value
        if name == BRIDGES[-1]:
            scores["observed lift alone"] = found.observed.lift
    q = q_values(found.observed.p_value)
    words = [judge(facts_of(diagnosis, found, i, float(q[i])))[0] for i in range(len(texts))]
    return Verdicts(np.array(words), found, scores, diagnosis.report.signal)
