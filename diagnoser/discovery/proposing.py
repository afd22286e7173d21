"""The half of the images that proposes: how much more images of each candidate lose here, and which candidates say so.

Only these images' losses are looked at, and only as they are: what the ensemble predicts for them was learnt from the
other half too. What is proposed is nothing more than a list; its evidence is thrown away with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.membership import effective_number
from fsearch.diagnoser.verdict import MIN_EVIDENCE

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Rows = NDArray[np.int64]

_MIN_DILUTION = 0.05  # least difference of precision and prevalence that is divided by
_BLOCK = 64  # candidates weighed together
_LEAST_SHARE_LEFT = 1e-6  # of a candidate's spread that others leave: less is another name for them


class Evidence(NamedTuple):
    """What the proposing half says of q candidates, (q,) each.

    Attributes
    ----------
    lift : mean loss of its images less that of the rest, in units of the loss.
    z : the lift in its standard errors, by groups of repeats; see evidence.Design.slope.
    images : expected number of its images; `carried` : of groups that carry the evidence (Kish).
    """

    lift: Floats
    z: Floats
    images: Floats
    carried: Floats


@dataclass(frozen=True, slots=True)
class ProposingHalf:
    """n images of the proposing half, those of one group of repeats beside each other.

    Attributes
    ----------
    embeddings : (n, d) unit float32; `rows` : (n,) their global rows, rising within a group.
    losses : (n,); `starts` : (g,) position of the first image of each group.
    """

    embeddings: Singles
    rows: Rows
    losses: Floats
    starts: Rows

    @classmethod
    def of(cls, embeddings: Singles, rows: Rows, losses: Floats, groups: NDArray[np.integer[Any]]) -> ProposingHalf:
        """From images in any order, with their groups of repeats, (n,)."""
        order = np.argsort(groups, kind="stable")
        _, starts = np.unique(groups[order], return_index=True)
        return cls(embeddings[order], rows[order], losses[order], starts)

    def __len__(self) -> int:
        return len(self.losses)

    def by_group(self, values: Floats) -> Floats:
        """(q, g) sums of `values`, (q, n), over each group of repeats."""
        return values if len(self.starts) == len(self) else np.add.reduceat(values, self.starts, axis=1)

    def evidence(self, weights: NDArray[np.floating[Any]], losses: Floats | None = None) -> Evidence:
        """What `losses`, by default the images' own, say of candidates with `weights`, (q, n)."""
        values = self.losses if losses is None else losses
        centred = values - values.mean()
        found = [np.empty(len(weights)) for _ in Evidence._fields]
        spread_of_all = float(self.by_group(centred[None])[0].var()) * len(self.starts) / len(self)
        for start in range(0, len(weights), _BLOCK):
            part = slice(start, start + _BLOCK)
            block = weights[part].astype(np.float64)
            total, share = block.sum(axis=1).clip(min=1e-300), block.mean(axis=1)
            pull = block - share[:, None]
            spread = total * np.maximum((block**2).sum(axis=1) / total - share, _MIN_DILUTION)
            lift = (pull @ centred) / spread
            own = (self.by_group(pull * (centred - lift[:, None] * pull)) ** 2).sum(axis=1)
            pooled = (pull**2).sum(axis=1) * spread_of_all
            found[0][part] = lift
            found[1][part] = lift * spread / np.sqrt((own + pooled) / 2).clip(min=1e-300)
            found[2][part] = total
            found[3][part] = effective_number(self.by_group(block))
        return Evidence(*found)

    def pursue(
        self, weights: NDArray[np.floating[Any]], eligible: NDArray[np.bool_], most: int, least_z: float
    ) -> tuple[list[int], Floats]:
        """Candidates that each say something the others have not said, the clearest first, and the losses left over.

        Orthogonal matching pursuit (Pati et al., Asilomar 1993): the candidate of the largest z is taken, the losses
        are regressed on all that were taken, and what is left is explained further, until no z reaches `least_z`.

        Parameters
        ----------
        weights : (q, n); `eligible` : (q,) bool, candidates that may be taken.
        most : how many at most.
        """
        left, taken = self.losses - self.losses.mean(), list[int]()
        basis = np.empty((0, len(self)))
        open_ = eligible.copy()
        while len(taken) < most and open_.any():
            some = np.flatnonzero(open_)
            found = self.evidence(weights[some], left)
            usable = np.where(found.carried >= MIN_EVIDENCE, found.z, -np.inf)
            best = int(some[usable.argmax()])
            if usable.max() < least_z:
                break
            open_[best] = False
            own = weights[best].astype(np.float64) - weights[best].mean()
            fresh = own - (basis @ own) @ basis
            if fresh @ fresh < _LEAST_SHARE_LEFT * (own @ own):
                continue
            taken.append(best)
            fresh /= np.sqrt(fresh @ fresh)
            basis = np.vstack([basis, fresh])
            left = left - (fresh @ left) * fresh
        return taken, left
