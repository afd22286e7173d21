"""Retrieval: which images show a phrase, each with the chance that it does. The index is asked once for a batch.

What follows retrieval (lift, observed evidence, contrast, confounding) is a pure function of a `Retrieved`.
"""

from __future__ import annotations

import tempfile
from collections import deque
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.support import Support
from fsearch.indexer.vector_index.exact_search import NearestImages

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Rows = NDArray[np.int64]

BATCH = 256  # phrases searched, and evaluated, together
NATS_TOLERANCE = 0.8  # images that surely show a phrase differ by as many nats in logit_scale * cosine
_MIN_DILUTION = 0.05  # least difference of precision and prevalence that is divided by
_PREVALENCE_SAMPLE = 4096  # images on which the prevalence of a phrase is estimated
_RECENT = 2  # retrievals kept: of the phrases asked, and of the reference phrases that may be asked between
_IN_MEMORY = 2**28  # bytes of one array; larger ones are mapped from an unnamed temporary file


def neighbourhood_size(images: int) -> int:
    """Number of nearest images a phrase is judged by: a quarter of `images`, between 64 and 2,048."""
    return min(images, max(64, min(2048, images // 4)))


def anchor_similarity(similarities: Singles, images: int) -> Singles:
    """(q,) median cosine of the n_anchor nearest images: the similarity of images that surely show the phrase.

    `similarities`, (q, k), fall along each row; n_anchor is a hundredth of the `images`, from 5 to 20.
    """
    n_anchor = max(5, min(20, images // 100))
    return np.median(similarities[:, :n_anchor], axis=1)


def membership(similarities: Singles, anchor: Singles, logit_scale: float) -> Floats:
    """Probability that each of k images shows a phrase, (q, k) in [0, 1].

    A contrastive encoder is trained until logit_scale * cosine is, up to a constant, the log of the density ratio
    p(image | text) / p(image) (van den Oord et al., 2018, section 2.3). So the probability that an image shows the
    phrase is proportional to exp(logit_scale * cosine), and it is 1 where the cosine is that of the anchor images.

    Parameters
    ----------
    similarities : (q, k) cosines.
    anchor : (q,) from `anchor_similarity`.
    logit_scale : the encoder's inverse temperature.
    """
    certain = anchor.astype(np.float64) - NATS_TOLERANCE / logit_scale
    probability = np.exp(np.minimum(0.0, (similarities - certain[:, None]) * logit_scale))
    return probability.clip(min=1e-12)


@dataclass(frozen=True, slots=True)
class RetrievalQuality:
    """How clean q retrievals are, by their own memberships; every array is (q,) float64.

    Attributes
    ----------
    precision : expected share of images that show the phrase among those retrieved, weighted by membership.
    prevalence : expected share of images that show the phrase among all images.
    count : expected number of retrieved images that show the phrase.
    """

    precision: Floats
    prevalence: Floats
    count: Floats

    @classmethod
    def of(cls, memberships: Floats, prevalence: Floats) -> RetrievalQuality:
        """From `memberships`, (q, k), of the nearest images, and the `prevalence`, (q,), among all images."""
        count = memberships.sum(axis=1)
        return cls((memberships**2).sum(axis=1) / count, prevalence, count)

    @property
    def against_all(self) -> Floats:
        """Factor that turns (mean retrieved - mean of all) into (mean of those that show it - mean of all).

        With a and b the mean losses of images that do and do not show the phrase, the mean retrieved is precision a +
        (1 - precision) b and the mean of all is prevalence a + (1 - prevalence) b. This is regression calibration for a
        misclassified group (Carroll et al., Measurement Error in Nonlinear Models, 2006, chapter 4).
        """
        return (1 - self.prevalence) / np.maximum(self.precision - self.prevalence, _MIN_DILUTION)

    @property
    def against_rest(self) -> Floats:
        """The same for (mean of those that show it - mean of those that do not)."""
        return 1 / np.maximum(self.precision - self.prevalence, _MIN_DILUTION)


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The images retrieved for q phrases, nearest first.

    Attributes
    ----------
    texts : (q, d) float32 unit embeddings of the phrases.
    similarities : (q, k) float32 cosines; `neighbours` : (q, k) int64 positions among the retriever's images.
    memberships : (q, k) float64 probability that the image shows the phrase.
    quality, support : precision and prevalence, and how well the whole index supports each phrase.
    """

    texts: Singles
    similarities: Singles
    neighbours: Rows
    memberships: Floats
    quality: RetrievalQuality
    support: Support

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, some: slice | list[int]) -> Retrieved:
        """The retrieval of some of the phrases."""
        quality, support = (_rows_of(part, some) for part in (self.quality, self.support))
        return Retrieved(
            self.texts[some], self.similarities[some], self.neighbours[some], self.memberships[some], quality, support
        )

    def batches(self) -> list[Retrieved]:
        """Parts of at most BATCH phrases: what is computed from one fits in memory."""
        return [self[i : i + BATCH] for i in range(0, len(self), BATCH)]


class Retriever:
    """Retrieval among the images at some global rows of an index.

    Parameters
    ----------
    rows : (n,) rising global rows of the index; positions in a `Retrieved` refer to these.
    logit_scale : the encoder's inverse temperature.
    """

    def __init__(self, index: NearestImages, rows: Rows, logit_scale: float) -> None:
        self._index, self.rows, self._scale = index, rows, logit_scale
        self._position = np.full(len(index), -1, np.int64)
        self._position[rows] = np.arange(len(rows))
        self._allowed = None if len(rows) == len(index) else self._position >= 0
        self._k = neighbourhood_size(len(rows))
        self._sampled: Singles | None = None
        self._recent: deque[Retrieved] = deque(maxlen=_RECENT)

    def within(self, rows: Rows) -> Retriever:
        """Retrieval among a subset of the images, given by global rows."""
        return Retriever(self._index, rows, self._scale)

    def embeddings(self, positions: Rows) -> Singles:
        """(..., d) float32 embeddings of the images at `positions`, (...)."""
        rows = self.rows[positions]
        found: Singles = self._index.vectors[rows.ravel()].astype(np.float32).reshape(*rows.shape, -1)
        return found

    def find(self, texts: Singles, whole: Retrieved | None = None) -> Retrieved:
        """Retrieve the images that show each of `texts`, (q, d) unit embeddings. One search of the index a batch.

        For a retriever of a subset, `whole` is what the retriever of all images found for the same texts: which
        similarity surely fitting images have, and whether there are any, is a question to the whole index. Asking again
        for the same array of texts searches nothing.
        """
        for known in self._recent:
            if known.texts is texts:
                return known
        q, k = len(texts), min(self._k, len(self.rows))
        similarities, neighbours = _empty((q, k), np.float32), _empty((q, k), np.int64)
        memberships, prevalence = _empty((q, k), np.float64), np.empty(q)
        anchor = np.empty(q, np.float32)
        for start in range(0, q, BATCH):
            part = slice(start, start + BATCH)
            similarities[part], rows = self._index.search(texts[part], k, self._allowed)
            neighbours[part] = self._position[rows]
            anchor[part] = (
                anchor_similarity(similarities[part], len(self.rows)) if whole is None else whole.support.anchor[part]
            )
            memberships[part] = membership(similarities[part], anchor[part], self._scale)
            prevalence[part] = self._prevalence(texts[part], memberships[part], anchor[part])
        support = Support.of(anchor, prevalence, self._scale) if whole is None else whole.support
        quality = RetrievalQuality.of(memberships, prevalence)
        self._recent.append(Retrieved(texts, similarities, neighbours, memberships, quality, support))
        return self._recent[-1]

    def _prevalence(self, texts: Singles, retrieved: Floats, anchor: Singles) -> Floats:
        """(q,) share of the images that show each phrase. Where more do than were `retrieved`, only a sample tells."""
        if self._sampled is None:
            n = len(self.rows)
            self._sampled = self.embeddings(np.linspace(0, n - 1, min(_PREVALENCE_SAMPLE, n)).astype(np.int64))
        sampled = membership(texts @ self._sampled.T, anchor, self._scale)
        found: Floats = np.maximum(retrieved.sum(axis=1) / len(self.rows), sampled.mean(axis=1)).clip(max=1.0)
        return found


def _empty(shape: tuple[int, int], dtype: Any) -> NDArray[Any]:
    """An array in memory, or mapped from a temporary file that goes away with it where it is very large."""
    if np.dtype(dtype).itemsize * shape[0] * shape[1] <= _IN_MEMORY:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def _rows_of(part: Any, some: slice | list[int]) -> Any:
    """A dataclass of (q,) arrays, for some of the q."""
    return type(part)(*(getattr(part, f.name)[some] for f in fields(part)))
