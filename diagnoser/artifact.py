"""A fitted ensemble on disk: XGBoost's own files, plain .npy arrays and a JSON manifest. No pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser import ensemble
from fsearch.diagnoser.bridge import Moments
from fsearch.diagnoser.ensemble import Bagged
from fsearch.diagnoser.fit_report import FitReport
from fsearch.diagnoser.loss_transform import Target
from fsearch.diagnoser.reference_bank import Reference
from fsearch.diagnoser.stacking import Blend
from fsearch.diagnoser.support import Floors
from fsearch.indexer.errors import NotReadyError, WorkspaceError
from fsearch.indexer.storage.files import DamagedArrayError, load_array
from fsearch.indexer.storage.layout import Layout

_FORMAT = 2
_ARRAYS = ("rows", "members", "out_of_bag", "mean", "covariance", "texts")


@dataclass(frozen=True, slots=True)
class FitArtifact:
    """An ensemble ready to be asked.

    Attributes
    ----------
    rows : (n,) int64 global rows of the images with a prediction, rising.
    members : (b, n) float32 predictions; `out_of_bag` : (b, n) bool.
    moments : of the embeddings of those images.
    predict : (m, d) points to (b, m) expected losses; loads XGBoost when called.
    """

    report: FitReport
    rows: NDArray[np.int64]
    members: NDArray[np.float32]
    out_of_bag: NDArray[np.bool_]
    moments: Moments
    reference: Reference
    predict: Callable[[NDArray[np.float32]], NDArray[np.float64]]

    @classmethod
    def of(
        cls, bagged: Bagged, rows: NDArray[np.int64], moments: Moments, reference: Reference, report: FitReport
    ) -> FitArtifact:
        """A fit that was just made."""
        return cls(report, rows, bagged.members, bagged.out_of_bag, moments, reference, bagged.predict)


def save(
    layout: Layout,
    bagged: Bagged,
    rows: NDArray[np.int64],
    moments: Moments,
    reference: Reference,
    report: FitReport,
) -> None:
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
        "texts": reference.texts,
        "coefficients": bagged.coefficients,
    }
    for name, array in arrays.items():
        np.save(part / f"{name}.npy", array, allow_pickle=False)
    manifest = {
        "format": _FORMAT,
        "report": asdict(report),
        "target": asdict(bagged.target),
        "blend": asdict(bagged.blend),
        "logit_scale": reference.logit_scale,
        "floors": asdict(reference.floors) if reference.floors else None,
    }
    (part / "manifest.json").write_text(json.dumps(manifest, indent=1))
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def load(layout: Layout, model: str) -> FitArtifact:
    """Read the fit of `model`. Raises NotReadyError where there is none, WorkspaceError where it is damaged."""
    folder = layout.model(model)
    if not folder.exists():
        raise NotReadyError(f"no ensemble for model {model!r} yet; run: fsearch fit")
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
        if manifest.get("format") != _FORMAT:
            raise NotReadyError(
                f"the ensemble of model {model!r} was made by another version of fsearch; run: fsearch fit"
            )
        return _read(folder, manifest)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, DamagedArrayError) as error:
        raise WorkspaceError(f"the ensemble in {folder} is damaged; run: fsearch fit") from error


def _read(folder: Path, manifest: dict[str, Any]) -> FitArtifact:
    rows, members, out_of_bag, mean, covariance, texts = (load_array(folder / f"{name}.npy", "r") for name in _ARRAYS)
    report, target, blend = (
        FitReport(**manifest["report"]),
        Target(**manifest["target"]),
        Blend(**manifest["blend"]),
    )
    floors = Floors(**manifest["floors"]) if manifest["floors"] else None

    def predict(points: NDArray[np.float32]) -> NDArray[np.float64]:
        coefficients = load_array(folder / "coefficients.npy")
        return ensemble.predict(ensemble.load(folder, report.members), coefficients, target, blend, points)

    moments = Moments(np.asarray(mean), np.asarray(covariance))
    reference = Reference(np.asarray(texts), float(manifest["logit_scale"]), floors)
    return FitArtifact(report, rows, members, out_of_bag, moments, reference, predict)
