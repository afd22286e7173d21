"""The work of `fsearch compare`: pair two models, find what changed for each phrase, store it, and give the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.changes import FoundChanges, Moved, find_changes
from fsearch.diagnoser.pairing import Pair, Side, pair
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.workspace.image_places import ImagePlaces
from fsearch.indexer.workspace.store import Store
from fsearch.search.compare.question import DISCOVER, Named, named, phrases_of, require_two, rows_where
from fsearch.search.compare.result import ChangeAnswer, Comparison, MovedImage, in_order, ranked
from fsearch.search.compare.stored import record
from fsearch.search.discovery.result import Ranked, arranged
from fsearch.search.discovery.stored import of_set
from fsearch.search.hypotheses import Hypothesis
from fsearch.search.options import CompareOptions, Progress, QueryOptions
from fsearch.search.options import named as for_one
from fsearch.search.phrases import read_phrases
from fsearch.search.query import FOREIGN_IMAGES, calibration_notes, dropped

if TYPE_CHECKING:
    from pathlib import Path

    from fsearch.diagnoser.diagnosis import Diagnosis
    from fsearch.search.compare.discover import Unlisted
    from fsearch.search.session import Scope, Session

SAME_LOSSES = "all losses of {!r} and {!r} are the same: is it one model under two names?"
_TASK = "SELECT task FROM black_boxes WHERE model = ?"


@dataclass(frozen=True, slots=True)
class Asked:
    """A comparison as it is asked: two names, and phrases with where they come from, or None for those of a run."""

    before: str
    after: str
    hypotheses: Sequence[Hypothesis] | None
    source: str
    text_vectors: Any = None


@dataclass(frozen=True, slots=True)
class _Read:
    """What the catalog says of a comparison, read in one go."""

    before: str
    after: str
    hypotheses: Sequence[Hypothesis]
    source: str
    scope: Scope
    wanted: NDArray[np.int64] | None
    base: Diagnosis
    pair: Pair
    stale: tuple[str, ...]
    notes: list[str]


def compare(
    root: Path, session: Session, asked: Asked, options: CompareOptions, progress: Progress | None = None
) -> Comparison:
    """Compare two models of the workspace at `root`, and store it. Raises FsearchError for what cannot be compared."""
    store = session.store(root)
    read = _read(session, store, asked, options)
    encoder = session.text_encoder(store, options.device, asked.text_vectors)
    templates = store.templates if asked.text_vectors is None else ()
    phrases = read_phrases(encoder, read.hypotheses, templates, for_one(progress, "asking"))
    foreign = read.scope.foreign(encoder.only_side)
    found = find_changes(
        read.base,
        read.pair,
        phrases.texts,
        phrases.phrases,
        scope=read.wanted,
        seed=options.seed,
        correction=options.fdr,
        foreign_images=foreign,
        top=options.top,
    )
    listed = _answers(read, found, read.hypotheses, session.images(store))
    unlisted, unlisted_ranked = None, list[Ranked[ChangeAnswer]]()
    if options.discover:
        unlisted = _unlisted(session, store, read, options).search(found.whole, options, progress)
        answers = _answers(read, unlisted.changes, unlisted.hypotheses, session.images(store))
        unlisted_ranked = arranged(answers, unlisted.proposals, unlisted.order, ranked)
    places = in_order(listed, unlisted_ranked, found.whole.change)
    counts = {"images": found.images, "either": found.either}
    head = {"before": read.before, "after": read.after, "source": read.source, **counts}
    number, created, generation = record(store, head, options, found.whole, places, partial(of_set, read.base))
    session.kept(generation, store)
    notes = list(read.notes)
    if alone := found.either - found.images:
        notes.append(f"{alone:,} images have a loss of one of the models alone and take no part")
    notes += [SAME_LOSSES.format(read.before, read.after)] if not read.pair.change.any() else []
    notes += [FOREIGN_IMAGES] if foreign else []
    notes += [] if foreign else calibration_notes(read.base.artifact.reference)
    notes += [*phrases.notes, *(unlisted.notes if unlisted else ()), *dropped(store)]
    return Comparison(
        comparison_id=number,
        before=read.before,
        after=read.after,
        whole=found.whole,
        answers=tuple(place.answer for place in places),
        notes=tuple(dict.fromkeys(notes)),
        created_at=created,
        images=found.images,
        either=found.either,
        correction=options.fdr,
        standardised=options.standardise,
        stale=read.stale,
    )


def _unlisted(session: Session, store: Store, read: _Read, options: CompareOptions) -> Unlisted:
    """The search for changes that nobody listed."""
    from fsearch.search.compare.discover import Unlisted

    encoder = session.text_encoder(store, options.device)
    foreign = read.scope.foreign(encoder.only_side)
    asked = read.pair if read.wanted is None else read.pair.within(read.wanted)
    return Unlisted(store, read.before, read.after, read.base, read.pair, asked, encoder, foreign, read.hypotheses)


def _answers(
    read: _Read, found: FoundChanges, hypotheses: Sequence[Hypothesis], places: ImagePlaces
) -> list[ChangeAnswer]:
    """What was found of each of `hypotheses`, with the images behind it."""
    images = _images(read.base, found.moved, read.after, places)
    return [ChangeAnswer.of(*each) for each in zip(found.changes, hypotheses, images, strict=True)]


def _read(session: Session, store: Store, asked: Asked, options: CompareOptions) -> _Read:
    """What `asked` is about. Raises BadInputError for what cannot be paired."""
    with store.catalog.shared():
        sides = before, after = named(store, asked.before), named(store, asked.after)
        require_two(before, after)
        hypotheses, source = asked.hypotheses, asked.source
        if hypotheses is None:
            hypotheses, source = ([], DISCOVER) if options.discover else phrases_of(store, before, after)
        scope = session.scope(store.layout.root, after.model, QueryOptions(device=options.device))
        wanted = None if options.where is None else rows_where(store, before, after, options.where)
        found = _paired(session, store, sides, options)
    return _Read(before.model, after.model, hypotheses, source, scope, wanted, *found)


def _paired(
    session: Session, store: Store, sides: tuple[Named, Named], options: CompareOptions
) -> tuple[Diagnosis, Pair, tuple[str, ...], list[str]]:
    """The diagnosis of one of two models, their pairs, stale fits, and what must be known beside the numbers."""
    found, fitted = [], []
    for name in sides:
        losses = store.losses(name.model)
        (row,) = store.catalog.sql(_TASK, [name.model]).to_pylist() or [{"task": None}]
        if len(losses.values) and float(np.ptp(losses.values)) == 0.0:
            found.append(Side.constant(losses, row["task"]))
            continue
        fitted.append(session.diagnosis(store, name.model, options.device))
        found.append(Side.of(fitted[-1], row["task"]))
    if not fitted:
        raise BadInputError(f"all losses of {sides[0].model!r}, and all of {sides[1].model!r}, are equal")
    notes = [f"{d.report.model}: {note}" for d in fitted for note in d.report.notes]
    stale = tuple(d.report.model for d in fitted if d.stale)
    notes += [
        f"{m}: images or losses changed since the fit; images added since take no part: fsearch fit" for m in stale
    ]
    if any(name.run_id is not None for name in sides):
        notes.append("runs name models and phrases; their losses are compared as they are now")
    if options.standardise:
        notes.append(
            "standardised: each model's losses less their mean, in its standard deviations; the whole is equal"
        )
    return fitted[0], pair(found[0], found[1], fitted[0], standardise=options.standardise), stale, notes


def _images(base: Diagnosis, moved: Sequence[Moved], model: str, places: ImagePlaces) -> list[tuple[MovedImage, ...]]:
    """The images behind each change; the catalog is asked once for all of them."""
    rows = base.retriever.rows
    ids = [base.image_ids[np.searchsorted(rows, m.rows)] for m in moved]
    described = places.described(model, np.unique(np.concatenate([np.empty(0, np.int64), *ids])))
    return [
        tuple(
            MovedImage(row.key, i, membership, before, after, places.place(row))
            for i, membership, before, after in zip(
                own.tolist(), m.memberships.tolist(), m.before.tolist(), m.after.tolist(), strict=True
            )
            if (row := described.get(i)) is not None
        )
        for own, m in zip(ids, moved, strict=True)
    ]
