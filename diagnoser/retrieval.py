"""Retrieval: which images show a phrase, each with the chance that it does. The index is asked once for a batch.

What follows retrieval (lift, observed evidence, contrast, confounding) is a pure function of a `Retrieved`.
"""

from __future__ import annotations

import tempfile
from collections import deque
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.centring import NEAREST as FEW
from fsearch.diagnoser.centring import best_similarity, centred_similarity, mean_vector
from fsearch.diagnoser.membership import anchor_similarity, membership, scales
from fsearch.diagnoser.retrieval_quality import RetrievalQuality
from fsearch.diagnoser.support import Support
from fsearch.indexer.vector_index.exact_search import NearestImages

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Rows = NDArray[np.int64]

BATCH = 256  # phrases searched, and evaluated, together
EVERY = 8192  # images up to which a phrase is judged by all of them
NEAREST, SAMPLED = 2048, 4096  # beyond: the nearest, and a random sample of the rest
_RECENT = 2  # retrievals kept: of the phrases asked, and of the reference phrases that may be asked between
_AT_ONCE = 65_536  # embeddings read at once in a pass over all of them
_IN_MEMORY = 2**28  # bytes of one array; larger ones are mapped from an unnamed temporary file


def judged_images(images: int) -> tuple[int, int]:
    """(nearest, others): how many of `images` a phrase is judged by.

    All of them, up to EVERY; beyond, the nearest and a random sample of the rest.
    """
    return (images, 0) if images <= EVERY else (NEAREST, SAMPLED)


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The images that q phrases are judged by: the nearest first, then a sample of the rest.

    Attributes
    ----------
    texts : (q, d) float32 unit embeddings of the phrases; `directions` : the same less what all phrases share.
    similarities : (q, k) float32 inner products of directions and images.
    neighbours : (q, k) int64 positions among the retriever's images.
    memberships : (q, k) float64 probability that the image shows the phrase.
    copies : (q, k) float32, how many images each stands for: the inverse of the chance that it is among the k (Horvitz
        and Thompson, JASA 1952). Ones where all images are judged; a row sums to the number of images.
    scale : (q,) float64, the temperature that memberships were read at.
    quality, support : precision and prevalence, and how well the whole index supports each phrase.
    """

    texts: Singles
    directions: Singles
    similarities: Singles
    neighbours: Rows
    memberships: Floats
    copies: Singles
    scale: Floats
    quality: RetrievalQuality
    support: Support

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, some: slice | list[int]) -> Retrieved:
        """The retrieval of some of the phrases."""
        quality, support = (_rows_of(part, some) for part in (self.quality, self.support))
        return Retrieved(
            self.texts[some],
            self.directions[some],
            self.similarities[some],
            self.neighbours[some],
            self.memberships[some],
            self.copies[some],
            self.scale[some],
            quality,
            support,
        )

    @property
    def weights(self) -> Floats:
        """(q, k) how many images that show the phrase each of the judged images stands for."""
        return self.memberships * self.copies

    def batches(self) -> list[Retrieved]:
        """Parts of at most BATCH phrases: what is computed from one fits in memory."""
        return [self[i : i + BATCH] for i in range(0, len(self), BATCH)]


class Retriever:
    """Retrieval among the images at some global rows of an index.

    Parameters
    ----------
    rows : (n,) rising global rows of the index; positions in a `Retrieved` refer to these.
    logit_scale : the encoder's inverse temperature.
    slope : of the truth on membership, where labels taught it.
    generic : (d,) what is taken off each phrase before images are compared with it (centring.py).
    text_mean : (d,) mean of the text embeddings, where centred similarities are asked for.
    """

    def __init__(
        self,
        index: NearestImages,
        rows: Rows,
        logit_scale: float,
        slope: float = 1.0,
        generic: Singles | None = None,
        text_mean: Singles | None = None,
    ) -> None:
        self._index, self.rows, self._scale = index, rows, logit_scale
        self._slope, self._generic, self._text_mean = slope, generic, text_mean
        self._position = np.full(len(index), -1, np.int64)
        self._position[rows] = np.arange(len(rows))
        self._allowed = None if len(rows) == len(index) else self._position >= 0
        self._nearest, others = judged_images(len(rows))
        chosen = np.random.default_rng([len(rows), 41]).choice(len(rows), others, replace=False)
        self._sample: Rows = np.sort(chosen).astype(np.int64)
        self._recent: deque[Retrieved] = deque(maxlen=_RECENT)

    @property
    def index(self) -> NearestImages:
        """The index that it searches."""
        return self._index

    def within(self, rows: Rows) -> Retriever:
        """Retrieval among a subset of the images, given by global rows."""
        return Retriever(self._index, rows, self._scale, self._slope, self._generic, self._text_mean)

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
        q, k = len(texts), self._nearest + len(self._sample)
        directions = texts if self._generic is None else texts - self._generic
        similarities, neighbours = empty((q, k), np.float32), empty((q, k), np.int64)
        memberships, copies = empty((q, k), np.float64), empty((q, k), np.float32)
        anchor, scale = np.empty(q, np.float32), np.empty(q)
        quality: list[RetrievalQuality] = []
        for start in range(0, q, BATCH):
            part = slice(start, start + BATCH)
            similarities[part], neighbours[part], copies[part] = self._judged(directions[part])
            near, stands_for = similarities[part], copies[part]
            if whole is None:
                anchor[part] = anchor_similarity(near[:, : self._nearest], self._scale)
                scale[part] = scales(near, stands_for, anchor[part], self._scale)
            else:
                anchor[part], scale[part] = whole.support.anchor[part], whole.scale[part]
            memberships[part] = membership(near, anchor[part], scale[part])
            own = membership(near, anchor[part], self._scale)
            quality.append(RetrievalQuality.of(memberships[part], stands_for, len(self.rows), own))
        joined = RetrievalQuality.joined(quality).corrected(self._slope)
        share = joined.count / len(self.rows)
        support = self._support(texts, neighbours, anchor, share) if whole is None else whole.support
        found = Retrieved(texts, directions, similarities, neighbours, memberships, copies, scale, joined, support)
        self._recent.append(found)
        return found

    def best(self, texts: Singles) -> tuple[Floats, Floats]:
        """(q,) similarity and centred similarity of each of `texts`, (q, d), with its best images; nothing else."""
        directions = texts if self._generic is None else texts - self._generic
        best, centred = np.empty(len(texts)), np.empty(len(texts))
        for start in range(0, len(texts), BATCH):
            part = slice(start, start + BATCH)
            similarities, rows = self._index.search(directions[part], min(FEW, len(self.rows)), self._allowed)
            best[part], centred[part] = best_similarity(similarities), self._centred(texts[part], self._position[rows])
        return best, centred

    def memberships(self, found: Retrieved, i: int) -> Floats:
        """(n,) chance that each image, judged or not, shows phrase i of `found`: one pass over the embeddings."""
        anchor, scale, direction = found.support.anchor[[i]], found.scale[[i]], found.directions[i]
        chances = np.empty(len(self.rows))
        for start in range(0, len(chances), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            alike = self.embeddings(np.arange(len(chances))[part]) @ direction
            chances[part] = membership(alike[None], anchor, scale)[0]
        return chances

    @cached_property
    def image_mean(self) -> Singles:
        """(d,) mean embedding of the images, of a random sample where they are many."""
        return mean_vector(self._sampled if len(self._sample) else self.embeddings(np.arange(len(self.rows))))

    @cached_property
    def _sampled(self) -> Singles:
        """(m, d) embeddings of the sample."""
        return self.embeddings(self._sample)

    def _support(self, texts: Singles, neighbours: Rows, anchor: Singles, share: Floats) -> Support:
        return Support.of(anchor, share, self._scale, self._centred(texts, neighbours))

    def _centred(self, texts: Singles, neighbours: Rows) -> Floats:
        if self._text_mean is None:
            return np.full(len(texts), np.nan)
        return centred_similarity(texts, neighbours, self.embeddings, self.image_mean, self._text_mean)

    def _judged(self, directions: Singles) -> tuple[Singles, Rows, Singles]:
        """Similarities, positions and copies, (q, k) each, of the images that phrases are judged by."""
        similarities, rows = self._index.search(directions, self._nearest, self._allowed)
        near = self._position[rows]
        if not len(self._sample):
            return similarities, near, np.ones(near.shape, np.float32)
        again = np.stack([np.isin(self._sample, row, assume_unique=True) for row in near])
        left = len(self.rows) - self._nearest
        stands_for = np.where(again, 0.0, left / np.maximum((~again).sum(axis=1), 1)[:, None]).astype(np.float32)
        others = np.broadcast_to(self._sample, again.shape)
        return (
            np.concatenate([similarities, directions @ self._sampled.T], axis=1),
            np.concatenate([near, others], axis=1),
            np.concatenate([np.ones(near.shape, np.float32), stands_for], axis=1),
        )


def empty(shape: tuple[int, int], dtype: Any) -> NDArray[Any]:
    """An array in memory, or mapped from a temporary file that goes away with it where it is very large."""
    if np.dtype(dtype).itemsize * shape[0] * shape[1] <= _IN_MEMORY:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def _rows_of(part: Any, some: slice | list[int]) -> Any:
    """A dataclass of (q,) arrays, for some of the q."""
    return type(part)(*(getattr(part, f.name)[some] for f in fields(part)))
