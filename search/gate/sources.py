"""What the rules of a gate are judged by: answers, changes from a baseline, gaps between siblings, group tables.

Each is asked once, and is what `rank`, `compare` and the losses themselves say: nothing is judged here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.changes import Change
from fsearch.diagnoser.complement import as_asked
from fsearch.diagnoser.diagnosis import MIN_FIT_IMAGES, Diagnosis
from fsearch.diagnoser.group_table import GroupRow, gaps, group_table
from fsearch.diagnoser.sibling_gaps import sibling_gaps
from fsearch.indexer.errors import BadInputError, NotReadyError
from fsearch.indexer.vector_index.near_duplicates import dense
from fsearch.indexer.workspace.image_groups import groups_of
from fsearch.indexer.workspace.store import Store
from fsearch.search.answer import Answer, Ranking
from fsearch.search.compare.question import Named, named
from fsearch.search.compare.result import Comparison
from fsearch.search.gate.rules import Key, key
from fsearch.search.gate.stored_baseline import changes_between
from fsearch.search.hypotheses import Hypothesis
from fsearch.search.options import QueryOptions
from fsearch.search.phrases import read_phrases
from fsearch.search.runs import Runs
from fsearch.search.session import MOST_SLICES, Session

Floats = NDArray[np.float64]
_ERRORS = (
    "SELECT count(*) AS n FROM prediction_errors JOIN images USING (image_id) WHERE model = ? AND status = 'present'"
)
_WITHOUT = (
    "SELECT count(*) AS n FROM images WHERE status = 'present' AND image_id NOT IN "
    "(SELECT image_id FROM losses WHERE model = ?)"
)


_READING = ("encoder", "templates", "calibration")  # of a run: by which it tells what an image shows


class Asks(Protocol):
    """A workspace, as far as a gate asks it."""

    root: Path

    def rank(self, hypotheses: Sequence[Hypothesis], *, model: str, options: QueryOptions, progress: Any) -> Ranking:
        """Rank phrases as a stored run."""

    def compare(self, before: str, after: str, hypotheses: Sequence[Hypothesis], **options: Any) -> Comparison:
        """Compare two models, as a stored comparison."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed from a baseline, called `name`: each phrase it knows and, from a model, the whole."""

    name: str
    phrases: dict[Key, Change]
    whole: Change | None = None


