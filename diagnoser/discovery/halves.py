"""Which half of the images proposes and which judges: once and for all, by what an image is and not by when it came.

Whoever chooses hypotheses by looking at losses must not test them on the same losses (Cox, Biometrika 1975). An image's
half is one bit of a hash of its identity, so it stays where it is when images are added, when another model is asked
about, and in every workspace that holds the image; nothing has to be stored. Repeats have one identity, that of their
group, and never stand on both sides.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.errors import NotReadyError

LEAST_GROUPS = 25  # of repeated images, in either half: fewer are no evidence
_SALT = "fsearch discover 1:"


def proposing(identities: Sequence[str]) -> NDArray[np.bool_]:
    """(n,) bool, whether each image is of the half that proposes, from the identity of its group."""
    sides = {i: hashlib.sha256((_SALT + i).encode()).digest()[0] % 2 == 0 for i in set(identities)}
    return np.array([sides[i] for i in identities], bool)


def require_both(groups: NDArray[np.integer[Any]], proposes: NDArray[np.bool_], least_images: int) -> None:
    """Raise NotReadyError unless both halves hold `least_images` and LEAST_GROUPS groups of repeats."""
    for half, word in ((proposes, "propose"), (~proposes, "judge")):
        images, found = int(half.sum()), len(np.unique(groups[half]))
        if images < least_images or found < LEAST_GROUPS:
            raise NotReadyError(
                f"discovery needs {least_images} images in {LEAST_GROUPS} groups of repeats to propose and as many to "
                f"judge; here {images} in {found} would {word}; add images, or see fsearch info --groups"
            )
