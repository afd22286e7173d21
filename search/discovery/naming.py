"""Names for regions: the phrases that separate their images best, or none, where none fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.discovery.judging import weights_in
from fsearch.diagnoser.discovery.propose import Origin, Proposal
from fsearch.diagnoser.discovery.regions import FITS, words_of
from fsearch.search.discovery.candidates import Searched

_MOST = 32_768  # images that a name is looked for among


def named(proposals: Sequence[Proposal], whole: Diagnosis, searched: Searched) -> list[Proposal]:
    """The proposals, those that are regions with a name each; a name is a description, and no claim is made by it."""
    seen: Counter[str] = Counter()
    found = []
    for proposal in proposals:
        candidate = proposal.candidate
        if candidate.origin == Origin.REGION:
            candidate = replace(candidate, name=_name(proposal, whole, searched))
        seen[candidate.name] += 1
        if seen[candidate.name] > 1:
            candidate = replace(candidate, name=f"{candidate.name} ({seen[candidate.name]})")
        found.append(replace(proposal, candidate=candidate))
    return found


def _name(proposal: Proposal, whole: Diagnosis, searched: Searched) -> str:
    weights = weights_in(whole.retriever, proposal.candidate.definition)
    count = f"{round(float(weights.sum())):,} images"
    if not searched.phrases:
        return f"unnamed: these {count}"
    some = np.random.default_rng([len(weights), 53]).permutation(len(weights))[:_MOST]
    words = words_of(weights[some], whole.retriever.embeddings(some), searched.texts)
    fitting = [searched.phrases[i] for i, area in zip(words.phrases, words.areas, strict=True) if area >= FITS]
    if fitting:
        return f"{count} like " + ", ".join(repr(p) for p in fitting)
    return f"unnamed: these {count} (nearest words: {searched.phrases[words.phrases[0]]!r})"
