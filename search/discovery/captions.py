"""Keywords of captions: words and pairs of words that captions of failing images hold, after B2T.

B2T (Kim et al., CVPR 2024) takes the keywords of captions of wrongly answered images and lets CLIP say which images
show them. Only captions of the proposing half are read with their losses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.discovery.proposing import ProposingHalf
from fsearch.diagnoser.membership import ENOUGH

MOST = 300  # keywords
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
_LONGEST = 2_000  # characters of a caption that are read
_EMPTY = """
a an the and or of in on at to for with without from by as is are was were be being been it its this that these
those there here his her their your our my he she they we you i who which what while into onto over under near
very some any each both all more most many much one two three up down out off not no can will has have had photo
picture image showing shows shown
"""  # words that say nothing by themselves
_NOTHING = frozenset(_EMPTY.split())


def words_of(caption: str | None) -> set[str]:
    """Words, and pairs of neighbouring words, of a caption that mean something by themselves; control characters none.

    >>> sorted(words_of("A man with a red hat"))
    ['hat', 'man', 'red', 'red hat']
    """
    words = _WORD.findall((caption or "")[:_LONGEST].lower())
    kept = {w for w in words if w not in _NOTHING and len(w) > 2}
    pairs = {f"{a} {b}" for a, b in pairwise(words) if a in kept and b in kept}
    return kept | pairs


def keywords(captions: Sequence[str | None], half: ProposingHalf) -> list[str]:
    """The keywords whose images lose more than others, the clearest first, from the captions of `half`, (n,)."""
    held: dict[str, list[int]] = {}
    for i, caption in enumerate(captions):
        for word in words_of(caption):
            held.setdefault(word, []).append(i)
    some = sorted(w for w, images in held.items() if ENOUGH / 2 <= len(images) <= len(captions) / 2)
    z: NDArray[np.float64] = np.empty(len(some))
    for start in range(0, len(some), 256):
        mentions = np.zeros((len(some[start : start + 256]), len(half)), np.float32)
        for row, word in zip(mentions, some[start : start + 256], strict=True):
            row[held[word]] = 1
        z[start : start + 256] = half.evidence(mentions).z
    order = np.argsort(-z, kind="stable")[:MOST]
    return [some[i] for i in order if z[i] > 0]
