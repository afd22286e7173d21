"""False discoveries: p-values of phrases that are tested together become q-values, with one vote for each concept.

Under Benjamini and Hochberg (1995) every discovery allows another p-value to be larger. Sixty paraphrases of one
failure would then make room for false alarms, which they do not if they have one vote. A concept, the phrases that are
shown by the same images (shared_evidence.py), is found by Simes' p-value of its phrases (Biometrika 1986); of those
found, a phrase is found at the level that its concept was (Benjamini and Bogomolov, JRSS B 2014). That keeps the share
of false phrases, on average over the concepts found, at the level. Where each phrase is a concept of its own, it is
plain Benjamini-Hochberg.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.choices import Correction

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Rows = NDArray[np.int64]


def q_values(p: Floats, correction: Correction = "bh") -> Floats:
    """Adjusted p-values of one run: "bh", Benjamini and Hochberg (1995), or "by", Benjamini and Yekutieli (2001).

    The first holds where p-values depend on each other positively, as those of paraphrases do; the second under any
    dependence, and is stricter by a factor of about log(number of p-values).
    """
    n = len(p)
    order, places = np.argsort(p), np.arange(1, n + 1)
    least = p[order] * (n / places) * (np.sum(1 / places) if correction == "by" else 1.0)
    found = np.empty(n, np.float64)
    found[order] = np.minimum.accumulate(least[::-1])[::-1].clip(max=1.0)
    return found


def concept_q_values(p: Floats, concepts: Rows, tested: Bools, correction: Correction = "bh") -> Floats:
    """(q,) q-values of `p`, (q,), with one vote for each of the `concepts`, (q,), of the phrases that are `tested`.

    A phrase that is not tested has no vote; its q-value is what it would be if it were asked as well. Equal p-values
    within a concept are those of one phrase: a phrase that is repeated changes nothing.
    """
    found, rows = p.copy(), np.flatnonzero(tested)
    rows = rows[np.argsort(concepts[rows], kind="stable")]
    members = [some for some in np.split(rows, np.flatnonzero(np.diff(concepts[rows])) + 1) if len(some)]
    for some in members:
        if len(some) > 1:
            found[some] = _distinct_q_values(p[some], correction)
    best = np.sort(np.array([found[some].min() for some in members]))
    found[rows] = _selected(found[rows], best, correction)
    found[~tested] = _joining(p[~tested], best, correction)
    return found


def directed_q_values(
    p: Floats, values: Floats, concepts: Rows, tested: Bools, correction: Correction = "bh"
) -> Floats:
    """(q,) q-values of two-sided `p`, (q,), each among what has the sign of its own value; `values` are (q,).

    Rises are one family and falls another, each of one-sided p-values of all phrases: the share of false ones among
    what is found to rise is at the level, and so it is among what falls. In one family of both, many true rises would
    make room for false falls. Two one-sided tests of one phrase never both find, since p / 2 and 1 - p / 2 sum to one.
    """
    rise, fall = np.where(values > 0, [p / 2, 1 - p / 2], [1 - p / 2, p / 2])
    up, down = (concept_q_values(one, concepts, tested, correction) for one in (rise, fall))
    return np.asarray(np.where(values > 0, up, down), np.float64)


def _distinct_q_values(p: Floats, correction: Correction) -> Floats:
    """(n,) q-values of `p`, (n,), among its distinct values; their least is Simes' p-value."""
    values, where = np.unique(p, return_inverse=True)
    return q_values(values, correction)[where]


def _selected(own: Floats, best: Floats, correction: Correction) -> Floats:
    """(n,) least levels at which phrases are found whose adjusted p-values within their concept are `own`, (n,).

    `best`, (m,) rising, are the p-values of all concepts. At a level that finds r of them, a phrase is found if its own
    is at most r / m of the level; the least such level lies where the levels that find r concepts, which rise with r,
    cross m own / r, which falls.
    """
    m = len(best)
    level, r = q_values(best, correction), np.arange(1, m + 1)
    asked = own * _penalty(m, correction)
    at = np.searchsorted(level * r, asked)
    low = np.where(at > 0, asked / np.maximum(at, 1), np.inf)
    high = np.where(at < m, level[np.minimum(at, m - 1)], np.inf)
    return np.minimum(np.minimum(low, high), 1.0)


def _joining(p: Floats, best: Floats, correction: Correction) -> Floats:
    """(n,) q-values that phrases with `p`, (n,), would have, each alone beside the concepts with p-values `best`."""
    m = len(best) + 1
    penalty = _penalty(m, correction)
    below = np.searchsorted(best, p, side="right")
    later = np.append(best * penalty / np.arange(2, m + 1), np.inf)
    later = np.minimum.accumulate(later[::-1])[::-1]
    return np.asarray(np.minimum(np.minimum(p * penalty / (below + 1), later[below]), 1.0), np.float64)


def _penalty(m: int, correction: Correction) -> float:
    """m, times 1 + 1/2 + ... + 1/m under any dependence."""
    return m * (float((1 / np.arange(1, m + 1)).sum()) if correction == "by" else 1.0)
