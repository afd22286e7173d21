"""Questions asked one after the other: the level at which each is tested, so that few discoveries are false.

Nobody knows how many questions are still to come, so they share an error budget that never ends. LOND (levels based on
number of discoveries: Javanmard and Montanari, Annals of Statistics 2018) gives question i

    level_i = LEVEL * share_i * (discoveries before it + 1),    share_i falling with i and summing to one,

which keeps the false discovery rate below LEVEL after every question, where p-values are independent or depend on each
other positively (Zrnic, Ramdas and Jordan, JMLR 2021); shares divided by 1 + 1/2 + ... + 1/i keep it under any
dependence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.choices import Correction
from fsearch.diagnoser.verdict import Q_LEVEL

Floats = NDArray[np.float64]

_POWER = 1.6  # shares fall as i ** -1.6: the first questions, which most users end with, get most
_TOTAL = 2.2857656656801293  # the sum of i ** -1.6 over all i: Riemann's zeta of 1.6


def shares(count: int, correction: Correction = "bh") -> Floats:
    """(count,) share of the error budget of each question; "by": under any dependence."""
    i = np.arange(1, count + 1, dtype=np.float64)
    share = i**-_POWER / _TOTAL
    return share / np.cumsum(1 / i) if correction == "by" else share


def levels(p: Floats, correction: Correction = "bh") -> Floats:
    """(n + 1,) level of each of n questions with p-values `p`, (n,), in the order asked, and of the next one."""
    found = Q_LEVEL * shares(len(p) + 1, correction)
    discoveries = 0
    for i, value in enumerate(p):
        found[i] *= discoveries + 1
        discoveries += value <= found[i]
    found[-1] *= discoveries + 1
    return found
