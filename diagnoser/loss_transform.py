"""How losses are put before the regressors, chosen from the losses themselves and stated with every fit.

| losses | target | why |
|---|---|---|
| only 0 and 1 | logistic | an error rate stays between 0 and 1 |
| none negative, skewness above 2 | log1p | a few huge losses must not rule the trees |
| anything else | identity | the mean is what is asked for |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.stats
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Kind = Literal["identity", "log1p", "logistic"]

HEAVY_TAIL = 2.0  # skewness of the exponential distribution
_WORDS = {"identity": "the loss itself", "log1p": "log(1 + loss)", "logistic": "log odds of a loss of 1"}


@dataclass(frozen=True, slots=True)
class Target:
    """The transform of one fit.

    Attributes
    ----------
    smearing : factor that makes the back-transformed mean of log1p unbiased (Duan, JASA 1983); else 1.
    """

    kind: Kind
    smearing: float = 1.0

    @classmethod
    def of(cls, losses: Floats) -> Target:
        """The target for `losses`, (n,) finite and not all equal."""
        if np.isin(losses, (0.0, 1.0)).all():
            return cls("logistic")
        return cls("log1p" if losses.min() >= 0 and scipy.stats.skew(losses) > HEAVY_TAIL else "identity")

    def __str__(self) -> str:
        return _WORDS[self.kind]

    @property
    def objective(self) -> str:
        """XGBoost's name of the objective."""
        return "binary:logistic" if self.kind == "logistic" else "reg:squarederror"

    def forward(self, losses: Floats) -> Floats:
        """Losses to what is learned. A logistic objective takes the zeros and ones themselves."""
        return np.log1p(losses) if self.kind == "log1p" else losses

    def backward(self, predicted: Floats) -> Floats:
        """What a regressor says, in units of the loss: an expected loss, not a median."""
        return np.exp(predicted) * self.smearing - 1.0 if self.kind == "log1p" else predicted

    def smeared(self, residuals: Floats) -> Target:
        """With the smearing factor that `residuals`, on the learned scale, ask for; NaN are left out."""
        return Target("log1p", float(np.nanmean(np.exp(residuals)))) if self.kind == "log1p" else self
