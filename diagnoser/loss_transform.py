"""Target transformation for the regressors, selected from the loss distribution and reported with every fit.

| losses | transformation | why |
|---|---|---|
| only 0 and 1 | logistic | an error rate stays between 0 and 1 |
| none negative, skewness above 2 | log1p | a few huge losses must not rule the trees |
| anything else | identity | the mean is what is asked for |

No unit and no zero point matter: losses are learned less an origin, in a unit of their own, which also keeps the
regressors' single precision from losing what differs between large numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TransformName = Literal["identity", "log1p", "logistic"]

HEAVY_TAIL = 2.0  # skewness of the exponential distribution
COMPRESSED = 4.0  # times the mean loss: where log1p begins to bend. Set on development seeds of benchmarks/planted
_WORDS = {"identity": "the loss itself", "log1p": "log(1 + loss / 4 means)", "logistic": "log odds of a loss of 1"}


@dataclass(frozen=True, slots=True)
class LossTransform:
    """The target transformation of one fit.

    Attributes
    ----------
    smearing : factor that makes the back-transformed mean of log1p unbiased (Duan, JASA 1983); else 1.
    origin, unit : what is taken off the losses, and what they are divided by, before they are transformed.
    """

    kind: TransformName
    smearing: float = 1.0
    origin: float = 0.0
    unit: float = 1.0

    @classmethod
    def of(cls, losses: Floats) -> LossTransform:
        """The transformation for `losses`, (n,) finite and not all equal."""
        import scipy.stats

        if np.isin(losses, (0.0, 1.0)).all():
            return cls("logistic")
        least, mean = float(losses.min()), float(losses.mean())
        if least >= 0 and scipy.stats.skew(losses) > HEAVY_TAIL:
            return cls("log1p", origin=least, unit=COMPRESSED * (mean - least) or 1.0)
        return cls("identity", origin=mean, unit=float(losses.std()) or 1.0)

    def __str__(self) -> str:
        return _WORDS[self.kind]

    @property
    def objective(self) -> str:
        """XGBoost's name of the objective."""
        return "binary:logistic" if self.kind == "logistic" else "reg:squarederror"

    def forward(self, losses: Floats) -> Floats:
        """From losses to the regression target; a logistic objective takes the zeros and ones themselves."""
        if self.kind == "logistic":
            return losses
        scaled = (losses - self.origin) / self.unit
        return np.log1p(scaled) if self.kind == "log1p" else scaled

    def backward(self, predicted: Floats) -> Floats:
        """From a prediction to an expected loss (a mean, not a median), in units of the loss."""
        scaled = np.exp(predicted) * self.smearing - 1.0 if self.kind == "log1p" else predicted
        return scaled * self.unit + self.origin

    def smeared(self, residuals: Floats) -> LossTransform:
        """With the smearing factor from `residuals` on the transformed scale; NaN are left out."""
        return replace(self, smearing=float(np.nanmean(np.exp(residuals)))) if self.kind == "log1p" else self
