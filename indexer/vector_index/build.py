"""Construct an empty FAISS index of a kind, trained on a sample; tell the kind of an index that was read from a file.

Centroids of inverted lists are those of a spherical k-means (Dhillon and Modha, 2001): embeddings are unit vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.device import Device
from fsearch.indexer.vector_index import gpu
from fsearch.indexer.vector_index.spec import IndexKind, KindName

_ITERATIONS = 10  # of k-means
_HNSW_MIN_LISTS = 6_000  # lists from which on a graph finds the nearest one sooner
_HNSW_LINKS = 16
_CODE_TRAINING_ROWS = 100_000  # training vectors of the codes: there are 256 centroids to a part of a product code
_PQ_BITS = 8

SCALAR_QUANTIZERS: dict[KindName, int] = {
    "ivf-fp16": faiss.ScalarQuantizer.QT_fp16,
    "ivf-sq8": faiss.ScalarQuantizer.QT_8bit,
}


def make(
    kind: IndexKind, dim: int, sample: Callable[[int], NDArray[np.float32]], seed: int = 0, device: Device = "cpu"
) -> Any:
    """An empty, trained index of `kind`. `sample` returns that many of the vectors it will hold, (n, dim) float32."""
    if kind.name == "exact":
        return faiss.IndexFlatIP(dim)
    vectors = sample(kind.training_rows)
    quantizer: Any = faiss.IndexFlatIP(dim)
    quantizer.add(_centroids(vectors, kind.nlist, seed, device))
    index: Any
    if kind.name == "ivf-pq":
        index = faiss.IndexIVFPQ(quantizer, dim, kind.nlist, kind.code_size, _PQ_BITS, faiss.METRIC_INNER_PRODUCT)
    else:
        codes: Any = SCALAR_QUANTIZERS[kind.name]
        index = faiss.IndexIVFScalarQuantizer(quantizer, dim, kind.nlist, codes, faiss.METRIC_INNER_PRODUCT, False)
    index.quantizer_trains_alone = 1
    index.train(vectors[:_CODE_TRAINING_ROWS])
    quantizer.this.disown()
    index.own_fields = True
    return index


def kind_of(index: Any) -> IndexKind | None:
    """The kind of a FAISS index; None where it is none of those that `make` constructs."""
    if isinstance(index, faiss.IndexFlat):
        return IndexKind("exact", 0, 4 * index.d)
    if isinstance(index, faiss.IndexIVFPQ):
        return IndexKind("ivf-pq", index.nlist, index.code_size)
    if isinstance(index, faiss.IndexIVFScalarQuantizer):
        names = {quantizer: name for name, quantizer in SCALAR_QUANTIZERS.items()}
        name = names.get(index.sq.qtype)
        return None if name is None else IndexKind(name, index.nlist, index.code_size)
    return None


def _centroids(vectors: NDArray[np.float32], nlist: int, seed: int, device: Device) -> NDArray[np.float32]:
    """(nlist, dim) centroids by spherical k-means; on the CPU by Super K-means, which prunes distances."""
    if gpu.use_gpu(device) and (found := gpu.centroids(vectors, nlist, _ITERATIONS, seed)) is not None:
        return found
    kmeans = faiss.SuperKmeans(  # type: ignore[attr-defined]
        vectors.shape[1],
        nlist,
        niter=_ITERATIONS,
        spherical=True,
        seed=1234 + seed,
        max_points_per_centroid=len(vectors),
    )
    kmeans.train(vectors)
    centroids: NDArray[np.float32] = kmeans.centroids
    return centroids


def list_assigner(index: Any, device: Device = "cpu") -> Callable[[NDArray[np.float32]], NDArray[np.int64]]:
    """The function that assigns vectors, (n, dim), to inverted lists, (n,): the nearest centroid of each.

    With many lists on a CPU, a hierarchical navigable small world graph over the centroids finds it (Malkov and
    Yashunin, 2016). The graph serves for adding alone: asked for many lists, or with phrases, which lie far from all of
    them, it misses half.
    """
    quantizer = faiss.downcast_index(index.quantizer)
    on_gpu = gpu.copy_to_gpu(quantizer) if gpu.use_gpu(device) else None
    if on_gpu is not None:
        quantizer = on_gpu
    elif index.nlist >= _HNSW_MIN_LISTS:
        graph = faiss.IndexHNSWFlat(index.d, _HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction, graph.hnsw.efSearch = 80, 32
        graph.add(quantizer.reconstruct_n(0, index.nlist))
        quantizer = graph
    return lambda vectors: np.ascontiguousarray(quantizer.search(vectors, 1)[1][:, 0])
