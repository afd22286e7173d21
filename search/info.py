"""What `fsearch info` tells, as frozen dataclasses that print well."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from fsearch.indexer.vector_index.sync import IndexStats


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
    """What a workspace holds."""

    workspace: str
    encoder: str
    dim: int
    images: int
    missing: int
    damaged: int
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
            f"images      {self.images:,} present, {self.missing:,} missing, {self.embeddings:,} embeddings",
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
