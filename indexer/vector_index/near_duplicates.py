"""Groups of near-duplicates: video frames, bursts, crops of one photograph. Such images are not independent evidence.

Two images are near-duplicates from a cosine on that is derived from the images themselves, because it depends on the
encoder; groups are the connected components of such pairs. docs/method.md says how the level was found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.storage.vectors import Embeddings, blocks, placed_blocks
from fsearch.indexer.vector_index.exact_search import ExactSearch, Floats, NearestImages
from fsearch.indexer.vector_index.spec import IndexKind

if TYPE_CHECKING:
    from fsearch.indexer.vector_index.index import VectorIndex

SPREAD = 0.06  # near-duplicates are so much nearer than two images drawn at random
NEIGHBOURS = 32  # of each image that are looked at: a larger group hangs together through its members
EXACT_ROWS = 20_000  # past it, an inverted file is searched
_PROBES = 8  # its lists nearest to an image: what is as near as a duplicate lies in the same list or beside it
_PAIRS, _SAMPLE, _BATCH = 20_000, 4_096, 1_024

Groups = NDArray[np.int64]


def find(vectors: Floats, level: float | None = None, seed: int = 0) -> Groups:
    """(n,) int64 group of each of `vectors`, (n, d) unit rows; numbered from 0 in order of first appearance.

    `level` is the cosine from which on two are near-duplicates; by default `near_level(vectors)`.
    """
    return find_in(_index(vectors, seed), level)


def find_in(index: NearestImages, level: float | None = None, seed: int = 0) -> Groups:
    """The same for all vectors of an index: the NEIGHBOURS nearest of each are compared, so cost stays bounded."""
    import scipy.sparse
    from scipy.sparse.csgraph import connected_components

    rows = len(index)
    if rows < 2:
        return np.zeros(rows, np.int64)
    near = near_level(index.vectors, seed) if level is None else level
    if isinstance(index, ExactSearch):
        index = _exact(index.vectors)  # for few neighbours of very many queries FAISS is faster
    pairs = np.concatenate([np.empty((2, 0), np.int64), *_near_pairs(index, near)], axis=1)
    links = scipy.sparse.coo_array((np.ones(pairs.shape[1], bool), pairs), shape=(rows, rows))
    return dense(connected_components(links, directed=False)[1])


def near_level(vectors: Embeddings, seed: int = 0) -> float:
    """The cosine from which on two of `vectors`, (n, d) unit rows, are near-duplicates.

    It lies where the distance is SPREAD of what it is between two images drawn at random.
    """
    rng = np.random.default_rng([seed, 61])
    some = np.sort(rng.choice(len(vectors), min(len(vectors), _SAMPLE), replace=False))
    sample = np.asarray(vectors[some], np.float32)
    first, second = rng.integers(0, len(some), (2, _PAIRS))
    apart = first != second
    cosines = np.einsum("ij,ij->i", sample[first[apart]], sample[second[apart]])
    return float(1.0 - SPREAD * (1.0 - np.median(cosines)))


def dense(labels: NDArray[np.integer]) -> Groups:
    """`labels`, (n,), as numbers from 0 in order of first appearance: images of n groups get 0 to n - 1."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    place = np.empty(len(first), np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    return place[inverse]


def _near_pairs(index: NearestImages, level: float) -> Iterator[Groups]:
    """(2, m) pairs of rows at least as near as `level`, block by block."""
    for start, block in placed_blocks(index.vectors):
        for first in range(0, len(block), _BATCH):
            queries = block[first : first + _BATCH].astype(np.float32)
            similarities, rows = index.search(queries, NEIGHBOURS, nprobe=_PROBES)
            query, place = np.nonzero((similarities >= level) & (rows >= 0))
            yield np.stack([query + start + first, rows[query, place]])


def _index(vectors: Floats, seed: int) -> VectorIndex:
    """An index of `vectors` in memory."""
    from fsearch.indexer.vector_index.build import make
    from fsearch.indexer.vector_index.index import VectorIndex

    rows, dim = vectors.shape
    if rows <= EXACT_ROWS:
        return _exact(vectors)
    kind = IndexKind("ivf-fp16", int(4 * rows**0.5), 2 * dim)
    rng = np.random.default_rng([seed, 67])
    trained = make(kind, dim, lambda n: vectors[np.sort(rng.choice(rows, min(n, rows), replace=False))], seed)
    index = VectorIndex(kind, trained, vectors)
    index.add(blocks(vectors))
    return index


def _exact(vectors: Embeddings) -> VectorIndex:
    from fsearch.indexer.vector_index.index import exact_index

    index = exact_index(vectors, vectors[:1].shape[1])
    index.add(blocks(vectors))
    return index
