"""Phrases as the encoder reads them: in their templates, and a negation by its positive phrase."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.finding import Phrase
from fsearch.indexer.embedding.phrases import TextEncoder
from fsearch.indexer.embedding.text_vectors import GivenTextVectors
from fsearch.indexer.storage.vectors import unit
from fsearch.search import negation
from fsearch.search.hypotheses import Hypothesis
from fsearch.search.negation import positive


def as_read(hypothesis: Hypothesis) -> Hypothesis:
    """What is embedded of a phrase: of a negation, the positive phrase."""
    text = positive(hypothesis.text)
    return hypothesis if text is None else replace(hypothesis, text=text)


def prompts(hypotheses: Sequence[Hypothesis], templates: Sequence[str]) -> list[str]:
    """All that an encoder reads of `hypotheses`."""
    return [prompt for h in hypotheses for prompt in as_read(h).prompts(templates)]


def embed(
    encoder: TextEncoder,
    hypotheses: Sequence[Hypothesis],
    templates: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """(q, d) float32 unit embeddings; a phrase in several templates is their mean in text space, made unit again."""
    of_each = [h.prompts(templates) for h in hypotheses]
    found = encoder.embed_texts([p for several in of_each for p in several], progress)
    ends = np.cumsum([len(several) for several in of_each])[:-1]
    return unit(np.stack([part.mean(axis=0) for part in np.split(found, ends)]))


@dataclass(frozen=True, slots=True)
class ReadPhrases:
    """Phrases as the encoder reads them: a negation by its positive phrase.

    Attributes
    ----------
    texts : (q, d) float32 unit embeddings; prompts : the words behind each.
    notes : what must be known of negations among them.
    """

    texts: NDArray[np.float32]
    phrases: tuple[Phrase, ...]
    prompts: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def read_phrases(
    encoder: TextEncoder,
    hypotheses: Sequence[Hypothesis],
    templates: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
) -> ReadPhrases:
    """What is asked of the index for some phrases, of which there may be none; given vectors are of them as written."""
    given = isinstance(encoder, GivenTextVectors)
    negated = [None if given else positive(h.text) for h in hypotheses]
    read = list(hypotheses) if given else [as_read(h) for h in hypotheses]
    of_each = tuple(h.prompts(templates) for h in read)
    texts = embed(encoder, read, templates, progress) if read else np.empty((0, encoder.spec.dim), np.float32)
    phrases = tuple(
        Phrase(h.text, h.group, encoder.unknown_words(" ".join(words)), of)
        for h, words, of in zip(hypotheses, of_each, negated, strict=True)
    )
    return ReadPhrases(texts, phrases, of_each, () if given else tuple(negation.notes(h.text for h in hypotheses)))
