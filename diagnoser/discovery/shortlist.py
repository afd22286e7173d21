"""The phrases that the proposing half finds worth a closer look: images show them, and such images lose more there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.discovery.definitions import Text
from fsearch.diagnoser.discovery.proposing import ProposingHalf
from fsearch.diagnoser.estimate import rivalry_of
from fsearch.diagnoser.membership import membership
from fsearch.diagnoser.retrieval import BATCH
from fsearch.diagnoser.verdict import MIN_EVIDENCE, MIN_SHOWN

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Rows = NDArray[np.int64]

MOST = 400  # phrases
LEAST_Z = 1.5  # of the proposing half's evidence on a phrase


@dataclass(frozen=True, slots=True)
class Shortlist:
    """s phrases: `positions` among those asked, `definitions`, `weights` (s, n) on the proposing half, and `z`, (s,)."""

    positions: Rows
    definitions: tuple[Text, ...]
    weights: Singles
    z: Floats


def shortlist(
    diagnosis: Diagnosis, half: ProposingHalf, texts: Singles, tick: Callable[[int, int], None] | None = None
) -> Shortlist:
    """The phrases, of `texts`, (q, d) unit, whose images lose more in the proposing `half`; the clearest first.

    `diagnosis` is of all images: which images show a phrase, and whether any do, is no question to a half.
    """
    kept: list[tuple[Rows, list[Text], NDArray[Any], Floats]] = []
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        found = diagnosis.retriever.find(batch)
        similarities = batch @ half.embeddings.T
        weights = membership(similarities, found.support.anchor, found.scale)
        said = half.evidence(weights)
        loud = np.flatnonzero((said.z >= LEAST_Z) & (said.carried >= MIN_EVIDENCE) & (found.quality.count >= MIN_SHOWN))
        definitions = [Text(batch[i], found.support.anchor[i], float(found.scale[i])) for i in loud]
        kept.append((start + loud, definitions, weights[loud].astype(np.float32), said.z[loud]))
        if tick:
            tick(min(start + BATCH, len(texts)), len(texts))
    if not kept:
        return Shortlist(np.empty(0, np.int64), (), np.empty((0, len(half)), np.float32), np.empty(0))
    positions, z = (np.concatenate([part[i] for part in kept]) for i in (0, 3))
    weights = np.concatenate([part[2] for part in kept])
    all_definitions = [d for part in kept for d in part[1]]
    order = np.argsort(-z, kind="stable")[: 2 * MOST]
    order = order[_present(diagnosis, texts[positions[order]])][:MOST]
    return Shortlist(positions[order], tuple(all_definitions[i] for i in order), weights[order], z[order])


def _present(diagnosis: Diagnosis, texts: Singles) -> NDArray[np.bool_]:
    """(q,) bool, whether some image surely shows each phrase."""
    if not len(texts):
        return np.empty(0, bool)
    found = diagnosis.retriever.find(texts)
    rivals = rivalry_of(diagnosis, found)
    return ~diagnosis.artifact.reference.in_force.presence(found.support, *rivals).absent
