"""Places on the map by UMAP (McInnes, Healy and Melville, arXiv 1802.03426), made once and cached.

The cache is `maps` in $FSEARCH_CACHE, else ~/.cache/fsearch: off the commit path, bounded, safe to delete.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.errors import BadInputError, NotReadyError
from fsearch.indexer.storage.layout import cache_folder
from fsearch.indexer.workspace.image_reader import prune
from fsearch.indexer.workspace.store import Store

NEIGHBORS, MIN_IMAGES = 15, 5
MAX_CACHE_BYTES = 64 << 20
Floats = NDArray[np.float32]
Rows = NDArray[np.int64]


def cached(store: Store, rows: Rows) -> Floats | None:
    """(n, 2) float32 places of the images at some global `rows`, (n,); None where they were never made."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        found = np.load(entry_of(store, rows), allow_pickle=False)
        if found.shape == (len(rows), 2) and found.dtype == np.float32 and np.isfinite(found).all():
            return np.asarray(found, np.float32)
    return None


def place(store: Store, rows: Rows, start: Floats) -> Floats:
    """The same, made and cached where they were not; the images begin at `start`, (n, 2), so that it can be repeated.

    Raises NotReadyError where umap-learn is not installed, BadInputError for a handful of images.
    """
    known = cached(store, rows)
    if known is not None:
        return known
    if len(rows) < MIN_IMAGES:
        raise BadInputError(f"UMAP needs {MIN_IMAGES} images or more")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it does not find installed
        try:
            import umap
        except ImportError as error:
            raise NotReadyError("UMAP needs umap-learn: pip install 'fsearch-vision[map]'") from error
        vectors = np.asarray(store.vectors()[rows], np.float32)
        near = min(NEIGHBORS, len(rows) - 1)
        model = umap.UMAP(n_neighbors=near, metric="cosine", init=start, random_state=0, n_jobs=1)
        found = np.asarray(model.fit_transform(vectors), np.float32)
    _keep(store, rows, found)
    return found


def entry_of(store: Store, rows: Rows) -> Path:
    """The file of these places; its name changes when an embedding does."""
    said = repr((NEIGHBORS, [shard.sha256 for shard in store.shards()], hashlib.sha256(rows.tobytes()).hexdigest()))
    name = hashlib.sha256(said.encode()).hexdigest()
    return cache_folder() / "maps" / name[:2] / f"{name[2:40]}.npy"


def _keep(store: Store, rows: Rows, places: Floats) -> None:
    """Write places where they can be; a full disk or a cache that is not ours costs time, nothing else."""
    with contextlib.suppress(OSError, RuntimeError):
        entry, file = entry_of(store, rows), io.BytesIO()
        np.save(file, places)
        entry.parent.mkdir(parents=True, exist_ok=True)
        part = entry.with_name(f"{entry.name}.{os.getpid()}.part")
        part.write_bytes(file.getvalue())
        part.replace(entry)
        prune(entry.parents[1], MAX_CACHE_BYTES)
