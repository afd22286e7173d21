"""The work of `fsearch discover`: split the images, let one half propose and the other judge, store what was found."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from fsearch.diagnoser.bridge import DEFAULT
from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.discovery.judging import judging_slice
from fsearch.diagnoser.discovery.propose import Candidate, Proposal, propose
from fsearch.diagnoser.estimate import PERMUTATIONS
from fsearch.diagnoser.finding import Found
from fsearch.diagnoser.findings import judged
from fsearch.diagnoser.slice import Asking
from fsearch.indexer.errors import WorkspaceError
from fsearch.indexer.workspace.image_reader import ImageReader
from fsearch.search.answer import ranked as by_strength
from fsearch.search.discovery.candidates import Candidates, Searched
from fsearch.search.discovery.columns import Columns
from fsearch.search.discovery.halves import Halves
from fsearch.search.discovery.naming import named
from fsearch.search.discovery.result import Discovery, arranged, what_was_done
from fsearch.search.discovery.stored import of_set, record_discovery
from fsearch.search.hypotheses import Hypothesis
from fsearch.search.options import DiscoverOptions, Progress, QueryOptions
from fsearch.search.options import named as for_one
from fsearch.search.query import dropped, notes_of, with_images
from fsearch.search.run import Run
from fsearch.search.session import Session
from fsearch.search.web.overview import DISCOVER


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
    columns = Columns.read(store, scope.model, len(halves.whole.retriever.index), options.columns)
    candidates = Candidates(store, scope.model, halves.whole, halves.proposing, encoder, foreign, columns)
    searched = candidates.search(options, images, progress)
    proposals = propose(halves.proposing, searched.candidates, options.seed, for_one(progress, "proposing"))
    proposals = named(proposals, halves.whole, searched)
    found, order = _judged(halves.judging, proposals, asking)
    hypotheses = [_hypothesis(proposals[i].candidate, searched) for i in order]
    answers = with_images(found, hypotheses, partial(images.described, scope.model), images.place) if found else ()
    ranked = arranged(answers, [proposals[i] for i in order], order, by_strength)
    fit = session.fitted(store, scope.model)
    run = Run.of(store, fit, len(halves.judging), DISCOVER, asking)
    run_id, created, before = record_discovery(store, run, options, ranked, partial(of_set, halves.whole))
    session.kept(before, store)
    halves_held = len(halves.proposing), len(halves.judging)
    notes = (what_was_done(searched.counts, proposals, *halves_held), *searched.notes)
    notes += (*notes_of(halves.whole, encoder, (), False), *dropped(store))
    return Discovery(run_id, scope.model, tuple(r.answer for r in ranked), notes, created, options.fdr)


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
