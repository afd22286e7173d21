"""Ask a diagnosis about phrases: embed them, assess them together, and word the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

FOREIGN_IMAGES = (
    "the demo encoder knows only portraits drawn by fsearch, and these images are of another kind, so nothing it says "
    "about them can be trusted; index them with a real CLIP: --encoder ViT-B-32 --weights TAG_OR_FILE"
)
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
    foreign_images: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Answers:
    """Answers in the order of `hypotheses`; q-values are adjusted over all of them.

    `foreign_images` says that the encoder was not made for the images of the index: no answer can then be trusted.
    """
    texts = encoder.embed_texts([h.prompt for h in hypotheses], progress)
    found = diagnosis.assess(texts, bridge=bridge, text_mean=text_mean, top=top, seed=seed)
    q = q_values(found.observed.p_value)
    unknown = [encoder.unknown_words(h.prompt) for h in hypotheses]
    answers = tuple(
        _answer(diagnosis, h, found, i, float(q[i]), words, foreign_images)
        for i, (h, words) in enumerate(zip(hypotheses, unknown, strict=True))
    )
    notes = [FOREIGN_IMAGES] if foreign_images else []
    notes += _notes(diagnosis, encoder, sorted({w for words in unknown for w in words}))
    return Answers(diagnosis.report.model, answers, tuple(notes))


def reference_mean(encoder: Encoder) -> NDArray[np.float64]:
    """(dim,) mean embedding of the reference phrases: the middle of the text cone, for the bridge `shift`."""
    texts = encoder.embed_texts(REFERENCE.read_text().splitlines())
    return np.asarray(texts.mean(axis=0, dtype=np.float64))


def _answer(
    diagnosis: Diagnosis,
    hypothesis: Hypothesis,
    found: Assessment,
    i: int,
    q: float,
    unknown: tuple[str, ...],
    foreign_images: bool,
) -> Answer:
    observed = found.observed
    facts = Facts(
        lift=float(found.lift[i]),
        lo=float(found.lo[i]),
        hi=float(found.hi[i]),
        observed_lift=float(observed.lift[i]),
        observed_error=float(observed.error[i]),
        n_effective=float(observed.n_effective[i]),
        q_value=q,
        loss_std=diagnosis.loss_std,
        unknown_words=unknown,
        foreign_images=foreign_images,
        signal=diagnosis.report.signal,
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


def _notes(diagnosis: Diagnosis, encoder: Encoder, unknown: Sequence[str]) -> list[str]:
    """What the reader must know beside the numbers."""
    notes = []
    if not diagnosis.report.signal:
        notes.append(NO_SIGNAL)
    if diagnosis.stale:
        notes.append("images or losses changed since the fit, which does not know of it; run: fsearch fit")
    if unknown:
        notes.append(
            f"the {encoder.spec.name} encoder never saw {', '.join(repr(w) for w in unknown)} in training; "
            "what it says about such a phrase means nothing"
        )
    return notes
