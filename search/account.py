"""The account of a fit: every question that `query` asked of it, in order, and the level at which each was tested.

Ten questions asked one at a time are as many chances of a false alarm as ten asked together, so they share one error
budget (diagnoser/online.py). A question that was asked before has its place, and does not count again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.choices import Correction
from fsearch.diagnoser.online import levels
from fsearch.diagnoser.verdict import Q_LEVEL
from fsearch.indexer.errors import WorkspaceError
from fsearch.indexer.storage.catalog import Connection
from fsearch.indexer.storage.rows import utc_now
from fsearch.indexer.workspace import text_vectors
from fsearch.indexer.workspace.store import Store

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NOT_KEPT = (
    "the account of questions is not kept, since this workspace cannot be written now: the next question is tested as "
    "if these had not been asked"
)
_PATIENCE = 1.25  # seconds that a question waits for who has the catalog open, once it is its turn to open it,
_TURN = 5.0  # and seconds that it waits for its turn
_ASKED = (
    "SELECT hypothesis, prompts, condition, within, p_value FROM questions WHERE model = ? AND fitted_at = ? "
    "ORDER BY number"
)
_ENTER = (
    "INSERT INTO questions (model, fitted_at, number, hypothesis, prompts, condition, within, p_value, asked_at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class Question(NamedTuple):
    """What makes a question the same as another: the phrase, what the encoder reads, and the images it is about."""

    hypothesis: str
    prompts: str
    condition: str
    within: str

    @classmethod
    def of(cls, text: str, prompts: Sequence[str], where: str | None, within: str | None) -> Question:
        """A phrase that was asked, in the templates that it was read in."""
        return cls(text.lower(), json.dumps([p.lower() for p in prompts]), where or "", within or "")


@dataclass(frozen=True, slots=True)
class Placed:
    """Where questions stand in the account: (q,) each.

    Attributes
    ----------
    numbers : their places, from 1; 0 for what is no test.
    levels : at which they are tested; what is no test would have that of the next question.
    q_values : p-values over these levels, times Q_LEVEL: at most Q_LEVEL where p is at most its level.
    """

    numbers: NDArray[np.int64]
    levels: Floats
    q_values: Floats


class Account:
    """The account of the present fit of `model`.

    `kept` is whether all that was asked is in the catalog; `on_kept` is told the generation that it had before a write.
    """

    def __init__(self, store: Store, model: str, on_kept: Callable[[tuple[int, ...]], None]) -> None:
        self._store, self._model, self._on_kept = store, model, on_kept
        self._asked: dict[Question, float] = {}
        self._embedded: dict[str, NDArray[np.float32]] = {}
        self.kept = True

    def read(self) -> None:
        """Read what was asked before."""
        with self._store.catalog.read() as con:
            self._asked = self._stored(con)

    def embedded(self, vectors: Mapping[str, NDArray[np.float32]]) -> None:
        """Take embeddings of phrases, (dim,) each, to be kept when the questions are entered."""
        self._embedded |= vectors

    def new(self, questions: Sequence[Question], p: Floats, tested: Bools) -> dict[Question, float]:
        """The p-values of those of `questions` that are `tested` and were not asked before; `p` : (q,)."""
        return {q: float(v) for q, v, t in zip(questions, p, tested, strict=True) if t and q not in self._asked}

    def place(self, questions: Sequence[Question], p: Floats, tested: Bools, correction: Correction) -> Placed:
        """Where `questions` stand, the new ones as they will be entered if nobody asks meanwhile."""
        asked = self._asked | self.new(questions, p, tested)
        places = {question: i for i, question in enumerate(asked)}
        at = np.array([places[q] if t else len(places) for q, t in zip(questions, tested, strict=True)], np.int64)
        level = levels(np.array(list(asked.values()), np.float64), correction)[at]
        return Placed(np.where(tested, at + 1, 0), level, np.minimum(1.0, p * Q_LEVEL / level))

    def enter(self, new: dict[Question, float], look: Callable[[Connection], None]) -> bool:
        """Enter `new` questions after all others, and keep what was `embedded`, by one write in which `look` may read.

        Nothing is opened where there is nothing to write. Where it cannot be, they count for this answer all the same,
        and `kept` is false if there are any. Returns whether others have asked since the account was read, so that the
        questions have other places than they were told.
        """
        if not new and not self._embedded:
            return False
        before = self._asked
        self._asked = before | new
        patience, turn = (_PATIENCE, _TURN) if new else (text_vectors.PATIENCE, 0.0)
        try:
            with self._store.catalog.write(patience, turn) as con:
                generation = self._store.layout.generation()
                stored = self._stored(con)
                later = {q: p for q, p in new.items() if q not in stored}
                self._write(con, later, len(stored) + 1)
                text_vectors.insert_texts(con, self._store, self._embedded)
                look(con)
        except (WorkspaceError, OSError):
            self.kept = not new
            return False
        self._on_kept(generation)
        self._asked = stored | later
        return list(stored.items()) != list(before.items())

    def _stored(self, con: Connection) -> dict[Question, float]:
        rows = con.execute(_ASKED, [self._model, self._fitted_at(con)]).fetchall()
        return {Question(*question): p for *question, p in rows}

    def _fitted_at(self, con: Connection) -> datetime:
        """When the present fit was made."""
        rows = con.execute("SELECT fitted_at FROM models WHERE model = ?", [self._model]).fetchall()
        return rows[0][0] if rows else datetime.min  # a fit whose row is gone

    def _write(self, con: Connection, questions: dict[Question, float], first: int) -> None:
        fit = self._model, self._fitted_at(con)
        rows = [
            (*fit, number, *question, p, utc_now()) for number, (question, p) in enumerate(questions.items(), first)
        ]
        if rows:
            con.executemany(_ENTER, rows)


@dataclass(slots=True)
class Asked:
    """Questions that are asked together: called with their p-values it tests them, and `enter` puts them on record.

    `placed` says where they stand, and `new` are those that were not asked before, once it was called.
    """

    account: Account
    questions: Sequence[Question]
    correction: Correction
    placed: Placed | None = None
    new: dict[Question, float] = field(default_factory=dict)

    def __call__(self, p: Floats, tested: Bools) -> Floats:
        """The q-values of the questions, whose p-values are `p`, (q,)."""
        self.new = self.account.new(self.questions, p, tested)
        self.placed = self.account.place(self.questions, p, tested, self.correction)
        return self.placed.q_values

    def enter(self, look: Callable[[Connection], None]) -> bool:
        """Whether the questions have other places than they were told; see `Account.enter`."""
        return self.account.enter(self.new, look)
