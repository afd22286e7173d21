"""Ask a diagnosis about phrases: embed them, assess them together, and word the answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.bridge import Bridge
from fsearch.diagnoser.diagnosis import Assessment, Diagnosis
from fsearch.diagnoser.evidence import q_values
from fsearch.diagnoser.fitted import NO_SIGNAL
from fsearch.diagnoser.verdict import Facts, judge
from fsearch.indexer.encoder import Encoder
from fsearch.search.answer import Answer, Answers, Hypothesis, Neighbour

REFERENCE = Path(__file__).parents[1] / "data" / "hypotheses" / "reference.txt"


def ask(
    diagnosis: Diagnosis,
    encoder: Encoder,
    hypotheses: Sequence[Hypothesis],
    *,
    top: int,
    bridge: Bridge,
    text_mean: NDArray[np.float64] | None = None,
    seed: int,
) -> Answers:
    """Answers in the order of `hypotheses`; q-values are adjusted over all of them."""
    texts = encoder.embed_texts([h.prompt for h in hypotheses])
    found = diagnosis.assess(texts, bridge=bridge, text_mean=text_mean, top=top, seed=seed)
    q = q_values(found.observed.p_value)
    answers = tuple(_answer(diagnosis, encoder, h, found, q, i) for i, h in enumerate(hypotheses))
    return Answers(diagnosis.report.model, answers, _notes(diagnosis, encoder, hypotheses))


def reference_mean(encoder: Encoder) -> NDArray[np.float64]:
    """(dim,) mean embedding of the reference phrases: the middle of the text cone, for the bridge `shift`."""
    texts = encoder.embed_texts(REFERENCE.read_text().splitlines())
    return np.asarray(texts.mean(axis=0, dtype=np.float64))


def _answer(
    diagnosis: Diagnosis, encoder: Encoder, hypothesis: Hypothesis, found: Assessment, q: NDArray[np.float64], i: int
) -> Answer:
    observed = found.observed
    facts = Facts(
        lift=float(found.lift[i]),
        lo=float(found.lo[i]),
        hi=float(found.hi[i]),
        observed_lift=float(observed.lift[i]),
        observed_error=float(observed.error[i]),
        n_effective=float(observed.n_effective[i]),
        q_value=float(q[i]),
        loss_std=diagnosis.loss_std,
        unknown_words=encoder.unknown_words(hypothesis.prompt),
    )
    verdict, reason = judge(facts)
    nearest = tuple(
        Neighbour(diagnosis.keys[j], int(diagnosis.image_ids[j]), float(s), float(diagnosis.losses[j]))
        for j, s in zip(found.neighbours[i], found.similarities[i], strict=True)
    )
    return Answer(
        hypothesis,
        predicted_loss=float(found.predicted[i]),
        baseline=found.baseline,
        lift=facts.lift,
        lo=facts.lo,
        hi=facts.hi,
        observed_lift=facts.observed_lift,
        n_effective=facts.n_effective,
        p_value=float(observed.p_value[i]),
        q_value=facts.q_value,
        verdict=verdict,
        reason=reason,
        nearest=nearest,
    )


def _notes(diagnosis: Diagnosis, encoder: Encoder, hypotheses: Sequence[Hypothesis]) -> tuple[str, ...]:
    """What the reader must know beside the numbers."""
    notes = []
    if not diagnosis.report.signal:
        notes.append(NO_SIGNAL)
    if diagnosis.stale:
        notes.append("images or losses changed since the fit, which does not know of it; run: fsearch fit")
    unknown = sorted({w for h in hypotheses for w in encoder.unknown_words(h.prompt)})
    if unknown:
        notes.append(
            f"the {encoder.spec.name} encoder never saw {', '.join(repr(w) for w in unknown)} in training; "
            "what it says about such a phrase means nothing"
        )
    return tuple(notes)
