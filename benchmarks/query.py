"""A warm query through the API at 100,000 vectors beside its two unavoidable parts: text tower and exact FAISS search.

The vectors are synthetic clusters of unit length; the text tower is ViT-B-32's with random weights. Both sides ask one
new phrase each time.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
from benchmarks.indexing import NAME, random_weights
from benchmarks.measure import machine, paired

import fsearch
from fsearch.indexer.embedding.encoder import load_encoder
from fsearch.indexer.storage.rows import insert, utc_now
from fsearch.indexer.storage.shards import write_shard
from fsearch.indexer.workspace.store import Store

ROWS, REPEATS, TOP = 100_000, 50, 20


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name))


def measure(work: Path) -> None:
    spec = random_weights(work)
    vectors = clusters(ROWS, spec.dim)
    store = Store.create(work / "w", spec)
    with store.writer():
        fill(store, vectors)
        store.sync_index()
    ws = fsearch.open(work / "w", NAME)
    ws.fit()
    encoder = load_encoder(spec)
    flat = faiss.IndexFlatIP(spec.dim)
    flat.add(vectors)
    words = iter(f"a photo of thing number {i}" for i in range(10_000))

    def ours() -> None:
        ws.query(next(words), top=TOP)

    def bare() -> None:
        flat.search(encoder.embed_texts([next(words)]), TOP)

    ours()
    bare()
    mine, alone, ratio = paired(ours, bare, REPEATS)
    print(f"query: warm, {ROWS:,} x {spec.dim} vectors, median of {REPEATS} ({machine()})")
    print(f"  fsearch {mine * 1e3:.0f} ms, text tower + exact FAISS search {alone * 1e3:.0f} ms, ratio {1 / ratio:.2f}")


def clusters(rows: int, dim: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(200, dim)) + 0.5
    x = centres[rng.integers(0, 200, rows)] + rng.normal(size=(rows, dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def fill(store: Store, vectors: np.ndarray) -> None:
    """Commit `vectors` as if images had been indexed, with losses that depend on them."""
    n = len(vectors)
    rng = np.random.default_rng(1)
    now = utc_now()
    shard = write_shard(store.layout, 0, vectors)
    images = {
        "image_id": np.arange(n),
        "source": ["bench"] * n,
        "key": [f"{i:06d}.jpg" for i in range(n)],
        "sha256": [f"{i:064x}" for i in range(n)],
        "width": np.full(n, 224, np.int32),
        "height": np.full(n, 224, np.int32),
        "bytes": np.full(n, 1),
        "mtime_ns": np.full(n, 1),
        "row": np.arange(n),
        "status": ["present"] * n,
        "indexed_at": [now] * n,
    }
    losses = {
        "model": ["bench"] * n,
        "image_id": np.arange(n),
        "loss": rng.gamma(1.0, np.exp(4 * vectors[:, 0])),
        "label": pa.nulls(n, pa.string()),
        "prediction": pa.nulls(n, pa.string()),
    }
    with store.catalog.write() as con:
        con.execute(
            "INSERT INTO shards (shard, first_row, rows, sha256) VALUES (0, 0, ?, ?)", [shard.rows, shard.sha256]
        )
        insert(con, "images", pa.table(images))
        insert(con, "losses", pa.table(losses))


if __name__ == "__main__":
    main()
