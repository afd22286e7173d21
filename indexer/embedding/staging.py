"""Chunks of images embedded by workers of a cluster: written to a staging place there, read back by the driver.

A chunk is a file of vectors and a manifest. Vectors are written first, and the manifest holds their hash, so a chunk is
complete or does not count.
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fsearch.indexer.embedding.batch_sizes import BATCH
from fsearch.indexer.embedding.encoder import Encoder
from fsearch.indexer.embedding.pipeline import Outcome, PreparedImage
from fsearch.indexer.embedding.writer import ImageRecord, RejectedItem
from fsearch.indexer.sources.base import Item
from fsearch.indexer.sources.paths import Storage
from fsearch.indexer.sources.prefetch import prefetch, read_image
from fsearch.indexer.storage.files import DamagedArrayError, load_array
from fsearch.indexer.storage.shards import encode
from fsearch.indexer.workspace.encoder_spec import EncoderSpec


@dataclass(frozen=True, slots=True)
class Staging:
    """Where chunks lie until they are committed: a folder that every worker sees, or an fsspec URL."""

    place: str

    def write(self, name: str, vectors: bytes, outcomes: list[dict[str, Any]]) -> None:
        """Write a chunk."""
        storage = Storage(self.place)
        storage.write(f"{name}.npy", vectors)
        manifest = {"sha256": hashlib.sha256(vectors).hexdigest(), "outcomes": outcomes}
        storage.write(f"{name}.json", json.dumps(manifest).encode())

    def read(self, name: str, items: Sequence[Item]) -> list[Outcome] | None:
        """The outcome of each of `items`, in order; None where the chunk is missing or incomplete."""
        storage = Storage(self.place)
        manifest, data = storage.read(f"{name}.json"), storage.read(f"{name}.npy")
        if manifest is None or data is None:
            return None
        try:
            found = json.loads(manifest)
            if found["sha256"] != hashlib.sha256(data).hexdigest():
                return None
            vectors = load_array(io.BytesIO(data)).astype(np.float32)
            return [_outcome(item, o, vectors) for item, o in zip(items, found["outcomes"], strict=True)]
        except (ValueError, KeyError, TypeError, DamagedArrayError):
            return None

    def holds(self, name: str) -> bool:
        """Whether a chunk of that name exists; only reading it tells whether it is complete."""
        return Storage(self.place).holds(f"{name}.json")

    def forget(self, name: str) -> None:
        """Remove a chunk that is committed."""
        for ending in ("json", "npy"):
            Storage(self.place).remove(f"{name}.{ending}")

    def clear(self) -> None:
        """Remove the place with everything in it."""
        Storage(self.place).clear()


def chunk_name(items: Sequence[Item], spec: EncoderSpec) -> str:
    """The name of a chunk: the same for the same unchanged images and encoder, so that a later run finds it."""
    identity = [spec.name, spec.digest, *(f"{i.key}\n{i.size}\n{i.mtime_ns}" for i in items)]
    if any(i.mtime_ns is None for i in items):  # only reading tells whether such an image has changed
        identity.append(secrets.token_hex(16))
    return hashlib.sha256("\0".join(identity).encode()).hexdigest()[:32]


def embed_chunk(items: Sequence[Item], encoder: Encoder, batch: int = BATCH) -> tuple[bytes, list[dict[str, Any]]]:
    """Read and embed `items`: the content of a shard, and the outcome of each. Identical content is embedded once."""
    vectors = [np.empty((0, encoder.spec.dim), np.float32)]
    outcomes: list[dict[str, Any]] = []
    rows: dict[str, int] = {}
    for prepared in _batches(items, encoder, batch, outcomes, rows):
        vectors.append(encoder.embed_images(prepared))
    return encode(np.concatenate(vectors)), outcomes


def _batches(
    items: Sequence[Item], encoder: Encoder, size: int, outcomes: list[dict[str, Any]], rows: dict[str, int]
) -> Iterator[list[Any]]:
    """Encoder inputs, `size` at a time; the outcome of each item is appended on the way."""
    batch: list[Any] = []
    for read in prefetch(items, lambda item: _prepare(item, encoder), 3 * size):
        if isinstance(read, str):
            outcomes.append({"refused": read})
            continue
        found, prepared = read
        if found.sha256 not in rows:
            rows[found.sha256] = len(rows)
            batch.append(prepared)
        outcomes.append({"sha256": found.sha256, "size": found.size, "bytes": found.bytes, "row": rows[found.sha256]})
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _prepare(item: Item, encoder: Encoder) -> tuple[Any, Any] | str:
    found = read_image(item)
    return found if isinstance(found, str) else (found, encoder.prepare(found.image))


def _outcome(item: Item, entry: dict[str, Any], vectors: Any) -> Outcome:
    if "refused" in entry:
        return RejectedItem(item, entry["refused"])
    width, height = entry["size"]
    return PreparedImage(ImageRecord(item, entry["sha256"], (width, height), entry["bytes"]), vectors[entry["row"]])
