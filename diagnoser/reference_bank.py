"""What a fit must know of the text side: the encoder's temperature, its floors, and a bank of reference phrases."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.support import Floors


@dataclass(frozen=True, slots=True)
class Reference:
    """The text side of one encoder.

    Attributes
    ----------
    texts : (r, d) float32 unit embeddings of the reference phrases.
    logit_scale : the encoder's inverse temperature.
    floors : measured with this encoder, or None: then the bank gives them.
    """

    texts: NDArray[np.float32]
    logit_scale: float
    floors: Floors | None = None

    @property
    def mean(self) -> NDArray[np.float64]:
        """(d,) the middle of the text cone."""
        return np.asarray(self.texts.mean(axis=0, dtype=np.float64))


def percentile(values: NDArray[np.float64], bank: NDArray[np.float64]) -> NDArray[np.float64]:
    """(q,) share of `bank`, (r,), below each of `values`, in percent; ties count half.

    Text predictions spread less than image predictions, so a lift is read against what other phrases get.
    """
    below = np.searchsorted(np.sort(bank), values, side="left")
    upto = np.searchsorted(np.sort(bank), values, side="right")
    return 50.0 * (below + upto) / len(bank)
