"""Query: embed phrases, find what is known about them, and give the answers with the images behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.bridge import BRIDGES, DEFAULT, Bridge
from fsearch.diagnoser.choices import FORMER_BRIDGES
from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.findings import Found, Phrase, find
from fsearch.diagnoser.reference_bank import ReferenceBank
from fsearch.diagnoser.support import SupportThresholds
from fsearch.indexer.embedding.encoder import Encoder
from fsearch.indexer.errors import require_one_of
from fsearch.indexer.storage.vectors import unit
from fsearch.indexer.workspace.store import Store
from fsearch.search.answer import Answer, Answers, Neighbour
from fsearch.search.hypotheses import Hypothesis, from_phrases, read_hypotheses
from fsearch.search.options import QueryOptions

FOREIGN_IMAGES = (
    "the demo encoder knows only portraits drawn by fsearch, and these images are of another kind, so nothing it says "
    "about them can be trusted; index them with a real CLIP: --encoder ViT-B-32 --weights TAG_OR_FILE"
)
_STARTERS = Path(__file__).parents[1] / "data" / "hypotheses"
PHOTOGRAPHS, PORTRAITS = _STARTERS / "reference.txt", _STARTERS / "portraits.csv"

Keys = Callable[[NDArray[np.int64]], Mapping[int, str]]  # of image ids


def embed(
    encoder: Encoder,
    hypotheses: Sequence[Hypothesis],
    templates: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """(q, d) float32 unit embeddings; a phrase in several templates is their mean in text space, made unit again."""
    prompts = [h.prompts(templates) for h in hypotheses]
    found = encoder.embed_texts([p for several in prompts for p in several], progress)
    ends = np.cumsum([len(several) for several in prompts])[:-1]
    return unit(np.stack([part.mean(axis=0) for part in np.split(found, ends)]))


def reference_bank(encoder: Encoder, templates: Sequence[str] = ()) -> ReferenceBank:
    """Reference phrases in words that `encoder` knows, its temperature, and its thresholds where they were measured.

    An encoder without a text side has no reference phrases.
    """
    if not encoder.spec.has_text:
        return ReferenceBank(np.empty((0, encoder.spec.dim), np.float32), encoder.logit_scale)
    if encoder.vocabulary is None:
        phrases = from_phrases(PHOTOGRAPHS.read_text(encoding="utf-8").splitlines())
    else:
        phrases = read_hypotheses(PORTRAITS)
    thresholds = SupportThresholds(*encoder.support) if encoder.support else None
    return ReferenceBank(embed(encoder, phrases, templates), encoder.logit_scale, thresholds)


def measuring_phrases(store: Store, load: Callable[[], Encoder]) -> Callable[[], NDArray[np.float32]] | None:
    """Phrases to measure an index with, embedded when called; None where the workspace has no text side."""
    return (lambda: reference_bank(load(), store.templates).texts) if store.encoder.has_text else None


def answer(
    slices: Mapping[str | None, Diagnosis],
    encoder: Encoder,
    hypotheses: Sequence[Hypothesis],
    options: QueryOptions,
    keys: Keys,
    *,
    templates: Sequence[str] = (),
    foreign_images: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Answers:
    """Answers in the order of `hypotheses`, slice by slice.

    `keys` gives the keys of images by their ids. `foreign_images` says that the encoder was not made for the images of
    the index: no answer can then be trusted.
    """
    bridge, former = _bridge(options.bridge)
    texts = embed(encoder, hypotheses, templates, progress)
    unknown = [encoder.unknown_words(" ".join(h.prompts(templates))) for h in hypotheses]
    found = find(
        slices,
        texts,
        [Phrase(h.text, h.group, words) for h, words in zip(hypotheses, unknown, strict=True)],
        bridge=bridge,
        seed=options.seed,
        correction=options.fdr,
        foreign_images=foreign_images,
        top=options.top,
    )
    some = next(iter(slices.values()))
    notes = _notes(some, encoder, sorted({w for words in unknown for w in words}), foreign_images)
    images = sum(map(len, slices.values()))
    answers = _with_images(found, hypotheses, keys)
    return Answers(some.report.model, answers, (*notes, *former), images, options.fdr)


def _bridge(name: str) -> tuple[Bridge, tuple[str, ...]]:
    """The bridge of that name, with a note for one that only an older version had. Raises BadInputError."""
    if name in FORMER_BRIDGES:
        return DEFAULT, (f"the bridge {name!r} is no longer part of fsearch; {DEFAULT.name} was used",)
    require_one_of("bridge", name, BRIDGES)
    return BRIDGES[name], ()


def _with_images(found: Sequence[Found], hypotheses: Sequence[Hypothesis], keys: Keys) -> tuple[Answer, ...]:
    """The findings as answers; the catalog is asked once for the keys of all images that are shown."""
    names = keys(np.unique(np.concatenate([f.nearest.image_ids for f in found])))
    answers = []
    for i, f in enumerate(found):
        near = zip(f.nearest.image_ids.tolist(), f.nearest.similarities, f.nearest.losses, strict=True)
        nearest = tuple(Neighbour(names[j], j, float(similarity), float(loss)) for j, similarity, loss in near)
        answers.append(Answer.of(f.finding, hypotheses[i % len(hypotheses)], nearest, f.shares_with))
    return tuple(answers)


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
