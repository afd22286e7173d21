"""Phrases, loading no more than they need: from the catalog, else by the exported text tower, else by the encoder."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.embedding import demo_files
from fsearch.indexer.embedding.text_tower import TextTower
from fsearch.indexer.workspace.encoder_spec import DEMO, EncoderSpec
from fsearch.indexer.workspace.store import Store
from fsearch.indexer.workspace.text_vectors import known_texts

_WORD = re.compile(r"[^\W\d_]+")

Progress = Callable[[int, int], None]


class TextEncoder(Protocol):
    """The text side of a dual encoder, loaded."""

    @property
    def spec(self) -> EncoderSpec:
        """Its identity, as the workspace stores it."""

    @property
    def vocabulary(self) -> frozenset[str] | None:
        """The only words it knows, or None for an open vocabulary."""

    @property
    def only_side(self) -> int | None:
        """Side in pixels of the only images it knows (the demo's portraits), or None for any photograph."""

    @property
    def logit_scale(self) -> float:
        """Inverse temperature it was trained with: a cosine times this is in nats."""

    @property
    def support(self) -> tuple[float, float] | None:
        """Least similarity and mass of a phrase whose images exist, where that was measured; else None."""

    def embed_texts(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """Embed phrases: (n, dim) float32, unit rows."""

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """The words of `text` that are not in `vocabulary`."""


class _WordsOfSpec:
    """What the identity of an encoder tells of the words and images that it knows."""

    spec: EncoderSpec

    @property
    def vocabulary(self) -> frozenset[str] | None:
        """See TextEncoder."""
        return demo_files.demo_vocabulary() if self.spec.name == DEMO else None

    @property
    def only_side(self) -> int | None:
        """See TextEncoder."""
        return demo_files.demo_side() if self.spec.name == DEMO else None

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """The words of `text` that are not in `vocabulary`."""
        return unknown_words(self.vocabulary, text)


@dataclass(frozen=True)
class TowerTexts(_WordsOfSpec):
    """The text side of an open_clip encoder by its exported tower; torch is not loaded."""

    spec: EncoderSpec
    tower: TextTower

    @property
    def support(self) -> tuple[float, float] | None:
        """See TextEncoder."""
        return demo_files.demo_support() if self.spec.name == DEMO else None

    @property
    def logit_scale(self) -> float:
        """See TextEncoder."""
        return self.tower.shape.logit_scale

    def embed_texts(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """(n, dim) float32, unit rows."""
        return self.tower.embed_texts(texts, progress)


class KeptTexts(_WordsOfSpec):
    """The text side of the encoder of `store`, which `load` loads; the catalog is asked first.

    `keep` is given what is new, by text. `looked_up` holds what the catalog was asked for already: embeddings by text,
    None for a text that it does not have.
    """

    def __init__(
        self,
        store: Store,
        load: Callable[[], TextEncoder],
        keep: Callable[[Mapping[str, NDArray[np.float32]]], object],
        looked_up: Mapping[str, NDArray[np.float32] | None] | None = None,
    ) -> None:
        self._store, self._load, self._keep, self._looked_up = store, load, keep, looked_up or {}
        self.spec = store.encoder

    @cached_property
    def _loaded(self) -> TextEncoder:
        return self._load()

    @property
    def support(self) -> tuple[float, float] | None:
        """See TextEncoder."""
        return self._loaded.support

    @property
    def logit_scale(self) -> float:
        """See TextEncoder."""
        return self._loaded.logit_scale

    def embed_texts(self, texts: Sequence[str], progress: Progress | None = None) -> NDArray[np.float32]:
        """(n, dim) float32, unit rows."""
        known = {text: kept for text in texts if (kept := self._looked_up.get(text)) is not None}
        if others := [text for text in texts if text not in self._looked_up]:
            known |= known_texts(self._store, others)
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            found = dict(zip(new, self._loaded.embed_texts(new, progress), strict=True))
            known |= found
            self._keep(found)
        return np.stack([known[text] for text in texts])


def unknown_words(vocabulary: frozenset[str] | None, text: str) -> tuple[str, ...]:
    """The words of `text` that are not in `vocabulary`; empty for an open vocabulary."""
    if vocabulary is None:
        return ()
    return tuple(w for w in dict.fromkeys(_WORD.findall(text.lower())) if w not in vocabulary)
