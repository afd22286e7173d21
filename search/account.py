"""The account of a fit: every question that `query` asked of it, in order, and the level at which each was tested.

Ten questions asked one at a time are as many chances of a false alarm as ten asked together, so they share one error
budget (diagnoser/online.py). A question that was asked before has its place, and does not count again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from fsearch.indexer.workspace.store import Store

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NOT_KEPT = (
    "the account of questions is not kept, since this workspace cannot be written now: the next question is tested as "
    "if these had not been asked"
)
_PATIENCE = 5.0  # seconds that a question may wait for its place in the account
_POLL = 0.01
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
        self.kept = True

    def read(self) -> None:
        """Read what was asked before."""
        with self._store.catalog.read() as con:
            self._asked = self._stored(con)

    def ask(self, questions: Sequence[Question], p: Floats, tested: Bools, correction: Correction) -> Placed:
        """Enter those of the `questions` that are `tested`, with their p-values `p`, (q,), and test them.

        Where the workspace cannot be written, they are tested as if they had been entered, and `kept` is false.
        """
        new = {q: float(v) for q, v, t in zip(questions, p, tested, strict=True) if t and q not in self._asked}
        if new and not self._enter(new):
            self.kept = False
            self._asked |= new
        places = {question: i for i, question in enumerate(self._asked)}
        at = np.array([places[q] if t else len(places) for q, t in zip(questions, tested, strict=True)], np.int64)
        level = levels(np.array(list(self._asked.values()), np.float64), correction)[at]
        return Placed(np.where(tested, at + 1, 0), level, np.minimum(1.0, p * Q_LEVEL / level))

    def turns(self, questions: Sequence[Question], correction: Correction) -> Turns:
        """What tests `questions`, in this order, once their p-values are known."""
        return Turns(self, questions, correction)

    def _stored(self, con: Connection) -> dict[Question, float]:
        rows = con.execute(_ASKED, [self._model, self._fitted_at(con)]).fetchall()
        return {Question(*question): p for *question, p in rows}

    def _fitted_at(self, con: Connection) -> datetime:
        """When the present fit was made."""
        rows = con.execute("SELECT fitted_at FROM models WHERE model = ?", [self._model]).fetchall()
        return rows[0][0] if rows else datetime.min  # a fit whose row is gone

    def _enter(self, new: dict[Question, float]) -> bool:
        """Whether the questions were written, after those that others asked meanwhile."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                with self._store.catalog.write(_PATIENCE / 4) as con:
                    before = self._store.layout.generation()
                    self._asked = self._stored(con)
                    later = {q: p for q, p in new.items() if q not in self._asked}
                    self._write(con, later)
                    self._asked |= later
            except BlockingIOError:  # another process opens it at this moment
                if time.monotonic() > deadline:
                    return False
                time.sleep(_POLL)
                continue
            except (WorkspaceError, OSError):
                return False
            self._on_kept(before)
            return True

    def _write(self, con: Connection, questions: dict[Question, float]) -> None:
        fit = self._model, self._fitted_at(con)
        rows = [
            (*fit, number, *question, p, utc_now())
            for number, (question, p) in enumerate(questions.items(), start=len(self._asked) + 1)
        ]
        if rows:
            con.executemany(_ENTER, rows)


@dataclass(slots=True)
class Turns:
    """Questions that are tested when it is called; `placed` says where they stand from then on."""

    account: Account
    questions: Sequence[Question]
    correction: Correction
    placed: Placed | None = None

    def __call__(self, p: Floats, tested: Bools) -> Floats:
        """The q-values of the questions, whose p-values are `p`, (q,)."""
        self.placed = self.account.ask(self.questions, p, tested, self.correction)
        return self.placed.q_values
