"""Plots as inline SVG, in coordinates only: colours, light and dark, are the style sheet's.

Positions are percentages, so that a plot fits any width and nothing in it is distorted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fsearch.diagnoser.exhibits import Histogram

_MARGIN = 0.04  # of the axis, on either side
_TICKS = 5
_LAST_TICK = 85  # percent of a histogram's width: beyond it the word for its tail stands


class Drawn(Protocol):
    """What has a place on an axis: a value with its interval, and the smallest one that matters."""

    @property
    def lift(self) -> float:
        """The value."""

    @property
    def lo(self) -> float:
        """The lower end of its interval."""

    @property
    def hi(self) -> float:
        """The upper end."""

    @property
    def min_effect(self) -> float | None:
        """The smallest that matters."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The one axis of a forest plot, in units of the loss.

    Attributes
    ----------
    low, high : its ends.
    matters : the smallest lift that matters; None where the rows do not agree on one.
    """

    low: float
    high: float
    matters: float | None

    @classmethod
    def of(cls, answers: Sequence[Drawn]) -> Axis:
        """An axis that holds every interval, and zero."""
        ends = [v for a in answers for v in (a.lo, a.hi, a.lift) if math.isfinite(v)]
        low, high = min([0.0, *ends]), max([0.0, *ends])
        margin = (high - low or 1.0) * _MARGIN
        effects = {round(a.min_effect, 9) for a in answers if a.min_effect is not None}
        return cls(low - margin, high + margin, effects.pop() if len(effects) == 1 else None)

    def at(self, value: float) -> float:
        """Where a value lies, in percent of the width, within 0 and 100."""
        share = (value - self.low) / (self.high - self.low)
        return round(100 * min(1.0, max(0.0, share)), 2)

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Round values on the axis: where each lies, and what it is called."""
        step = _round_step((self.high - self.low) / _TICKS)
        first = math.ceil(self.low / step)
        values = [i * step for i in range(first, math.floor(self.high / step) + 1)]
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return [(self.at(v), "0" if v == 0 else f"{v:+.{digits}f}".replace("-", "\u2212")) for v in values]


def _round_step(step: float) -> float:
    scale: float = 10.0 ** math.floor(math.log10(step))
    return next(m * scale for m in (1, 2, 5, 10) if m * scale >= step * (1 - 1e-9))


@dataclass(frozen=True, slots=True)
class Bars:
    """A histogram to draw: outlines of two distributions as SVG paths in a box of 100 by 100.

    Attributes
    ----------
    shows, rest : the paths; heights go by the square root of the share, or what most images do would hide the tail.
    ticks : where round losses lie, in percent, and what they are called.
    """

    shows: str
    rest: str
    ticks: list[tuple[float, str]]


def bars(histogram: Histogram) -> Bars:
    """The bars of a histogram; each bin as wide as the next, the last one the tail."""
    top = math.sqrt(max(*histogram.shows, *histogram.rest, 1e-9))
    inner = Axis(histogram.edges[0], histogram.edges[-2], None)
    width = 100 * (len(histogram.shows) - 1) / len(histogram.shows)  # of all bins but the tail
    ticks = [
        (place, label.lstrip("+")) for at, label in inner.ticks if (place := round(at * width / 100, 2)) < _LAST_TICK
    ]
    return Bars(_outline(histogram.shows, top), _outline(histogram.rest, top), ticks)


def _outline(shares: Sequence[float], top: float) -> str:
    step = 100 / len(shares)
    corners = [f"M0 100V{_height(shares[0], top)}"]
    corners += [f"H{round(step * (i + 1), 2)}V{_height(nxt, top)}" for i, nxt in enumerate(shares[1:])]
    return "".join(corners) + "H100V100Z"


def _height(share: float, top: float) -> float:
    return round(100 - 96 * math.sqrt(max(share, 0.0)) / top, 2)
