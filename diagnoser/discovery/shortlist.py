"""The phrases that the proposing half finds worth a closer look: images show them, and such images lose more there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.discovery.definitions import Text
from fsearch.diagnoser.discovery.proposing import Evidence, ProposingHalf
from fsearch.diagnoser.estimate import rivalry_of
from fsearch.diagnoser.membership import membership
from fsearch.diagnoser.retrieval import BATCH
from fsearch.diagnoser.verdict import MIN_EVIDENCE, MIN_SHOWN

Singles = NDArray[np.float32]

MOST = 400  # phrases
LEAST_Z = 1.5  # of the proposing half's evidence on a phrase

Shortlist = list[tuple[int, Text]]  # positions among the phrases asked, and which images show each


def weigh(diagnosis: Diagnosis, half: ProposingHalf, texts: Singles) -> tuple[Evidence, list[Text]]:
    """What the proposing `half` says of `texts`, (q, d) unit, and which images show each.

    `diagnosis` is of all images: which images show a phrase, and whether any do, is no question to a half.
    """
    found = diagnosis.retriever.find(texts)
    said = half.evidence(membership(found.directions @ half.embeddings.T, found.support.anchor, found.scale))
    said = said._replace(z=np.where(found.quality.count >= MIN_SHOWN, said.z, -np.inf))
    read = zip(texts, found.directions, found.support.anchor, found.scale, strict=True)
    return said, [Text(t, d, a, float(s)) for t, d, a, s in read]


def shortlist(
    diagnosis: Diagnosis, half: ProposingHalf, texts: Singles, tick: Callable[[int, int], None] | None = None
) -> Shortlist:
    """The phrases, of `texts`, (q, d), whose images lose more in the proposing `half`; the clearest first."""
    loud: list[tuple[float, int, Text]] = []
    for start in range(0, len(texts), BATCH):
        said, definitions = weigh(diagnosis, half, texts[start : start + BATCH])
        some = np.flatnonzero((said.z >= LEAST_Z) & (said.carried >= MIN_EVIDENCE))
        loud += [(float(said.z[i]), start + int(i), definitions[i]) for i in some]
        if tick:
            tick(min(start + BATCH, len(texts)), len(texts))
    loud.sort(key=lambda row: (-row[0], row[1]))
    asked = loud[: 2 * MOST]
    if not asked:
        return []
    present = _present(diagnosis, texts[[i for _, i, _ in asked]])
    return [(i, d) for (_, i, d), there in zip(asked, present, strict=True) if there][:MOST]


def _present(diagnosis: Diagnosis, texts: Singles) -> NDArray[np.bool_]:
    """(q,) bool, whether some image seems to show each phrase."""
    found = diagnosis.retriever.find(texts)
    rivals = rivalry_of(diagnosis, found)
    return ~diagnosis.artifact.reference.in_force.presence(found.support, *rivals).absent
