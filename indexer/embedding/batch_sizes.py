"""How an index run is cut into pieces, apart from the code that does so: options of commands hold it."""

from __future__ import annotations

from dataclasses import dataclass

BATCH = 64
SHARD_ROWS = 2048
CHUNK_IMAGES = 512
MERGE_EVERY = 65_536


@dataclass(frozen=True, slots=True)
class BatchSizes:
    """How an index run is cut into pieces. No result depends on it.

    Attributes
    ----------
    batch : images in one forward pass.
    shard_rows : images in one commit.
    chunk_images : images that a worker of a cluster gets at once.
    merge_every : new hashes, kept in a dict, until they are merged into the sorted ones.
    """

    batch: int = BATCH
    shard_rows: int = SHARD_ROWS
    chunk_images: int = CHUNK_IMAGES
    merge_every: int = MERGE_EVERY


DEFAULT_SIZES = BatchSizes()
