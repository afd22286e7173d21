"""Query: embed phrases, find what is known about them, and give the answers with the images behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.bridge import BRIDGES, DEFAULT, Bridge
from fsearch.diagnoser.choices import FORMER_BRIDGES
from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.estimate import PERMUTATIONS
from fsearch.diagnoser.exhibits import Shown
from fsearch.diagnoser.finding import Found
from fsearch.diagnoser.findings import concluded, evaluated, shown
from fsearch.diagnoser.reference_bank import ReferenceBank
from fsearch.diagnoser.slice import Asking
from fsearch.diagnoser.support import SupportThresholds
from fsearch.indexer.embedding.phrases import TextEncoder
from fsearch.indexer.errors import require_one_of
from fsearch.indexer.workspace.image_places import ImagePlaces, ImageRow
from fsearch.indexer.workspace.store import Store
from fsearch.search.account import NOT_KEPT, Account, Asked, Placed, Question
from fsearch.search.answer import Answer, Answers
from fsearch.search.hypotheses import SHIPPED, Hypothesis, from_phrases, read_hypotheses
from fsearch.search.neighbour import Neighbour
from fsearch.search.options import QueryOptions
from fsearch.search.phrases import embed, read_phrases

FOREIGN_IMAGES = (
    "the demo encoder knows only portraits drawn by fsearch, and these images are of another kind, so nothing it says "
    "about them can be trusted; index them with a real CLIP: --encoder ViT-B-32 --weights TAG_OR_FILE"
)
NEVER_CALIBRATED = (
    "it was never measured with this encoder which phrases no image shows; where rival phrases fit the nearest images "
    "about as well, a phrase is called neither failing nor fine; some hundred labelled images mend that: fsearch "
    "calibrate --labels COLUMN_OR_FILE"
)
CALIBRATED = "this encoder was calibrated with {}"
DROPPED = (
    "the calibration with {} was made with another encoder or other templates, so it is not used; calibrate again: "
    "fsearch calibrate --labels COLUMN_OR_FILE"
)
TOO_FEW_PHRASES = " (too few to learn from which phrases no image shows)"
VOCABULARY = SHIPPED.parent / "vocabulary.txt"
PHOTOGRAPHS, PORTRAITS = SHIPPED / "reference.txt", SHIPPED / "portraits.csv"
STARTERS = (SHIPPED / "people.txt", SHIPPED / "photographs.txt")


def reference_bank(encoder: TextEncoder, templates: Sequence[str] = ()) -> ReferenceBank:
    """Reference phrases in words that `encoder` knows, its temperature, and its thresholds where they were measured.

    An encoder without a text side has no reference phrases.
    """
    if not encoder.spec.has_text:
        return ReferenceBank(np.empty((0, encoder.spec.dim), np.float32), encoder.logit_scale)
    texts = _reference_texts(encoder, templates)
    if encoder.vocabulary is None and not encoder.spec.is_code:  # what is embedded here is kept for questions to come
        embed(encoder, [h for file in STARTERS for h in read_hypotheses(file)], templates)
    if encoder.support:
        return ReferenceBank(texts, encoder.logit_scale, SupportThresholds(*encoder.support))
    rivals = from_phrases([f"a {name}" for name in sorted(vocabulary())])
    return ReferenceBank(texts, encoder.logit_scale, vocabulary=embed(encoder, rivals, templates))


def _reference_texts(encoder: TextEncoder, templates: Sequence[str]) -> NDArray[np.float32]:
    if encoder.vocabulary is None:
        phrases = from_phrases(PHOTOGRAPHS.read_text(encoding="utf-8").splitlines())
    else:
        phrases = read_hypotheses(PORTRAITS)
    return embed(encoder, phrases, templates)


@cache
def vocabulary() -> frozenset[str]:
    """Names of common things that photographs show, lower case: the rivals of every phrase (diagnoser/rivals.py)."""
    lines = VOCABULARY.read_text(encoding="utf-8").splitlines()
    return frozenset(name.strip().lower() for line in lines if not line.startswith("#") for name in line.split(","))


def measuring_phrases(store: Store, load: Callable[[], TextEncoder]) -> Callable[[], NDArray[np.float32]] | None:
    """Phrases to measure an index with, embedded when called; None where the workspace has no text side."""
    return (lambda: _reference_texts(load(), store.templates)) if store.encoder.has_text else None


def answer(
    slices: Mapping[str | None, Diagnosis],
    encoder: TextEncoder,
    hypotheses: Sequence[Hypothesis],
    options: QueryOptions,
    places: ImagePlaces,
    *,
    templates: Sequence[str] = (),
    foreign_images: bool = False,
    progress: Callable[[int, int], None] | None = None,
    account: Account | None = None,
) -> Answers:
    """Answers in the order of `hypotheses`, slice by slice.

    `places` says what is known of the images shown. `foreign_images` says that the encoder was not made for the images
    of the index: no answer can then be trusted. With an `account`, the phrases are questions asked one at a time.
    """
    bridge, former = _bridge(options.bridge)
    read = read_phrases(encoder, hypotheses, templates, progress)
    prompts = list(zip((h.text for h in hypotheses), read.prompts, strict=True))
    questions = [Question.of(*words, options.where, within) for within in slices for words in prompts]
    asking = Asking(bridge, PERMUTATIONS, options.seed, foreign_images, options.top)
    slices_asked = evaluated(slices, read.texts, read.phrases, asking)
    some = next(iter(slices.values()))
    asked = None if account is None else Asked(account, questions, options.fdr)
    found = concluded(slices_asked, options.fdr, asked)
    if asked is not None and asked.enter(lambda con: places.look(con, some.report.model, shown(found.every))):
        found = concluded(slices_asked, options.fdr, asked)
    notes = notes_of(some, encoder, sorted({w for p in read.phrases for w in p.unknown_words}), foreign_images)
    notes += read.notes
    own = [*(h for _ in slices for h in hypotheses), *(hypotheses[i] for i, _ in found.hidden)]
    answers = with_images(found.every, own, partial(places.described, some.report.model), places.place)
    main, hidden = answers[: len(found.found)], answers[len(found.found) :]
    if asked is not None and asked.placed is not None:
        main = _with_places(main, asked.placed)
        notes += () if asked.account.kept else (NOT_KEPT,)
    return Answers(some.report.model, main, (*notes, *former), sum(map(len, slices.values())), options.fdr, hidden)


def _with_places(answers: Sequence[Answer], placed: Placed) -> tuple[Answer, ...]:
    """The answers with their places in the account; what is no test has none."""
    pairs = zip(answers, placed.numbers.tolist(), placed.levels.tolist(), strict=True)
    return tuple(replace(a, question=number, level=level) if number else a for a, number, level in pairs)


def _bridge(name: str) -> tuple[Bridge, tuple[str, ...]]:
    """The bridge of that name, with a note for one that only an older version had. Raises BadInputError."""
    if name in FORMER_BRIDGES:
        return DEFAULT, (f"the bridge {name!r} is no longer part of fsearch; {DEFAULT.name} was used",)
    require_one_of("bridge", name, BRIDGES)
    return BRIDGES[name], ()


def with_images(
    found: Sequence[Found],
    hypotheses: Sequence[Hypothesis],
    describe: Callable[[NDArray[np.int64]], Mapping[int, ImageRow]],
    places: Callable[[ImageRow], str | None],
) -> tuple[Answer, ...]:
    """The findings as answers to `hypotheses`, one each; the catalog is asked once for all images that are shown."""
    rows = describe(shown(found))

    def images(some: Shown) -> tuple[Neighbour, ...]:
        columns = (some.image_ids, some.similarities, some.losses, some.memberships)
        return tuple(
            Neighbour(row.key, i, similarity, loss, member, row.label, row.prediction, places(row))
            for i, similarity, loss, member in zip(*(c.tolist() for c in columns), strict=True)
            if (row := rows.get(i)) is not None  # removed since: the next question knows
        )

    answers = []
    for f, hypothesis in zip(found, hypotheses, strict=True):
        strips = {str(kind): images(some) for kind, some in f.exhibits.images.items()}
        answers.append(Answer.of(f.finding, hypothesis, f.shares_with, histogram=f.exhibits.histogram, **strips))
    return tuple(answers)


def calibration_notes(reference: ReferenceBank) -> list[str]:
    """With what the encoder was calibrated, or that it was not."""
    known = reference.calibration
    if known is None:
        return [] if reference.in_force.calibrated else [NEVER_CALIBRATED]
    return [CALIBRATED.format(known) + ("" if known.centred_similarity is not None else TOO_FEW_PHRASES)]


def dropped(store: Store) -> tuple[str, ...]:
    """The note on a calibration that is not of the encoder that is here now."""
    own = store.calibration
    return () if own is None or own.fits(store.encoder, store.templates) else (DROPPED.format(own),)


def notes_of(
    diagnosis: Diagnosis, encoder: TextEncoder, unknown: Sequence[str], foreign_images: bool
) -> tuple[str, ...]:
    """What the reader must know beside the numbers."""
    notes = [FOREIGN_IMAGES] if foreign_images else []
    notes += diagnosis.report.notes
    notes += [] if foreign_images else calibration_notes(diagnosis.artifact.reference)
    if diagnosis.stale:
        notes.append("images or losses changed since the fit, which does not know of it; run: fsearch fit")
    if unknown:
        notes.append(
            f"the {encoder.spec.name} encoder never saw {', '.join(repr(w) for w in unknown)} in training; "
            "what it says about such a phrase means nothing"
        )
    return tuple(notes)
