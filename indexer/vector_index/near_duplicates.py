"""Groups of near-duplicates: video frames, bursts, crops of one photograph. Such images are not independent evidence.

Groups are read from the dendrogram of single linkage over the nearest neighbours. How near a duplicate is depends on
the encoder, so distances (one less the cosine) count in shares of that of two images drawn at random; and since images
drawn independently chain where they lie dense, what is not quite as near is a group only if it stands apart.
docs/method.md has the figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.storage.vectors import Embeddings, blocks, placed_blocks
from fsearch.indexer.vector_index.exact_search import ExactSearch, Floats, NearestImages
from fsearch.indexer.vector_index.spec import IndexKind

NEIGHBOURS = 32  # of each image that are looked at: a larger group hangs together through its members
EXACT_ROWS = 20_000  # past it, an inverted file is searched
_PROBES = 8  # its lists nearest to an image: what is as near as a duplicate lies in the same list or beside it
_PAIRS, _SAMPLE, _BATCH = 20_000, 4_096, 1_024

Groups = NDArray[np.int64]
Edges = tuple[Groups, Groups, NDArray[np.float64]]  # rows, rows, distances


@dataclass(frozen=True, slots=True)
class Rule:
    """When a component of single linkage is a group; distances are shares of that of two images drawn at random.

    Attributes
    ----------
    sure : linked up to this distance, it always is one.
    limit : linked beyond this one, it never is.
    apart : between the two it is one if the nearest image outside is so many times as far as its longest link.
    """

    sure: float = 0.05
    limit: float = 0.15
    apart: float = 2.25


RULE = Rule()


def find(vectors: Floats, rule: Rule = RULE, seed: int = 0) -> Groups:
    """(n,) int64 group of each of `vectors`, (n, d) unit rows; numbered from 0 in order of first appearance."""
    return find_in(ExactSearch(vectors), rule, seed)


def find_in(index: NearestImages, rule: Rule = RULE, seed: int = 0, live: Groups | None = None) -> Groups:
    """The same for all vectors of an index. The cost is that of NEIGHBOURS nearest neighbours for each.

    `live`, (m,) int64 rising: the rows that images have; all of them by default. What was there before an image changed
    links no two others, and is a group of its own.
    """
    import scipy.sparse
    from scipy.sparse.csgraph import minimum_spanning_tree

    rows = len(index)
    live = np.arange(rows) if live is None else live
    if len(live) < 2:
        return np.arange(rows)
    apart = _random_distance(index.vectors, live, seed)
    lives = np.isin(np.arange(rows), live)
    if apart <= 0:  # all images are alike
        return np.where(lives, 0, np.arange(rows) + 1)
    reach = rule.limit * rule.apart * apart  # how far it is to the outside matters up to here
    near = _near_pairs(_searchable(index, seed), reach, lives)
    edges = [np.concatenate(part) for part in zip(*near, strict=True)]
    ends = edges[0].astype(np.int32), edges[1].astype(np.int32)  # older versions of scipy take no others for a tree
    tree = scipy.sparse.csr_array((edges[2], ends), shape=(rows, rows))
    found = minimum_spanning_tree(tree).tocoo()
    order = np.argsort(found.data, kind="stable")
    return _cut(rows, (found.row[order], found.col[order], found.data[order] / apart), rule)


def _random_distance(vectors: Embeddings, live: Groups, seed: int) -> float:
    """Median of one less the cosine of two of the `live` rows of `vectors`, (n, d) unit rows, drawn at random."""
    rng = np.random.default_rng([seed, 61])
    some = live[np.sort(rng.choice(len(live), min(len(live), _SAMPLE), replace=False))]
    sample = np.asarray(vectors[some], np.float32)
    first, second = rng.integers(0, len(some), (2, _PAIRS))
    other = first != second
    return float(1.0 - np.median(np.einsum("ij,ij->i", sample[first[other]], sample[second[other]])))


def dense(labels: NDArray[np.integer]) -> Groups:
    """`labels`, (n,), as numbers from 0 in order of first appearance: images of n groups get 0 to n - 1."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    place = np.empty(len(first), np.int64)
    place[np.argsort(first)] = np.arange(len(first))
    return place[inverse]


def _cut(rows: int, tree: Edges, rule: Rule) -> Groups:
    """The largest components of a minimum spanning tree, edges shortest first, that `rule` makes groups.

    Nodes are the rows and, from `rows` on, each merge of two; the edge of a merge is the longest link inside.
    """
    nodes = rows + len(tree[2])
    top, parent = list(range(nodes)), [-1] * nodes

    def root(node: int) -> int:
        while top[node] != node:
            top[node] = node = top[top[node]]
        return node

    for node, (first, second) in enumerate(zip(tree[0].tolist(), tree[1].tolist(), strict=True), start=rows):
        for side in (root(first), root(second)):
            top[side] = parent[side] = node
    links = np.concatenate([np.zeros(rows), tree[2]])
    above = np.asarray(parent)
    outside = np.where(above < 0, np.inf, links[above])
    accepted = (links <= rule.sure) | ((links <= rule.limit) & (outside >= rule.apart * links))
    accepted[:rows] = True
    label = [-1] * nodes
    for node in range(nodes - 1, -1, -1):
        up = parent[node]
        label[node] = label[up] if up >= 0 and label[up] >= 0 else node if accepted[node] else -1
    return dense(np.asarray(label[:rows]))


def _near_pairs(index: NearestImages, reach: float, lives: NDArray[np.bool_]) -> Iterator[Edges]:
    """Pairs of rows that live, (n,) bool, at most `reach` apart, block by block, each in one direction or both."""
    for start, block in placed_blocks(index.vectors):
        for first in range(0, len(block), _BATCH):
            queries = block[first : first + _BATCH].astype(np.float32)
            similarities, rows = index.search(queries, NEIGHBOURS, nprobe=_PROBES)
            query, place = np.nonzero((similarities >= 1.0 - reach) & (rows >= 0))
            own, other = query + start + first, rows[query, place]
            distance = np.maximum(1.0 - similarities[query, place].astype(np.float64), 1e-9)  # 0 would be no edge
            kept = (own != other) & lives[own] & lives[other]
            yield own[kept], other[kept], distance[kept]


def _searchable(index: NearestImages, seed: int) -> NearestImages:
    """`index`, or one of its vectors that is searched faster for few neighbours of very many queries."""
    if not isinstance(index, ExactSearch):
        return index
    from fsearch.indexer.vector_index.build import make
    from fsearch.indexer.vector_index.index import VectorIndex, exact_index

    vectors, rows = index.vectors, len(index)
    dim = vectors[:1].shape[1]
    if rows <= EXACT_ROWS:
        filled = exact_index(vectors, dim)
    else:
        kind = IndexKind("ivf-fp16", int(4 * rows**0.5), 2 * dim)
        rng = np.random.default_rng([seed, 67])

        def sample(count: int) -> Floats:
            picked = np.sort(rng.choice(rows, min(count, rows), replace=False))
            return np.asarray(vectors[picked], np.float32)

        filled = VectorIndex(kind, make(kind, dim, sample, seed), vectors)
    filled.add(blocks(vectors))
    return filled
