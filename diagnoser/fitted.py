"""A fitted ensemble on disk: XGBoost's own files, plain .npy arrays and a JSON manifest. No pickle."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser import ensemble
from fsearch.diagnoser.bridge import Moments
from fsearch.diagnoser.ensemble import Bagged, Target
from fsearch.indexer.errors import NotReady, WorkspaceError
from fsearch.indexer.layout import Layout


@dataclass(frozen=True, slots=True)
class FitReport:
    """How well the embedding explains the losses, measured out of bag.

    Attributes
    ----------
    images : distinct images in the fit.
    spearman, r2 : out-of-bag rank correlation, and share of variance explained, of predicted and real loss.
    spearman_permuted : the same correlation after fitting to permuted losses: what no signal gives.
    signal : whether spearman is above both that and chance (one-sided p < 0.001).
    conformal : factor on the standard error that makes a 90% interval.
    residual_variance : variance of real less predicted loss.
    loss_std : standard deviation of the losses.
    """

    model: str
    images: int
    mean_loss: float
    loss_std: float
    members: int
    spearman: float
    r2: float
    spearman_permuted: float
    signal: bool
    conformal: float
    residual_variance: float
    log_target: bool
    seed: int

    def __str__(self) -> str:
        target = "log(1 + loss)" if self.log_target else "the loss itself"
        lines = [
            f"model {self.model}: {self.members} members on {self.images:,} images, target {target}",
            f"  out of bag: Spearman {self.spearman:.3f}, R2 {self.r2:.3f} "
            f"(Spearman with permuted losses: {self.spearman_permuted:.3f})",
        ]
        if not self.signal:
            lines.append("  warning: " + NO_SIGNAL)
        return "\n".join(lines)


NO_SIGNAL = (
    "no better than chance: these embeddings do not explain where this model fails, so no phrase is judged; "
    "the observed lifts are real, but may be luck"
)


@dataclass(frozen=True, slots=True)
class Fitted:
    """An ensemble read back from a workspace.

    Attributes
    ----------
    rows : (n,) int64 global rows of the images in the fit, rising.
    members : (b, n) float32 predictions; `out_of_bag` : (b, n) bool.
    moments : of the embeddings of those images.
    """

    folder: Path
    report: FitReport
    target: Target
    rows: NDArray[np.int64]
    members: NDArray[np.float32]
    out_of_bag: NDArray[np.bool_]
    moments: Moments

    def predict(self, points: NDArray[np.float32]) -> NDArray[np.float64]:
        """(b, m) each member's expected loss at any points, (m, d): loads XGBoost."""
        return ensemble.predict(ensemble.load(self.folder, self.report.members), self.target, points)


def save(layout: Layout, bagged: Bagged, rows: NDArray[np.int64], moments: Moments, report: FitReport) -> None:
    """Write a fit into its model's folder: complete, or not at all. Call inside `store.writer()`."""
    folder = layout.model(report.model)
    part = folder.with_name(f".{report.model}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    ensemble.save(bagged.boosters, part)
    arrays: dict[str, NDArray[Any]] = {
        "rows": rows,
        "members": bagged.members,
        "out_of_bag": bagged.out_of_bag,
        "mean": moments.mean,
        "covariance": moments.covariance,
    }
    for name, array in arrays.items():
        np.save(part / f"{name}.npy", array, allow_pickle=False)
    manifest = {"report": asdict(report), "target": asdict(bagged.target)}
    (part / "manifest.json").write_text(json.dumps(manifest, indent=1))
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def load(layout: Layout, model: str) -> Fitted:
    """Read the fit of `model`. Raises NotReady where there is none, WorkspaceError where it is damaged."""
    folder = layout.model(model)
    if not folder.exists():
        raise NotReady(f"no ensemble for model {model!r} yet; run: fsearch fit")
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
            for name in ("rows", "members", "out_of_bag", "mean", "covariance")
        }
        return Fitted(
            folder,
            FitReport(**manifest["report"]),
            Target(**manifest["target"]),
            arrays["rows"],
            arrays["members"],
            arrays["out_of_bag"],
            Moments(np.asarray(arrays["mean"]), np.asarray(arrays["covariance"])),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WorkspaceError(f"the ensemble in {folder} is damaged; run: fsearch fit") from error
