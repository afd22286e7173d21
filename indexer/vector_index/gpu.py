"""FAISS on a GPU: k-means, list assignment, and searches of many queries. What fails there is done on the CPU."""

from __future__ import annotations

import logging
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.device import Device
from fsearch.indexer.vector_index.exact_search import Floats, Neighbors

_log = logging.getLogger(__name__)

GPU_MAX_K = 2048  # the most neighbours, and the most lists, that FAISS takes on a GPU
GPU_MIN_QUERIES = 256  # queries from which on it pays to copy an index to the GPU


def use_gpu(device: Device) -> bool:
    """Whether FAISS is to use a GPU: if it sees one, unless `device` is cpu."""
    return device != "cpu" and faiss.get_num_gpus() > 0


def copy_to_gpu(index: Any) -> Any | None:
    """`index` on the first GPU; None where that lacks memory for it or does not support its kind."""
    try:
        return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
    except RuntimeError as error:
        _log.warning("an index of %d vectors stays on the CPU: %s", index.ntotal, _line(error))
        return None


def centroids(vectors: Floats, nlist: int, iterations: int, seed: int) -> NDArray[np.float32] | None:
    """(nlist, dim) centroids of (n, dim) `vectors` by spherical k-means on the GPU; None where that fails."""
    try:
        kmeans = faiss.Kmeans(
            vectors.shape[1],
            nlist,
            niter=iterations,
            spherical=True,
            seed=seed,
            gpu=True,
            max_points_per_centroid=len(vectors),
        )
        kmeans.train(vectors)
    except RuntimeError as error:
        _log.warning("k-means runs on the CPU: %s", _line(error))
        return None
    return kmeans.centroids


class Searcher:
    """Searches a FAISS index; a copy of it on the GPU after GPU_MIN_QUERIES queries, where the GPU supports the search.

    FAISS silently ignores selectors on a GPU, so a filtered search never goes there.
    """

    def __init__(self, index: Any, device: Device) -> None:
        self._index = index
        self._copy: Any = None
        self._queries_left = GPU_MIN_QUERIES
        self._gpu = use_gpu(device)

    def __call__(
        self, queries: Floats, k: int, *, nprobe: int = 0, selector: faiss.IDSelector | None = None
    ) -> Neighbors:
        """The k nearest of each of `queries`, (q, dim); `nprobe` lists are probed in an index that has any."""
        parameters: Any = None
        if nprobe:
            parameters = faiss.SearchParametersIVF(nprobe=nprobe, sel=selector)  # type: ignore[call-arg]
        elif selector is not None:
            parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        found: Neighbors
        if self._gpu and selector is None and max(k, nprobe) <= GPU_MAX_K and self._is_copied(len(queries)):
            try:
                found = self._copy.search(queries, k, params=parameters)
                return found
            except RuntimeError as error:
                _log.warning("searches go on on the CPU: %s", _line(error))
                self._gpu, self._copy = False, None
        found = self._index.search(queries, k, params=parameters)
        return found

    def _is_copied(self, queries: int) -> bool:
        """Whether there is a current copy on the GPU; it is made after enough queries."""
        self._queries_left -= queries
        if self._queries_left > 0:
            return False
        if self._copy is None or self._copy.ntotal != self._index.ntotal:
            self._copy = copy_to_gpu(self._index)
            self._gpu = self._copy is not None
        return self._gpu


def _line(error: RuntimeError) -> str:
    """The message of FAISS without the position in its source."""
    return str(error).strip().splitlines()[0].rsplit("Error: ", 1)[-1].rsplit("failed: ", 1)[-1]
