"""Ask a diagnosis about phrases: embed them, assess them together, and word the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.bridge import DEFAULT, Bridge, unit
from fsearch.diagnoser.diagnosis import Assessment, Diagnosis
from fsearch.diagnoser.observed import Correction, q_values
from fsearch.diagnoser.verdict import Facts, judge, material_lift
from fsearch.indexer.device import Device
from fsearch.indexer.embedding.encoder import Encoder
from fsearch.search.answer import Answer, Answers, Basis, Neighbour
from fsearch.search.compare import adjust, contrast
from fsearch.search.hypothesis import Hypothesis

FOREIGN_IMAGES = (
    "the demo encoder knows only portraits drawn by fsearch, and these images are of another kind, so nothing it says "
    "about them can be trusted; index them with a real CLIP: --encoder ViT-B-32 --weights TAG_OR_FILE"
)


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """How a question is asked: everything but the phrases."""

    top: int = 8
    bridge: Bridge = DEFAULT
    seed: int = 0
    where: str | None = None
    by: str | None = None
    correction: Correction = "bh"
    device: Device = "auto"


def embed(
    encoder: Encoder,
    hypotheses: Sequence[Hypothesis],
    templates: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """(q, d) unit embeddings; a phrase in several templates is their mean in text space, made unit again."""
    prompts = [h.prompts(templates) for h in hypotheses]
    found = encoder.embed_texts([p for several in prompts for p in several], progress)
    ends = np.cumsum([len(several) for several in prompts])[:-1]
    return unit(np.stack([part.mean(axis=0) for part in np.split(found, ends)]))


def ask(
    slices: Mapping[str | None, Diagnosis],
    encoder: Encoder,
    hypotheses: Sequence[Hypothesis],
    options: QueryOptions,
    *,
    templates: Sequence[str] = (),
    foreign_images: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Answers:
    """Answers in the order of `hypotheses`, slice by slice; q-values are adjusted over all of them.

    `foreign_images` says that the encoder was not made for the images of the index: no answer can then be trusted.
    """
    texts = embed(encoder, hypotheses, templates, progress)
    unknown = [encoder.unknown_words(" ".join(h.prompts(templates))) for h in hypotheses]
    found = {within: d.assess(texts, bridge=options.bridge, seed=options.seed) for within, d in slices.items()}
    q = iter(q_values(np.concatenate([f.observed.p_value for f in found.values()]), options.correction))
    answers: list[Answer] = []
    for within, assessment in found.items():
        diagnosis = slices[within]
        several = [
            _answer(diagnosis, h, assessment, i, float(next(q)), words, options, foreign_images, within)
            for i, (h, words) in enumerate(zip(hypotheses, unknown, strict=True))
        ]
        answers += adjust(contrast(several, texts, diagnosis, options.seed), texts, diagnosis)
    words = sorted({w for several in unknown for w in several})
    some = next(iter(slices.values()))
    notes = _notes(some, encoder, words, foreign_images)
    return Answers(
        some.report.model, tuple(_with_contrast_q(answers, options.correction)), notes, sum(map(len, slices.values()))
    )


def facts_of(
    diagnosis: Diagnosis,
    found: Assessment,
    i: int,
    q: float,
    unknown: tuple[str, ...] = (),
    *,
    foreign_images: bool = False,
) -> Facts:
    """What the verdict on phrase `i` is made from."""
    observed = found.observed
    return Facts(
        predicted_lift=float(found.lift.predicted[i]),
        lift=float(found.lift.value[i]),
        lo=float(found.lo[i]),
        hi=float(found.hi[i]),
        observed_lift=float(observed.lift[i]),
        observed_error=float(observed.error[i]),
        n_effective=float(observed.n_effective[i]),
        q_value=q,
        material=material_lift(diagnosis.loss_std, found.baseline),
        shown=float(found.retrieval.count[i]),
        absent=bool(found.unseen[i]),
        doubtful=bool(found.doubtful[i]),
        unknown_words=unknown,
        foreign_images=foreign_images,
        signal=diagnosis.report.signal,
    )


def _answer(
    diagnosis: Diagnosis,
    hypothesis: Hypothesis,
    found: Assessment,
    i: int,
    q: float,
    unknown: tuple[str, ...],
    options: QueryOptions,
    foreign_images: bool,
    within: str | None,
) -> Answer:
    facts = facts_of(diagnosis, found, i, q, unknown, foreign_images=foreign_images)
    verdict, reason = judge(facts)
    nearest = zip(found.neighbours[i, : options.top], found.similarities[i, : options.top], strict=True)
    return Answer(
        hypothesis,
        predicted_loss=found.baseline + facts.lift,
        baseline=found.baseline,
        predicted_lift=facts.predicted_lift,
        lift=facts.lift,
        lo=facts.lo,
        hi=facts.hi,
        percentile=float(found.percentile[i]),
        observed_lift=facts.observed_lift,
        n_effective=facts.n_effective,
        share=float(found.retrieval.share[i]),
        purity=float(found.retrieval.purity[i]),
        p_value=float(found.observed.p_value[i]),
        q_value=q,
        verdict=verdict,
        reason=reason,
        nearest=tuple(
            Neighbour(diagnosis.keys[j], int(diagnosis.image_ids[j]), float(s), float(diagnosis.losses[j]))
            for j, s in nearest
        ),
        basis=_basis(diagnosis, found, i, facts, options.correction),
        within=within,
    )


def _basis(diagnosis: Diagnosis, found: Assessment, i: int, facts: Facts, correction: str) -> Basis:
    return Basis(
        trust=float(found.lift.trust[i]),
        error=float(found.lift.error[i]),
        conformal=diagnosis.report.conformal,
        similarity=float(found.support.similarity[i]),
        mass=float(found.support.mass[i]),
        least_similarity=found.floors.similarity,
        least_mass=found.floors.mass,
        calibrated=found.floors.calibrated,
        observed_error=facts.observed_error,
        material=facts.material,
        loss_std=diagnosis.loss_std,
        correction=correction,
    )


def _with_contrast_q(answers: list[Answer], correction: Correction) -> list[Answer]:
    """The contrasts' p-values adjusted together: they are questions of their own."""
    asked = [i for i, a in enumerate(answers) if a.contrast_p is not None]
    if asked:
        q = q_values(np.array([answers[i].contrast_p for i in asked], np.float64), correction)
        for i, value in zip(asked, q, strict=True):
            answers[i] = replace(answers[i], contrast_q=float(value))
    return answers


def _notes(diagnosis: Diagnosis, encoder: Encoder, unknown: Sequence[str], foreign_images: bool) -> tuple[str, ...]:
    """What the reader must know beside the numbers."""
    notes = [FOREIGN_IMAGES] if foreign_images else []
    notes += diagnosis.report.notes
    if diagnosis.stale:
        notes.append("images or losses changed since the fit, which does not know of it; run: fsearch fit")
    if unknown:
        notes.append(
            f"the {encoder.spec.name} encoder never saw {', '.join(repr(w) for w in unknown)} in training; "
            "what it says about such a phrase means nothing"
        )
    return tuple(notes)
