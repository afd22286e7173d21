"""Make an empty FAISS index of a kind, trained on a sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.device import Device
from fsearch.indexer.vector_index import gpu
from fsearch.indexer.vector_index.spec import Kind

_ROUNDS = 10
_GRAPH_FROM = 6_000  # lists from which on a graph finds the nearest sooner
_LINKS = 16
_BITS_ROWS = 100_000  # training vectors of the codes: there are 256 centres to a part


def make(
    kind: Kind, dim: int, sample: Callable[[int], NDArray[np.float32]], seed: int = 0, device: Device = "cpu"
) -> Any:
    """An empty index of `kind`, ready for vectors. `sample` gives that many of the vectors it will hold, (n, dim)."""
    if kind.name == "exact":
        return faiss.IndexFlatIP(dim)
    vectors = sample(kind.training_rows)
    coarse: Any = faiss.IndexFlatIP(dim)
    coarse.add(_centroids(vectors, kind.lists, seed, device))
    index: Any
    if kind.name == "ivf-pq":
        index = faiss.IndexIVFPQ(coarse, dim, kind.lists, kind.code, 8, faiss.METRIC_INNER_PRODUCT)
    else:
        codes: Any = faiss.ScalarQuantizer.QT_fp16 if kind.name == "ivf-fp16" else faiss.ScalarQuantizer.QT_8bit
        index = faiss.IndexIVFScalarQuantizer(coarse, dim, kind.lists, codes, faiss.METRIC_INNER_PRODUCT, False)
    index.quantizer_trains_alone = 1
    index.train(vectors[:_BITS_ROWS])
    coarse.this.disown()
    index.own_fields = True
    return index


def _centroids(vectors: NDArray[np.float32], lists: int, seed: int, device: Device) -> NDArray[np.float32]:
    """(lists, dim) centres of a spherical k-means; on the CPU by Super K-means, which prunes distances."""
    if gpu.wanted(device) and (found := gpu.centroids(vectors, lists, _ROUNDS, seed)) is not None:
        return found
    means = faiss.SuperKmeans(  # type: ignore[attr-defined]
        vectors.shape[1], lists, niter=_ROUNDS, spherical=True, seed=1234 + seed, max_points_per_centroid=len(vectors)
    )
    means.train(vectors)
    centroids: NDArray[np.float32] = means.centroids
    return centroids


def placing(index: Any, device: Device = "cpu") -> Callable[[NDArray[np.float32]], NDArray[np.int64]]:
    """What finds the list that each of n vectors goes into: the nearest; of many, on a CPU, the one a graph finds.

    The graph is a hierarchical navigable small world (Malkov and Yashunin, 2016). It serves for adding alone: asked for
    many lists, or with phrases, which lie far from all of them, it misses half.
    """
    centres = faiss.downcast_index(index.quantizer)
    there = gpu.copied(centres) if gpu.wanted(device) else None
    if there is not None:
        centres = there
    elif index.nlist >= _GRAPH_FROM:
        graph = faiss.IndexHNSWFlat(index.d, _LINKS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction, graph.hnsw.efSearch = 80, 32
        graph.add(centres.reconstruct_n(0, index.nlist))
        centres = graph
    return lambda vectors: np.ascontiguousarray(centres.search(vectors, 1)[1][:, 0])
