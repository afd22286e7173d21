"""FAISS on a GPU: centres of lists, the list of each vector, and many searches. What fails there is done on the CPU."""

from __future__ import annotations

import logging
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.device import Device
from fsearch.indexer.vector_index.exact_search import Found, Singles

_log = logging.getLogger(__name__)

_MOST = 2048  # neighbours, and lists, that FAISS takes on a GPU
_WORTH = 256  # queries from which on it pays to copy an index to the GPU


def wanted(device: Device) -> bool:
    """Whether FAISS is to use a GPU: unless it must not, wherever it sees one."""
    return device != "cpu" and faiss.get_num_gpus() > 0


def copied(index: Any) -> Any | None:
    """`index` on the first GPU; None where that has no room for it, or none for its kind."""
    try:
        return faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
    except RuntimeError as error:
        _log.warning("an index of %d vectors stays on the CPU: %s", index.ntotal, _line(error))
        return None


def centroids(vectors: Singles, lists: int, rounds: int, seed: int) -> NDArray[np.float32] | None:
    """(lists, dim) centres of a spherical k-means of (n, dim) `vectors` on the GPU; None where that fails."""
    try:
        means = faiss.Kmeans(
            vectors.shape[1],
            lists,
            niter=rounds,
            spherical=True,
            seed=seed,
            gpu=True,
            max_points_per_centroid=len(vectors),
        )
        means.train(vectors)
    except RuntimeError as error:
        _log.warning("k-means runs on the CPU: %s", _line(error))
        return None
    return means.centroids


class Searching:
    """Searches an index; in a copy on the GPU, once so much was asked that it pays, where the GPU takes the question.

    FAISS drops selectors on a GPU without a word, so a search under a condition never goes there.
    """

    def __init__(self, index: Any, device: Device) -> None:
        self._index = index
        self._copy: Any = None
        self._left = _WORTH
        self._gpu = wanted(device)

    def __call__(self, queries: Singles, k: int, *, probes: int = 0, selector: faiss.IDSelector | None = None) -> Found:
        """The k nearest of each of `queries`, (q, dim); `probes` are the lists to look at, in an index that has any."""
        parameters: Any = None
        if probes:
            parameters = faiss.SearchParametersIVF(nprobe=probes, sel=selector)  # type: ignore[call-arg]
        elif selector is not None:
            parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        found: Found
        if self._gpu and selector is None and max(k, probes) <= _MOST and self._moved(len(queries)):
            try:
                found = self._copy.search(queries, k, params=parameters)
                return found
            except RuntimeError as error:
                _log.warning("searches go on on the CPU: %s", _line(error))
                self._gpu, self._copy = False, None
        found = self._index.search(queries, k, params=parameters)
        return found

    def _moved(self, queries: int) -> bool:
        """Whether there is a copy on the GPU; made once enough was asked."""
        self._left -= queries
        if self._left > 0:
            return False
        if self._copy is None or self._copy.ntotal != self._index.ntotal:
            self._copy = copied(self._index)
            self._gpu = self._copy is not None
        return self._gpu


def _line(error: RuntimeError) -> str:
    """What FAISS says is wrong, without where in its code."""
    return str(error).strip().splitlines()[0].rsplit("Error: ", 1)[-1].rsplit("failed: ", 1)[-1]
