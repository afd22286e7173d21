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
from fsearch.diagnoser.ensemble import Bagged
from fsearch.diagnoser.fit_report import FitReport
from fsearch.diagnoser.groups import Groups, singletons
from fsearch.diagnoser.loss_transform import LossTransform
from fsearch.diagnoser.reference_bank import BankResult, ReferenceBank
from fsearch.diagnoser.stacking import Stacking
from fsearch.diagnoser.support import SupportThresholds
from fsearch.indexer.errors import NotReadyError, WorkspaceError
from fsearch.indexer.storage.files import DamagedArrayError, load_array
from fsearch.indexer.storage.layout import Layout

_FORMAT = 5
_ARRAYS = ("rows", "groups", "members", "out_of_bag", "texts", "vocabulary", "bank_lifts")


@dataclass(frozen=True, slots=True)
class FitArtifact:
    """An ensemble ready to be asked.

    Attributes
    ----------
    rows : (n,) int64 global rows of the images with a prediction, rising.
    groups : (n,) int32 group of repeated images that each belongs to, numbered in order of first appearance.
    members : (b, n) float32 predictions; `out_of_bag` : (b, n) bool.
    predict : (m, d) points to (b, m) expected losses; loads XGBoost when called.
    bank : result of the reference phrases among the images of the fit; None where it was not stored.
    """

    report: FitReport
    rows: NDArray[np.int64]
    groups: NDArray[np.int32]
    members: NDArray[np.float32]
    out_of_bag: NDArray[np.bool_]
    reference: ReferenceBank
    predict: Callable[[NDArray[np.float32]], NDArray[np.float64]]
    bank: BankResult | None = None

    @classmethod
    def of(
        cls,
        bagged: Bagged,
        rows: NDArray[np.int64],
        reference: ReferenceBank,
        report: FitReport,
        groups: Groups | None = None,
    ) -> FitArtifact:
        """A fit that was just made; without `groups` each image is its own."""
        numbers = singletons(len(rows)) if groups is None else np.asarray(groups, np.int32)
        return cls(report, rows, numbers, bagged.members, bagged.out_of_bag, reference, bagged.predict)


def save(layout: Layout, bagged: Bagged, artifact: FitArtifact) -> None:
    """Write a fit into its model's folder: complete, or not at all. Call inside `store.writer()`."""
    report, reference, bank = artifact.report, artifact.reference, artifact.bank
    folder = layout.model(report.model)
    part = folder.with_name(f".{report.model}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    ensemble.save(bagged.boosters, part)
    arrays: dict[str, NDArray[Any]] = {
        "rows": artifact.rows,
        "groups": artifact.groups,
        "members": artifact.members,
        "out_of_bag": artifact.out_of_bag,
        "texts": reference.texts,
        "vocabulary": reference.rivals,
        "bank_lifts": bank.lifts if bank else np.empty(0),
        "coefficients": bagged.coefficients,
    }
    for name, array in arrays.items():
        np.save(part / f"{name}.npy", array, allow_pickle=False)
    manifest = {
        "format": _FORMAT,
        "report": asdict(report),
        "transform": asdict(bagged.transform),
        "stacking": asdict(bagged.stacking),
        "logit_scale": reference.logit_scale,
        "thresholds": asdict(reference.thresholds) if reference.thresholds else None,
        "conformal": bank.conformal if bank else None,
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
    arrays = (load_array(folder / f"{name}.npy", "r") for name in _ARRAYS)
    rows, groups, members, out_of_bag, texts, vocabulary, lifts = arrays
    report, transform = FitReport(**manifest["report"]), LossTransform(**manifest["transform"])
    stacking = Stacking(**manifest["stacking"])

    def predict(points: NDArray[np.float32]) -> NDArray[np.float64]:
        coefficients = load_array(folder / "coefficients.npy")
        return ensemble.predict(ensemble.load(folder, report.members), coefficients, transform, stacking, points)

    stored, scale, conformal = manifest["thresholds"], float(manifest["logit_scale"]), manifest["conformal"]
    thresholds = SupportThresholds(**stored) if stored else None
    reference = ReferenceBank(np.asarray(texts), scale, thresholds, np.asarray(vocabulary))
    bank = None if conformal is None else BankResult(np.asarray(lifts), float(conformal))
    return FitArtifact(report, rows, groups, members, out_of_bag, reference, predict, bank)
