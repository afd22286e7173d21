"""Embedding shards: append-only float16 .npy files, written durably, read by memory map."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.errors import WorkspaceError
from fsearch.indexer.storage.files import DamagedArrayError, file_sha256, load_array, write_atomic
from fsearch.indexer.storage.inside import remove
from fsearch.indexer.storage.layout import Layout

DTYPE = np.float16


@dataclass(frozen=True, slots=True)
class Shard:
    """One committed shard: its number, how many rows it has, and the SHA-256 of its file."""

    number: int
    rows: int
    sha256: str


def write_shard(layout: Layout, number: int, embeddings: NDArray[Any]) -> Shard:
    """Write unit `embeddings`, (n, d), as shard `number`: on disk and synced before this returns."""
    layout.vectors.mkdir(parents=True, exist_ok=True)
    data = encode(embeddings)
    write_atomic(layout.shard(number), data)
    return Shard(number, len(embeddings), hashlib.sha256(data).hexdigest())


def encode(embeddings: NDArray[Any]) -> bytes:
    """The content of a shard's file."""
    buffer = io.BytesIO()
    np.save(buffer, embeddings.astype(DTYPE), allow_pickle=False)
    return buffer.getvalue()


def intact(layout: Layout, shard: Shard, dim: int) -> bool:
    """Whether a shard's file is, to the byte, what was committed. One of another size is not read."""
    path = layout.shard(shard.number)
    try:
        return path.stat().st_size == len(encode(np.empty((0, dim)))) + 2 * dim * shard.rows and (
            file_sha256(path) == shard.sha256
        )
    except OSError:
        return False


def orphans(layout: Layout, shards: Sequence[Shard]) -> list[Path]:
    """Files among the shards that no transaction names; a crash left them."""
    known = {layout.shard(s.number).name for s in shards}
    return sorted(p for p in layout.vectors.glob("*.npy*") if p.name not in known)


def read_shard(layout: Layout, shard: Shard, dim: int) -> NDArray[np.float16]:
    """Memory-map one shard as (rows, dim) float16. Raises WorkspaceError where it is not what the catalog says."""
    path = layout.shard(shard.number)
    try:
        vectors = load_array(path, mmap_mode="r")
    except (OSError, DamagedArrayError) as error:
        raise WorkspaceError(f"{path} is missing or damaged; run: fsearch check --repair") from error
    if vectors.shape != (shard.rows, dim) or vectors.dtype != DTYPE:
        raise WorkspaceError(f"{path} holds {vectors.shape} {vectors.dtype}; the catalog says ({shard.rows}, {dim})")
    return vectors  # type: ignore[no-any-return]


def drop_orphans(layout: Layout, shards: Sequence[Shard]) -> int:
    """Delete shard files that no transaction names (a crash left them); returns how many there were."""
    found = orphans(layout, shards)
    for path in found:
        remove(path)
    return len(found)
