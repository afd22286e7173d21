"""The halves of a workspace's images: which proposes and which judges is told by what each image is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.diagnosis import MIN_FIT_IMAGES, Diagnosis
from fsearch.diagnoser.discovery.halves import proposing, require_both
from fsearch.diagnoser.discovery.proposing import ProposingHalf
from fsearch.diagnoser.pairing import Pair
from fsearch.indexer.workspace.store import Store

Rows = NDArray[np.int64]

MOST_PROPOSING = 32_768  # images: more would propose no better
_CONTENT = "coalesce(sha256, source || ' ' || key)"
_IDENTITIES = f"SELECT image_id, {_CONTENT} FROM images WHERE status = 'present'"
_OF_ROWS = (
    f"SELECT embedding_row, arg_min({_CONTENT}, image_id) FROM images WHERE status = 'present' "
    "AND embedding_row IS NOT NULL GROUP BY embedding_row"
)


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
        whole, rows = asked.whole or asked, asked.retriever.rows
        half = half_of(whole, rows[proposes], asked.losses[proposes], asked.groups[proposes], seed)
        return cls(whole, half, whole.within(rows[~proposes]))


@dataclass(frozen=True, slots=True)
class PairHalves:
    """The pairs of two models: the half that proposes, by its changes, and the global rows that judge.

    Attributes
    ----------
    rises : the proposing half, whose losses are the changes; `falls` : the same the other way round.
    judging : global rows of the images with a loss of either model that are of the other half.
    judges : how many of these have both losses.
    """

    rises: ProposingHalf
    falls: ProposingHalf
    judging: Rows
    judges: int

    @classmethod
    def of(cls, store: Store, base: Diagnosis, pair: Pair, seed: int) -> PairHalves:
        """The halves of `pair`, whose images are some of `base`. Raises NotReadyError where one is too small."""
        proposes = _proposing_rows(store, base, pair.either)
        own = np.isin(pair.rows, proposes)
        require_both(pair.groups, own, MIN_FIT_IMAGES)
        rises = half_of(base, pair.rows[own], pair.change[own], pair.groups[own], seed)
        falls = ProposingHalf(rises.embeddings, rises.rows, -rises.losses, rises.starts)
        return cls(rises, falls, pair.either[~np.isin(pair.either, proposes)], int((~own).sum()))


def half_of(
    whole: Diagnosis, rows: Rows, losses: NDArray[np.float64], groups: NDArray[np.integer], seed: int
) -> ProposingHalf:
    """The half that proposes, of the images at global `rows`, (n,), which are some of `whole`; whole groups of them.

    Of more than MOST_PROPOSING images, those of some groups, drawn by `seed`, take part.
    """
    some = np.arange(len(rows))
    if len(some) > MOST_PROPOSING:
        order = np.random.default_rng([seed, 47]).permutation(int(groups.max()) + 1)
        some = np.argsort(order[groups], kind="stable")[:MOST_PROPOSING]
    embeddings = whole.retriever.embeddings(np.searchsorted(whole.retriever.rows, rows[some]))
    return ProposingHalf.of(embeddings, rows[some], losses[some], groups[some])


def _identities(store: Store, asked: Diagnosis) -> list[str]:
    """What tells each image's half: the content of the image of its group of repeats that was indexed first."""
    with store.catalog.read() as con:
        known = dict(con.execute(_IDENTITIES).fetchall())
    first = np.full(int(asked.groups.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first, asked.groups, asked.image_ids)
    return [known[i] for i in first[asked.groups].tolist()]


def _proposing_rows(store: Store, base: Diagnosis, rows: Rows) -> Rows:
    """Those of the global `rows` that propose; images that `base` does not have stand for themselves."""
    identity = dict(zip(base.retriever.rows.tolist(), _identities(store, base), strict=True))
    if len(np.setdiff1d(rows, base.retriever.rows)):
        with store.catalog.read() as con:
            identity = dict(con.execute(_OF_ROWS).fetchall()) | identity
    return rows[proposing([identity[row] for row in rows.tolist()])]
