"""Names that users choose from, apart from the code behind them, so that a command line can list them at once."""

from __future__ import annotations

from typing import Literal

BridgeName = Literal["membership", "raw", "attention", "prototype", "shift"]
FORMER_BRIDGES: tuple[BridgeName, ...] = ("attention", "prototype", "shift")  # of 0.1: accepted for one version
Correction = Literal["bh", "by"]
