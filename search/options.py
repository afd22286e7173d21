"""Options of commands, as the Python API takes them too. Light to import: the command line reads them for its help."""

from __future__ import annotations

from dataclasses import dataclass

from fsearch.diagnoser.choices import BridgeName, Correction
from fsearch.indexer.device import Device


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """How phrases are judged; the options of `fsearch query` and `rank`. Stored with a run.

    Attributes
    ----------
    top : nearest images given with each phrase.
    where : SQL predicate on the view `examples`: only such images are asked about, the baseline included.
    by : column of `examples`: the question is asked again within each of its values.
    bridge : how text is taken to image space: "membership", or "raw" for comparison; others are of version 0.1.
    fdr : correction of p-values to q-values: "bh", or "by" under any dependence between phrases.
    seed : of everything random.
    device : compute device for phrases, and for an index that is searched for many of them.
    """

    top: int = 8
    where: str | None = None
    by: str | None = None
    bridge: BridgeName = "membership"
    fdr: Correction = "bh"
    seed: int = 0
    device: Device = "auto"
