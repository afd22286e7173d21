"""The chance that each of some images shows a phrase, as an answer reads both: a negation by its positive phrase."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.retrieval import Retriever
from fsearch.indexer.errors import NotReadyError
from fsearch.indexer.workspace.calibration import in_force
from fsearch.indexer.workspace.store import Store
from fsearch.search.hypotheses import Hypothesis
from fsearch.search.phrases import as_read, embed
from fsearch.search.session import Session


@dataclass
class Chances:
    """Of the images at (n,) rising global `rows` of a workspace, as the fit of `model` reads them. Safe in threads."""

    store: Store
    rows: NDArray[np.int64]
    model: str
    _session: Session = field(default_factory=Session)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, phrase: Hypothesis) -> NDArray[np.float64]:
        """(n,) by image; 0 for images that a large set does not look at."""
        read = as_read(phrase)
        with self._lock:
            found = self._retriever.find(self._embedded([read]))
        shows = found.memberships[0]
        chances = np.zeros(len(self.rows))
        chances[found.neighbours[0]] = shows if read is phrase else 1 - shows
        return chances

    def embedded(self, phrases: Sequence[Hypothesis]) -> NDArray[np.float32]:
        """(q, d) embeddings of phrases as they stand."""
        with self._lock:
            return self._embedded(phrases)

    def _embedded(self, phrases: Sequence[Hypothesis]) -> NDArray[np.float32]:
        return embed(self._session.text_encoder(self.store), phrases, self.store.templates)

    @cached_property
    def _retriever(self) -> Retriever:
        learnt = in_force(self.store.calibration, self.store.encoder, self.store.templates)
        scale = self._session.text_encoder(self.store).logit_scale if learnt is None else learnt.logit_scale
        try:
            generic = self._session.fitted(self.store, self.model).reference.generic
        except NotReadyError:  # nothing was answered yet that it would have to agree with
            generic = None
        return Retriever(self.store.index(), self.rows, scale, generic=generic)
