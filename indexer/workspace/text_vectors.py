"""Embeddings of phrases, kept in the catalog: a phrase that was asked before needs no text tower.

They are a cache. Keeping some never makes a question fail, and never makes it wait for another process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.errors import WorkspaceError
from fsearch.indexer.storage.catalog import Connection
from fsearch.indexer.workspace.store import Store

Floats = NDArray[np.float32]
Generation = tuple[int, ...]

PATIENCE = 0.2  # seconds that a question may wait to keep what it embedded


def known_texts(store: Store, texts: Iterable[str]) -> dict[str, Floats]:
    """The embedding, (dim,) float32, of each of `texts` that was kept."""
    query = "SELECT text, vector FROM text_vectors WHERE encoder = ? AND text IN (SELECT unnest(?::VARCHAR[]))"
    with store.catalog.read() as con:
        rows = con.execute(query, [store.encoder.identity, list(texts)]).fetchall()
    found = {text: np.frombuffer(vector, np.dtype("<f4")).astype(np.float32) for text, vector in rows}
    return {text: vector for text, vector in found.items() if vector.shape == (store.encoder.dim,)}


def keep_texts(store: Store, vectors: Mapping[str, Floats]) -> Generation | None:
    """Keep embeddings by their texts. Returns the generation of the catalog before that; None where they are not kept.

    They are not where the workspace cannot be written, or another process reads or writes it and does not end at once.
    """
    try:
        with store.catalog.write(PATIENCE, turn=0) as con:
            before = store.layout.generation()
            insert_texts(con, store, vectors)
    except (WorkspaceError, OSError):
        return None
    return before


def insert_texts(con: Connection, store: Store, vectors: Mapping[str, Floats]) -> None:
    """Insert embeddings, (dim,) float32, by their texts."""
    statement = (
        "INSERT OR IGNORE INTO text_vectors (encoder, text, vector) SELECT ?, unnest(?::VARCHAR[]), unnest(?::BLOB[])"
    )
    held = [vector.astype("<f4").tobytes() for vector in vectors.values()]
    con.execute(statement, [store.encoder.identity, list(vectors), held])
