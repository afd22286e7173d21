"""Findings: what is known about each phrase in each slice. q-values, verdicts, contrasts and adjustments happen here.

The command line and the Python API call `evaluated` and `concluded`, the benchmark `find`, which is both: the index is
asked once for a batch of phrases, and all that follows is a function of what it gave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.bridge import DEFAULT, Bridge
from fsearch.diagnoser.choices import Correction
from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.discoveries import concept_q_values, q_values
from fsearch.diagnoser.estimate import PERMUTATIONS, rivalry_of
from fsearch.diagnoser.finding import Found, Phrase
from fsearch.diagnoser.shared_evidence import concepts
from fsearch.diagnoser.slice import Asking, Slice
from fsearch.diagnoser.verdict import Verdict

Floats = NDArray[np.float64]

Correct = Callable[[Floats, NDArray[np.bool_]], Floats]  # (p-values, whether each is a test) to q-values, (s,) each


@dataclass(frozen=True, slots=True)
class Findings:
    """What is found of a batch of phrases.

    Attributes
    ----------
    found : of each phrase in each slice, slice by slice.
    worst : position of the worst failing phrase; None where none fails, or where each value of a column was asked.
    hidden : (position of a phrase, what is found of it) among images that do not show the worst failing phrase, where
        that is worse than the verdict on all of them: such a failure is hidden by the worst one. Worst first.
    """

    found: list[Found]
    worst: int | None
    hidden: list[tuple[int, Found]]

    @property
    def every(self) -> list[Found]:
        """What is found, and then what is hidden."""
        return [*self.found, *(f for _, f in self.hidden)]


def find(
    slices: Mapping[str | None, Diagnosis],
    texts: NDArray[np.float32],
    phrases: Sequence[Phrase],
    *,
    bridge: Bridge = DEFAULT,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    correction: Correction = "bh",
    foreign_images: bool = False,
    top: int = 8,
) -> Findings:
    """Findings for each of q `phrases` in each slice, slice by slice; q-values are adjusted over all of them.

    Parameters
    ----------
    texts : (q, d) float32 unit embeddings of the phrases; of the positive phrase where one is a negation.
    foreign_images : whether the encoder was not made for the images of the index: no answer can then be trusted.
    top : how many images of each kind to give with each.
    """
    asking = Asking(bridge, permutations, seed, foreign_images, top)
    return concluded(evaluated(slices, texts, phrases, asking), correction)


def evaluated(
    slices: Mapping[str | None, Diagnosis], texts: NDArray[np.float32], phrases: Sequence[Phrase], asking: Asking
) -> list[Slice]:
    """The `phrases` retrieved and estimated in each slice; the index is asked once for all of them. See `find`."""
    first = next(iter(slices.values()))
    all_images = first.whole or first
    whole = all_images.retriever.find(texts)
    rivals = rivalry_of(all_images, whole)
    return [
        Slice.of(
            within,
            diagnosis,
            phrases,
            whole if diagnosis is all_images else diagnosis.retriever.find(texts, whole),
            rivals,
            asking,
        )
        for within, diagnosis in slices.items()
    ]


def concluded(slices: Sequence[Slice], correction: Correction = "bh", correct: Correct | None = None) -> Findings:
    """What is found of the phrases that were `evaluated`.

    `correct` says how p-values become q-values, where these phrases are not all that is asked: by `correction`
    otherwise.
    """
    found = judged(slices, correction, correct)
    failing = [i for i, f in enumerate(found) if f.finding.verdict == Verdict.FAILS]
    if not failing or [s.within for s in slices] != [None]:
        return Findings(found, None, [])
    worst = max(failing, key=lambda i: found[i].finding.strength)
    return Findings(found, worst, _hidden(slices[0], worst, found, correction))


def judged(slices: Sequence[Slice], correction: Correction = "bh", correct: Correct | None = None) -> list[Found]:
    """What is found of each phrase of each slice, where they are retrieved and estimated already.

    See `concluded` for `correct`.
    """
    if correct is None:
        q = _voted(slices, correction)
    else:
        p = np.concatenate([s.estimates.observed.p_value for s in slices])
        q = correct(p, np.concatenate([s.tested for s in slices]))
    parts = zip(slices, np.split(q, len(slices)), strict=True)
    return _with_contrast_q([f for part, values in parts for f in part.findings(values)], correction)


def _hidden(part: Slice, worst: int, found: Sequence[Found], correction: Correction) -> list[tuple[int, Found]]:
    """What fails, or is suspect, apart from the `worst` phrase of `part`, and was not among all its images.

    What fails there already, and what is unseen, is not asked again; q-values are adjusted over what is.
    """
    before = [f.finding.verdict for f in found]
    asked = [i for i, verdict in enumerate(before) if verdict not in (Verdict.FAILS, Verdict.UNSEEN)]
    rest = part.apart_from(worst, asked) if asked else None
    if rest is None:
        return []
    again = rest.findings(_voted([rest], correction))
    worse = [
        (i, f)
        for i, f in zip(asked, again, strict=True)
        if f.finding.verdict == Verdict.FAILS or (f.finding.verdict == Verdict.SUSPECT != before[i])
    ]
    return sorted(worse, key=lambda pair: -pair[1].finding.strength)


def _voted(slices: Sequence[Slice], correction: Correction) -> Floats:
    """(s q,) q-values of q phrases in s `slices`, tested together: each concept has one vote in each slice."""
    p = np.concatenate([s.estimates.observed.p_value for s in slices])
    tested = [s.tested for s in slices]
    numbers = np.arange(len(p)).reshape(len(slices), -1)
    for s, own, number in zip(slices, tested, numbers, strict=True):
        if own.any():
            number[own] = number[0] + concepts(s.retrieved[np.flatnonzero(own).tolist()])
    return concept_q_values(p, numbers.ravel(), np.concatenate(tested), correction)


def _with_contrast_q(found: list[Found], correction: Correction) -> list[Found]:
    """The contrasts' p-values adjusted together: they are questions of their own."""
    p = [f.finding.contrast_p for f in found if f.finding.contrast_p is not None]
    if not p:
        return found
    q = iter(q_values(np.array(p, np.float64), correction))
    return [
        f if f.finding.contrast_p is None else replace(f, finding=replace(f.finding, contrast_q=float(next(q))))
        for f in found
    ]


def shown(found: Sequence[Found]) -> NDArray[np.int64]:
    """(m,) rising ids of all images that are shown with the findings."""
    return np.unique(np.concatenate([s.image_ids for f in found for s in f.exhibits.images.values()]))
