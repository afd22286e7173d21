"""What is in a workspace, in counts: the answer to `fsearch info`."""

from __future__ import annotations

from fsearch.indexer.vector_index.sync import record
from fsearch.indexer.workspace.store import Store
from fsearch.search.info import Info, ModelInfo

_SHOWN = 10


def inventory(store: Store) -> Info:
    """Count everything in one read of the catalog."""
    with store.catalog.read() as con:

        def rows(query: str) -> list[tuple[object, ...]]:
            return con.execute(query).fetchall()

        counts = con.execute(
            "SELECT count(*) FILTER (status = 'present'), count(*) FILTER (status = 'missing'), "
            "count(*) FILTER (status = 'damaged'), "
            "(SELECT coalesce(sum(rows), 0) FROM shards), (SELECT count(*) FROM runs), "
            "(SELECT count(*) FROM rejected) FROM images"
        ).fetchone()
        assert counts is not None
        present, missing, damaged, embeddings, runs, rejected = map(int, counts)
        models = rows(
            "SELECT s.model, s.images, s.mean_loss, s.spearman, f.spearman_permuted, s.signal, f.training_share, "
            "(SELECT count(*) FROM prediction_errors e WHERE e.model = s.model) "
            "FROM model_summary s LEFT JOIN models f USING (model) ORDER BY s.model"
        )
        sources = rows("SELECT source, count(*) FROM images WHERE status = 'present' GROUP BY source ORDER BY source")
        refused = rows(f"SELECT key, reason FROM rejected ORDER BY key LIMIT {_SHOWN}")
        metadata = [str(name) for name, *_ in rows("DESCRIBE metadata") if name != "image_id"]
    return Info(
        workspace=str(store.layout.root),
        encoder=str(store.encoder),
        dim=store.encoder.dim,
        images=present,
        missing=missing,
        damaged=damaged,
        embeddings=embeddings,
        index=record(store.catalog),
        sources=tuple((str(name), int(str(count))) for name, count in sources),
        models=tuple(ModelInfo(*row) for row in models),  # type: ignore[arg-type]
        metadata=tuple(metadata),
        templates=store.templates,
        runs=runs,
        rejected=tuple((str(key), str(reason)) for key, reason in refused),
        rejected_total=rejected,
    )
