"""Answers beside each other: against the other phrases of a group, and adjusted for the other failing phrases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.confounding import SAME_IMAGES, confounding
from fsearch.diagnoser.contrast import contrasts, shuffles
from fsearch.diagnoser.diagnosis import PERMUTATIONS, Diagnosis
from fsearch.search.answer import Answer, with_confounding

Singles = NDArray[np.float32]

MOST_FAILING = 200  # beyond the worst of these, phrases are not adjusted for
SHOWN_OVERLAP = 0.10
EXPLAINED = 0.5  # of the observed lift gone: others explain most of it


def contrast(answers: Sequence[Answer], texts: Singles, diagnosis: Diagnosis, seed: int) -> list[Answer]:
    """`answers` of one slice, those in a group of two or more contrasted with the rest of it; `texts` is (q, d)."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, a in enumerate(answers):
        if a.hypothesis.group is not None and a.verdict != "unseen":
            groups[a.hypothesis.group].append(i)
    asked = [group for group in groups.values() if len(group) > 1]
    if not asked:
        return list(answers)
    with_contrast = list(answers)
    found = [diagnosis.shows(texts[group]) for group in asked]
    shuffled = shuffles([f.near for f in found], diagnosis.losses, PERMUTATIONS, seed)
    for group, f in zip(asked, found, strict=True):
        seen = contrasts(f.near, f.memberships, f.retrieval.purity, diagnosis.losses, shuffled)
        for i, difference, p in zip(group, seen.difference, seen.p_value, strict=True):
            with_contrast[i] = replace(answers[i], contrast=float(difference), contrast_p=float(p))
    return with_contrast


def adjust(answers: Sequence[Answer], texts: Singles, diagnosis: Diagnosis) -> list[Answer]:
    """`answers` of one slice; each failing one says which others share its images and what is left beside them."""
    failing = [i for i, a in enumerate(answers) if a.verdict == "fails"]
    failing = sorted(failing, key=lambda i: -answers[i].lift)[:MOST_FAILING]
    if len(failing) < 2:
        return list(answers)
    found = diagnosis.shows(texts[failing])
    seen = confounding(found.near, found.memberships, diagnosis.losses)
    adjusted = list(answers)
    for row, i in enumerate(failing):
        others = sorted((r for r in range(len(failing)) if r != row), key=lambda r: -seen.overlap[row, r])
        shares = tuple((answers[failing[r]].text, float(seen.overlap[row, r])) for r in others)
        left = float(seen.adjusted[row])
        explained = None
        if left < (1 - EXPLAINED) * answers[i].observed_lift:
            explained = _explanation(seen.overlap[row], seen.adjusted, row)
        adjusted[i] = with_confounding(
            answers[i],
            left,
            tuple(s for s in shares if s[1] >= SHOWN_OVERLAP),
            answers[failing[explained]].text if explained is not None else None,
        )
    return adjusted


def _explanation(overlap: np.ndarray, adjusted: np.ndarray, row: int) -> int | None:
    """The failing phrase of other images that explains most: much overlap, and a lift of its own that is larger."""
    able = (overlap <= SAME_IMAGES) & (adjusted > adjusted[row])
    pull = np.where(able, overlap * adjusted, -np.inf)
    return int(pull.argmax()) if able.any() else None
