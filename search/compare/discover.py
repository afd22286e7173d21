"""Changes that nobody listed: half of the images propose what rose or fell, the other half judges it.

The machinery is that of `fsearch discover`, with the change of an image's loss in the place of its loss; falls are
proposed as rises of the opposite. Verdicts are those of every other change (diagnoser/changes.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from fsearch.diagnoser.changes import Change, FoundChanges, find_changes
from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.discovery.judging import Defined
from fsearch.diagnoser.discovery.propose import Proposal, both_ways, propose
from fsearch.diagnoser.finding import Phrase
from fsearch.diagnoser.pairing import Pair
from fsearch.indexer.embedding.phrases import TextEncoder
from fsearch.indexer.workspace.image_reader import ImageReader
from fsearch.indexer.workspace.store import Store
from fsearch.search.discovery.candidates import Candidates, Searched
from fsearch.search.discovery.columns import Columns
from fsearch.search.discovery.halves import PairHalves
from fsearch.search.discovery.naming import named
from fsearch.search.discovery.result import what_was_done
from fsearch.search.hypotheses import Hypothesis
from fsearch.search.options import CompareOptions, DiscoverOptions, Progress
from fsearch.search.options import named as for_one

_WAYS = ("rises", "falls")


@dataclass(frozen=True, slots=True)
class FoundUnlisted:
    """What was proposed, in the order it was judged in, and what became of it.

    Attributes
    ----------
    changes : of each of `proposals`, by the judging half alone; `order` : the place of each among all proposals.
    notes : what the reader must know.
    """

    changes: FoundChanges
    proposals: list[Proposal]
    order: list[int]
    hypotheses: list[Hypothesis]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A search for changes of what is not `listed`.

    Attributes
    ----------
    before, after : the models; `base` : the diagnosis of one, whose images are all of the pair's.
    pair, asked : all pairs, among which the images of a phrase are looked for, and those that are asked about.
    foreign : whether the encoder was not made for these images.
    """

    store: Store
    before: str
    after: str
    base: Diagnosis
    pair: Pair
    asked: Pair
    encoder: TextEncoder
    foreign: bool
    listed: Sequence[Hypothesis]

    def search(self, whole: Change, options: CompareOptions, progress: Progress | None) -> FoundUnlisted:
        """Look for them. `whole` is the change of all images. Raises NotReadyError where a half is too small."""
        halves = PairHalves.of(self.store, self.base, self.asked, options.seed)
        columns = self._columns()
        searched, ways = [], []
        for way, half in zip(_WAYS, (halves.rises, halves.falls), strict=True):
            found = Candidates(self.store, self.before, self.base, half, self.encoder, self.foreign, columns).search(
                DiscoverOptions(), ImageReader(self.store), progress
            )
            known = {h.text.lower() for h in self.listed}
            fresh = [c for c in found.candidates if c.name.lower() not in known]
            ways.append(propose(half, fresh, options.seed, for_one(progress, f"proposing {way}")))
            searched.append(found)
        proposals = named(both_ways(*ways), self.base, searched[0])
        hypotheses = searched[0].hypotheses | searched[1].hypotheses
        changes, order = self._judged(proposals, halves, whole, options)
        asked = [proposals[i] for i in order]
        counts: Counter[str] = searched[0].counts | searched[1].counts
        done = what_was_done(counts, proposals, len(halves.rises), halves.judges)
        return FoundUnlisted(
            changes,
            asked,
            order,
            [hypotheses.get(p.candidate.name) or Hypothesis(p.candidate.name) for p in asked],
            [done, *_notes(searched)],
        )

    def _columns(self) -> Columns:
        """What both models' files say alike: the columns that are properties of the images."""
        size = len(self.base.retriever.index)
        own, other = (Columns.read(self.store, model, size) for model in (self.before, self.after))
        return own.agreeing(other, self.asked.rows)

    def _judged(
        self, proposals: Sequence[Proposal], halves: PairHalves, whole: Change, options: CompareOptions
    ) -> tuple[FoundChanges, list[int]]:
        """What the judging half finds of the proposals, and which proposal each change is of."""
        dim = self.base.artifact.reference.texts.shape[1]
        told = Defined.of([p.candidate.definition for p in proposals], dim)
        found = find_changes(
            self.base,
            self.pair,
            told.texts,
            [Phrase(proposals[i].candidate.name) for i in told.order],
            sets=told.sets,
            scope=halves.judging,
            whole=whole,
            seed=options.seed,
            correction=options.fdr,
            top=options.top,
        )
        return found, told.order


def _notes(searched: Sequence[Searched]) -> list[str]:
    return list(dict.fromkeys(note for found in searched for note in found.notes))
