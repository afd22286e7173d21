"""Inventory of a workspace, in counts: the answer to `fsearch info`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fsearch.indexer.storage.metadata import column_names
from fsearch.indexer.vector_index.index_stats import IndexStats, read_stats
from fsearch.indexer.workspace.calibration import in_force
from fsearch.indexer.workspace.encoder_spec import DEMO
from fsearch.indexer.workspace.image_groups import grouped_by
from fsearch.indexer.workspace.store import Store

_SHOWN = 10  # rejected files


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One black box in a workspace; the fit's figures are None before `fit`."""

    model: str
    images: int
    mean_loss: float
    spearman: float | None
    spearman_permuted: float | None
    signal: bool | None
    training_share: float | None
    failed: int


@dataclass(frozen=True, slots=True)
class Info:
    """What a workspace holds, and the version of fsearch that wrote its catalog."""

    workspace: str
    fsearch_version: str
    encoder: str
    dim: int
    calibration: str
    images: int
    missing: int
    damaged: int
    groups: int
    largest_group: int
    grouped_by: str | None
    embeddings: int
    index: IndexStats | None
    sources: tuple[tuple[str, int], ...]
    models: tuple[ModelInfo, ...]
    metadata: tuple[str, ...]
    templates: tuple[str, ...]
    runs: int
    rejected: tuple[tuple[str, str], ...]
    rejected_total: int

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        index = {"index": self.index and asdict(self.index) | {"saved_at": self.index.saved_at.isoformat()}}
        return asdict(self) | index

    def __str__(self) -> str:
        lines = [
            f"workspace   {self.workspace}",
            f"encoder     {self.encoder}, {self.dim} dimensions",
            f"calibrated  {self.calibration}",
            f"images      {self.images:,} present, {self.missing:,} missing, {self.embeddings:,} embeddings",
            *([f"groups      {self._groups()}"] if self.largest_group > 1 else []),
            *([f"index       {self.index}"] if self.index else []),
            *(
                [f"damaged     {self.damaged:,} images lost their embedding: index their source again"]
                if self.damaged
                else []
            ),
            *(f"source      {name}: {count:,} images" for name, count in self.sources),
            f"metadata    {', '.join(self.metadata) or 'none'}",
            f"runs        {self.runs:,}",
        ]
        lines += [f"template    {t}" for t in self.templates]
        lines += [f"model       {_model_line(m)}" for m in self.models] or ["model       none; add losses with index"]
        lines.append(f"rejected    {self.rejected_total:,}")
        lines += [f"            {key}: {reason}" for key, reason in self.rejected]
        if self.rejected_total > len(self.rejected):
            lines.append('            … all of them: fsearch sql "SELECT key, reason FROM rejected"')
        return "\n".join(lines)

    def _groups(self) -> str:
        kind = "of near-duplicates" if self.grouped_by is None else f"by {self.grouped_by}"
        return f"{self.groups:,} {kind}, the largest of {self.largest_group:,}: fsearch info --groups"


def _model_line(m: ModelInfo) -> str:
    head = f"{m.model}: {m.images:,} losses, mean {m.mean_loss:.3f}"
    if m.failed:
        head += f", {m.failed:,} images FAILED (reasons: table prediction_errors)"
    if m.spearman is None:
        return f"{head}; not fitted yet, run: fsearch fit"
    doubt = "" if m.signal else "; NO SIGNAL above chance"
    if m.training_share:
        doubt += f"; {m.training_share:.0%} of them TRAINING LOSSES"
    return f"{head}; out-of-bag Spearman {m.spearman:.3f} (permuted {m.spearman_permuted:.3f}){doubt}"


def _calibration(store: Store) -> str:
    """With what the encoder was calibrated, in words."""
    found = in_force(store.calibration, store.encoder, store.templates)
    lost = store.calibration not in (None, found)
    left = "; what labels taught is of another encoder or other templates" if lost else ""
    if found is not None:
        return f"with {found}{left}"
    if store.encoder.name == DEMO:
        return f"with portraits like its own{left}"
    return f"not: fsearch calibrate --labels COLUMN_OR_FILE{left}"


def inventory(store: Store) -> Info:
    """Count everything in one read of the catalog."""
    with store.catalog.read("model_summary") as con:

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
        groups, largest = rows(
            "SELECT count(*), coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM images WHERE status = 'present' "
            "GROUP BY coalesce(group_id, image_id))"
        )[0]
        sources = rows("SELECT source, count(*) FROM images WHERE status = 'present' GROUP BY source ORDER BY source")
        refused = rows(f"SELECT key, reason FROM rejected ORDER BY key LIMIT {_SHOWN}")
        ((version,),) = rows("SELECT value FROM settings WHERE name = 'fsearch_version'")
        metadata = column_names(con)
    return Info(
        workspace=str(store.layout.root),
        fsearch_version=str(version),
        encoder=str(store.encoder),
        dim=store.encoder.dim,
        calibration=_calibration(store),
        images=present,
        missing=missing,
        damaged=damaged,
        groups=int(str(groups)),
        largest_group=int(str(largest)),
        grouped_by=grouped_by(store),
        embeddings=embeddings,
        index=read_stats(store.catalog),
        sources=tuple((str(name), int(str(count))) for name, count in sources),
        models=tuple(ModelInfo(*row) for row in models),  # type: ignore[arg-type]
        metadata=tuple(metadata),
        templates=store.templates,
        runs=runs,
        rejected=tuple((str(key), str(reason)) for key, reason in refused),
        rejected_total=rejected,
    )