@dataclass(slots=True)
class Sources:
    """What one model is known to do, asked as the rules need it."""

    workspace: Asks
    session: Session
    store: Store
    model: str
    options: QueryOptions
    ranking: Ranking | None = None
    answers: dict[Key, Answer] = field(default_factory=dict)
    hidden: dict[Key, Answer] = field(default_factory=dict)  # what fails apart from the worst failing phrase
    comparisons: list[int] = field(default_factory=list)
    tables: dict[str, tuple[GroupRow, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def rank(self, phrases: Sequence[Hypothesis], progress: Any) -> None:
        """Ask the phrases whose lifts are looked at, together, as a stored run."""
        self.diagnosis()
        self.ranking = self.workspace.rank(phrases, model=self.model, options=self.options, progress=progress)
        self.answers, self.hidden = ({key(a): a for a in some} for some in (self.ranking.answers, self.ranking.hidden))
        self.notes += self.ranking.notes

    def diagnosis(self) -> Diagnosis:
        """What the images asked about are known to lose. Raises NotReadyError where the fit is not of these losses."""
        scope = self.session.scope(self.workspace.root, self.model, self.options)
        (found,) = self.session.slices(scope, self.options)[0].values()
        if (found.whole or found).stale:
            raise _stale(self.model)
        return found

    def errors(self) -> int:
        """How many images the model gave no loss for, or none that counts; others without a loss are noted."""
        failed, without = (
            int(self.store.catalog.sql(query, [self.model]).to_pylist()[0]["n"]) for query in (_ERRORS, _WITHOUT)
        )
        if without > failed:
            self.notes.append(f"{without - failed:,} images have no loss of {self.model} and take no part")
        return failed

    def changes(self, baseline: str, phrases: Sequence[Hypothesis]) -> Changes:
        """What changed from a baseline: a model, or a stored run. Raises BadInputError where it is no other."""
        other = named(self.store, baseline)
        if other.model == self.model:
            return self._changes_from_run(other, phrases)
        options = {"where": self.options.where, "seed": self.options.seed, "device": self.options.device}
        found = self.workspace.compare(baseline, self.model, phrases, **options)
        if found.stale:
            raise _stale(found.stale[0])
        self.comparisons.append(found.comparison_id)
        self.notes += found.notes
        known: dict[Key, Change] = {key(a): a for a in found.answers}
        return Changes(other.model, known, found.whole)

    def _changes_from_run(self, other: Named, phrases: Sequence[Hypothesis]) -> Changes:
        """What changed since a stored run of this very model, whose losses then are gone."""
        if other.run_id is None:
            raise BadInputError(f"model {self.model!r} would be its own baseline, and never be worse")
        runs = Runs(lambda: self.store)
        settings = runs.show(other.run_id).settings
        if settings["condition"] != self.options.where:
            raise BadInputError(f"run {other.run_id} is of other images: it was made with another --where")
        own = {} if self.ranking is None else runs.show(self.ranking.run_id).settings
        if other_reading := [name for name in _READING if name in own and settings[name] != own[name]]:
            raise BadInputError(
                f"run {other.run_id} read the images another way ({', '.join(other_reading)}); rank its phrases again"
            )
        then = {
            key(a): a
            for a in runs.ranking(other.run_id).answers
            if a.within is None and a.min_effect is not None and a.shown is not None  # stored by an older fsearch
        }
        asked = [k for k in map(key, phrases) if k in then and k in self.answers]
        diagnosis = self.diagnosis()
        images, repeated = len(diagnosis), (int(diagnosis.groups.max()) + 1) / len(diagnosis)
        counts = repeated * (settings["images"] or images), repeated * images
        found = changes_between([(then[k], self.answers[k]) for k in asked], counts, self.options.fdr)
        self.notes.append(
            f"run {other.run_id} is of the same model, whose losses then are gone: answers are compared, not pairs of "
            "losses, so only large changes can be told"
        )
        return Changes(f"run {other.run_id}", dict(zip(asked, found, strict=True)))

    def gaps(self, siblings: Sequence[Hypothesis]) -> tuple[Floats, Floats]:
        """(g, g) differences in mean loss between phrases, and their errors."""
        diagnosis = self.diagnosis()
        encoder = self.session.text_encoder(self.store, self.options.device)
        read = read_phrases(encoder, siblings, self.store.templates)
        whole = None if diagnosis.whole is None else diagnosis.whole.retriever.find(read.texts)
        found = diagnosis.retriever.find(read.texts, whole)
        return sibling_gaps(diagnosis, as_asked(found, read.phrases, len(diagnosis), diagnosis.artifact.reference))

    def table(self, column: str) -> tuple[tuple[GroupRow, ...], tuple[Floats, Floats]]:
        """The group table of a column, and the gaps between its values. Raises BadInputError."""
        losses = self.store.losses(self.model)
        kept = np.ones(len(losses.rows), bool)
        if self.options.where is not None:
            kept = np.isin(losses.rows, self.store.rows_where(self.model, self.options.where))
        rows, values = losses.rows[kept], losses.values[kept]
        if len(rows) < MIN_FIT_IMAGES:
            raise BadInputError(
                f"only {len(rows)} images with a loss are asked about (at least {MIN_FIT_IMAGES} needed)"
            )
        by_value = {value: np.isin(rows, own) for value, own in self.store.rows_by(self.model, column).items()}
        members = {value: by_value[value] for value in sorted(by_value, key=_place) if by_value[value].any()}
        if not 1 <= len(members) <= MOST_SLICES:
            found = f"{len(members):,} values; a group table is of 1 to {MOST_SLICES}"
            raise BadInputError(f"by {column}: {found}: put them into fewer groups")
        without = len(rows) - int(np.any(list(members.values()), axis=0).sum())
        if without:
            self.notes.append(f"{without:,} images have no {column} and are in no group")
        groups = dense(groups_of(self.store, rows))
        self.tables[column] = group_table(values, groups, members)
        return self.tables[column], gaps(values, groups, members)


def _stale(model: str) -> NotReadyError:
    return NotReadyError(
        f"images or losses changed since the fit of model {model!r}, which does not know of it; run: fsearch fit"
    )


def _place(value: str) -> tuple[bool, float, str]:
    """Where a value of a column stands in its table: numbers by size, then texts."""
    try:
        number = float(value)
    except ValueError:
        number = np.inf
    return (False, number, value) if np.isfinite(number) else (True, 0.0, value)
