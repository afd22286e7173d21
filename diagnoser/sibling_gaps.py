"""Gaps between siblings: how far the mean losses of images that show the phrases of one group lie apart, in pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.evidence import group_means
from fsearch.diagnoser.lift import contamination
from fsearch.diagnoser.retrieval import Retrieved

Floats = NDArray[np.float64]
Groups = NDArray[np.integer[Any]]


def sibling_gaps(diagnosis: Diagnosis, retrieved: Retrieved) -> tuple[Floats, Floats]:
    """(g, g) differences in mean loss between images that show any two of g phrases, row less column, and their errors.

    Estimated as a contrast of the two (contrast.py), group by group of repeats. The error also counts, as that of a
    lift does, that the encoder is wrong about some of the images and finds others among them.
    """
    losses, groups, quality = diagnosis.losses, diagnosis.groups, retrieved.quality
    centred = retrieved.memberships - quality.prevalence[:, None]
    pull = retrieved.copies * centred * (quality.against_all / retrieved.weights.sum(axis=1))[:, None]
    share = 1 - quality.prevalence
    doubt = contamination(quality, diagnosis.scale) ** 2
    pool, values = float(group_means(losses, groups).var()), losses - losses.mean()
    means = (pull * values[retrieved.neighbours]).sum(axis=1)
    difference = means[:, None] - means
    residuals = values[retrieved.neighbours] - (means / share.clip(min=1e-300))[:, None] * centred
    count = int(groups.max()) + 1
    rows = list(zip(groups[retrieved.neighbours], pull, residuals, strict=True))
    moved = np.stack([np.bincount(codes, mine * residual, minlength=count) for codes, mine, residual in rows])
    weight = np.stack([np.bincount(codes, mine, minlength=count) for codes, mine, _ in rows])
    error = np.zeros_like(difference)
    for i in range(len(means)):
        for j in range(i):
            own = float(((moved[i] - moved[j]) ** 2).sum())
            pooled = float(((weight[i] - weight[j]) ** 2).sum()) * pool
            noise = max(own, (own + pooled) / 2)  # the pool only ever adds
            wrong = (diagnosis.scale.membership_error * difference[i, j]) ** 2
            error[i, j] = error[j, i] = np.sqrt(noise + doubt[i] + doubt[j] + wrong)
    return difference, error
