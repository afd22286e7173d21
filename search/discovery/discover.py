"""The work of `fsearch discover`: split the images, let one half propose and the other judge, store what was found."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.bridge import DEFAULT
from fsearch.diagnoser.diagnosis import MIN_FIT_IMAGES, Diagnosis
from fsearch.diagnoser.discovery.halves import proposing, require_both
from fsearch.diagnoser.discovery.judging import judging_slice, weights_in
from fsearch.diagnoser.discovery.propose import Candidate, Origin, Proposal, propose
from fsearch.diagnoser.discovery.proposing import ProposingHalf
from fsearch.diagnoser.estimate import PERMUTATIONS
from fsearch.diagnoser.finding import Found
from fsearch.diagnoser.findings import judged
from fsearch.diagnoser.slice import Asking
from fsearch.indexer.errors import WorkspaceError
from fsearch.indexer.workspace.image_reader import ImageReader
from fsearch.indexer.workspace.store import Store
from fsearch.search.discovery.candidates import Candidates, Searched
from fsearch.search.discovery.naming import named
from fsearch.search.discovery.result import Discovery, arranged
from fsearch.search.discovery.stored import record_discovery
from fsearch.search.hypotheses import Hypothesis
from fsearch.search.options import DiscoverOptions, Progress, QueryOptions
from fsearch.search.options import named as for_one
from fsearch.search.query import dropped, notes_of, with_images
from fsearch.search.run import Run
from fsearch.search.session import Session
from fsearch.search.web.overview import DISCOVER

MOST_PROPOSING = 32_768  # images: more would propose no better
_IDENTITIES = "SELECT image_id, coalesce(sha256, source || ' ' || key) AS identity FROM images WHERE status = 'present'"


@dataclass(frozen=True, slots=True)
class Halves:
    """The images of a discovery: all of them, the half that proposes, and the half that judges."""

    whole: Diagnosis
    proposing: ProposingHalf
    judging: Diagnosis

    @classmethod
    def of(cls, store: Store, asked: Diagnosis, seed: int) -> Halves:
        """The halves of the images of `asked`. Raises NotReadyError where one is too small."""
        proposes = proposing(_identities(store, asked))
        require_both(asked.groups, proposes, MIN_FIT_IMAGES)
        whole = asked.whole or asked
        some = np.flatnonzero(proposes)
        if len(some) > MOST_PROPOSING:
            order = np.random.default_rng([seed, 47]).permutation(int(asked.groups.max()) + 1)
            some = some[np.argsort(order[asked.groups[some]], kind="stable")[:MOST_PROPOSING]]
        rows = asked.retriever.rows
        half = ProposingHalf.of(asked.retriever.embeddings(some), rows[some], asked.losses[some], asked.groups[some])
        return cls(whole, half, whole.within(rows[~proposes]))


def discover(
    root: Path, session: Session, model: str | None, options: DiscoverOptions, progress: Progress | None = None
) -> Discovery:
    """Look for failures that nobody listed, and store the run. Raises FsearchError where it cannot be."""
    asking = QueryOptions(
        top=options.top, where=options.where, fdr=options.fdr, seed=options.seed, device=options.device
    )
    store = session.store(root)
    if not os.access(store.layout.catalog, os.W_OK):
        raise WorkspaceError(f"{store.layout.catalog} cannot be written, so no discovery can be stored")
    scope = session.scope(root, model, asking)
    slices, _ = session.slices(scope, asking)
    halves = Halves.of(store, slices[None], options.seed)
    encoder, images = session.text_encoder(store, options.device), ImageReader(store)
    foreign = scope.foreign(encoder.only_side)
    candidates = Candidates(store, scope.model, halves.whole, halves.proposing, encoder, foreign)
    searched = candidates.search(options, images, progress)
    proposals = propose(halves.proposing, searched.candidates, options.seed, for_one(progress, "proposing"))
    proposals = named(proposals, halves.whole, searched)
    found, order = _judged(halves.judging, proposals, asking)
    hypotheses = [_hypothesis(proposals[i].candidate, searched) for i in order]
    answers = with_images(found, hypotheses, partial(images.described, scope.model), images.place) if found else ()
    ranked = arranged(answers, [proposals[i] for i in order], order)
    fit = session.fitted(store, scope.model)
    run = Run.of(store, fit, len(halves.judging), DISCOVER, asking)
    run_id, created, before = record_discovery(store, run, options, ranked, partial(_of_set, halves.whole))
    session.kept(before, store)
    notes = (_what_was_done(halves, searched, proposals), *searched.notes)
    notes += (*notes_of(halves.whole, encoder, (), False), *dropped(store))
    return Discovery(run_id, scope.model, tuple(r.answer for r in ranked), notes, created, options.fdr)


def _identities(store: Store, asked: Diagnosis) -> list[str]:
    """What tells each image's half: the content of the image of its group of repeats that was indexed first."""
    with store.catalog.read() as con:
        known = dict(con.execute(_IDENTITIES).fetchall())
    first = np.full(int(asked.groups.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, asked.groups, asked.image_ids)
    return [known[i] for i in first[asked.groups].tolist()]


def _judged(judging: Diagnosis, proposals: list[Proposal], options: QueryOptions) -> tuple[list[Found], list[int]]:
    """What the judging half finds of the proposals, and which proposal each finding is of."""
    if not proposals:
        return [], []
    asking = Asking(DEFAULT, PERMUTATIONS, options.seed, False, options.top)
    definitions, names = zip(*((p.candidate.definition, p.candidate.name) for p in proposals), strict=True)
    part, order = judging_slice(judging, definitions, names, asking)
    return judged([part], options.fdr), order


def _hypothesis(candidate: Candidate, searched: Searched) -> Hypothesis:
    return searched.hypotheses.get(candidate.name) or Hypothesis(candidate.name)


def _of_set(whole: Diagnosis, proposal: Proposal) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """Ids and chances of the images of a region or conjunction; None for what words or a column tell."""
    if proposal.candidate.origin not in (Origin.REGION, Origin.CONJUNCTION):
        return None
    chances = weights_in(whole.retriever, proposal.candidate.definition)
    some = np.flatnonzero(chances >= 0.5)
    return whole.image_ids[some], chances[some]


def _what_was_done(halves: Halves, searched: Searched, proposals: list[Proposal]) -> str:
    concepts = len({p.concept for p in proposals})
    tried = ", ".join(f"{n:,} {what}" for what, n in searched.counts.items() if n)
    return (
        f"tried {tried or 'regions alone'}; {len(halves.proposing):,} images proposed {len(proposals):,} hypotheses in "
        f"{concepts:,} concepts, and {len(halves.judging):,} other images judged them"
    )
