"""A fitted ensemble on disk: plain .npy arrays, and a JSON manifest with the hash of each file. No pickle.

A fit may come from somebody else: whatever an answer depends on is checked when it is loaded, by `soundness.py`; that
no bit has changed is checked by `find_damage`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser import ensemble
from fsearch.diagnoser.ensemble import Bagged
from fsearch.diagnoser.fit_report import FitReport
from fsearch.diagnoser.groups import Groups, singletons
from fsearch.diagnoser.loss_transform import LossTransform
from fsearch.diagnoser.reference_bank import BankResult, ReferenceBank
from fsearch.diagnoser.soundness import require_arrays, require_numbers
from fsearch.diagnoser.stacking import Stacking
from fsearch.diagnoser.support import SupportThresholds
from fsearch.diagnoser.trees import Trees
from fsearch.indexer.errors import NotReadyError, WorkspaceError
from fsearch.indexer.storage.files import DamagedArrayError, file_sha256, load_array, write_atomic
from fsearch.indexer.storage.inside import remove
from fsearch.indexer.storage.layout import Layout
from fsearch.indexer.workspace.calibration import Calibration

_FORMAT = 9
_TREES = ("nodes", "roots", "counts", "base")
_ARRAYS = (
    *("rows", "groups", "members", "out_of_bag", "texts", "vocabulary", "background", "bank_lifts", "coefficients"),
    *_TREES,
)
_MANIFEST_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class FitArtifact:
    """An ensemble ready to be asked.

    Attributes
    ----------
    rows : (n,) int64 global rows of the images with a prediction, rising.
    groups : (n,) int32 group of repeated images that each belongs to, numbered in order of first appearance.
    members : (b, n) float32 expected losses less the mean loss; `out_of_bag` : (b, n) bool.
    predict : (m, d) points to (b, m) such.
    bank : result of the reference phrases among the images of the fit; None where it was not stored.
    background : (2, v) how well these fit common things (standing.py); None where it was not stored.
    """

    report: FitReport
    rows: NDArray[np.int64]
    groups: NDArray[np.int32]
    members: NDArray[np.float32]
    out_of_bag: NDArray[np.bool_]
    reference: ReferenceBank
    predict: Callable[[NDArray[np.float32]], NDArray[np.float64]]
    bank: BankResult | None = None
    background: NDArray[np.float64] | None = None

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

    def calibrated(self, calibration: Calibration | None) -> FitArtifact:
        """The same, read by what labelled images taught; the result of the reference phrases goes with it."""
        bank = self.bank if self.bank is not None and self.bank.calibration == calibration else None
        return replace(self, reference=self.reference.calibrated(calibration), bank=bank)


def save(layout: Layout, bagged: Bagged, artifact: FitArtifact) -> None:
    """Write a fit into its model's folder: complete, or not at all. Call inside `store.writer()`.

    Raises WorkspaceError where the disk is full.
    """
    report, reference, bank = artifact.report, artifact.reference, artifact.bank
    folder = layout.model(report.model)
    part = layout.fit_under_way(report.model)
    trees = Trees.of(bagged.boosters, reference.texts.shape[1])
    arrays: dict[str, NDArray[Any]] = {
        "rows": artifact.rows,
        "groups": artifact.groups,
        "members": artifact.members,
        "out_of_bag": artifact.out_of_bag,
        "texts": reference.texts,
        "vocabulary": reference.rivals,
        "background": np.empty((2, 0)) if artifact.background is None else artifact.background,
        "bank_lifts": bank.lifts if bank else np.empty(0),
        "coefficients": bagged.coefficients,
        "nodes": trees.nodes,
        "roots": trees.roots,
        "counts": trees.counts,
        "base": trees.base,
    }
    manifest = {
        "format": _FORMAT,
        "report": asdict(report),
        "transform": asdict(bagged.transform),
        "stacking": asdict(bagged.stacking),
        "logit_scale": reference.logit_scale,
        "thresholds": asdict(reference.thresholds) if reference.thresholds else None,
        "conformal": bank.conformal if bank else None,
        "calibration": bank.calibration.as_json() if bank and bank.calibration else "",
    }
    _settle(layout, report.model)
    try:
        part.mkdir(parents=True)
        for name, array in arrays.items():
            np.save(part / f"{name}.npy", array, allow_pickle=False)
        manifest["files"] = {path.name: file_sha256(path) for path in sorted(part.iterdir())}
        manifest["sha256"] = manifest_sha256(manifest)
        write_atomic(part / "manifest.json", json.dumps(manifest, indent=1).encode())
    except BaseException as error:
        remove(part)
        if isinstance(error, OSError):
            raise WorkspaceError(
                f"the fit could not be written into {folder.parent} ({error.strerror or 'is the disk full?'}); "
                "all else was kept"
            ) from error
        raise
    _settle(layout, report.model)


def _settle(layout: Layout, model: str) -> None:
    """Give a complete fit its place, and delete what is left: a fit that is not complete, or one that was replaced.

    Whenever a kill comes, the fit of before or the new one is complete, in a folder where `Layout.fit_file` finds it.
    """
    folder, part, old = layout.model(model), layout.fit_under_way(model), layout.fit_replaced(model)
    if (part / "manifest.json").exists():  # it is written last
        remove(old)
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    remove(part)
    remove(old)


def load(layout: Layout, model: str, dim: int | None = None) -> FitArtifact:
    """Read the fit of `model`; `dim`, where given, is the length of the embeddings it must be of.

    Raises NotReadyError where there is none, WorkspaceError where it is damaged.
    """
    folder = layout.fit_file(model, "manifest.json").parent
    if not layout.model(model).exists() and not (folder / "manifest.json").exists():
        raise NotReadyError(f"no ensemble for model {model!r} yet; run: fsearch fit")
    try:
        return _read(layout, model, _manifest(layout, model), dim)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, DamagedArrayError) as error:
        raise WorkspaceError(f"the ensemble in {folder} is damaged; run: fsearch fit") from error


def find_damage(layout: Layout, model: str, dim: int) -> str | None:
    """What is wrong with the fit of `model`, in a few words; None where every byte is what was saved.

    Raises NotReadyError where there is none, or one of another version.
    """
    folder = layout.fit_file(model, "manifest.json").parent
    try:
        load(layout, model, dim)
        files = dict(_manifest(layout, model)["files"])
        there = {path.name for path in folder.iterdir()} - {"manifest.json"}
        if there != set(files):
            return f"files are missing or too many: {', '.join(sorted(there ^ set(files))[:3])}"
        changed = [name for name, sha256 in files.items() if file_sha256(layout.fit_file(model, name)) != sha256]
        return f"{changed[0]} is not what was saved" if changed else None
    except WorkspaceError as error:
        return f"the ensemble cannot be read: {error.__cause__ or error}".splitlines()[0]
    except OSError as error:
        return f"the ensemble cannot be read: {error.strerror}"


def _manifest(layout: Layout, model: str) -> dict[str, Any]:
    """Raises ValueError where the manifest is not what was saved, NotReadyError where another version made it."""
    with layout.fit_file(model, "manifest.json").open("rb") as file:
        manifest = json.loads(file.read(_MANIFEST_BYTES))
    if "sha256" in manifest and manifest["sha256"] != manifest_sha256(manifest):
        raise ValueError("manifest.json is not what was saved")
    if manifest.get("format") != _FORMAT or "sha256" not in manifest:
        raise NotReadyError(f"the ensemble of model {model!r} was made by another version of fsearch; run: fsearch fit")
    return dict(manifest)


def manifest_sha256(manifest: dict[str, Any]) -> str:
    """SHA-256 of all that a manifest says, but for this hash."""
    said = {name: value for name, value in manifest.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _read(layout: Layout, model: str, manifest: dict[str, Any], dim: int | None) -> FitArtifact:
    """Raises ValueError and the like for what is not sound."""
    arrays = {name: load_array(layout.fit_file(model, f"{name}.npy"), "r") for name in _ARRAYS}
    report, transform = FitReport(**manifest["report"]), LossTransform(**manifest["transform"])
    stacking = Stacking(**manifest["stacking"])
    stored, scale, conformal = manifest["thresholds"], float(manifest["logit_scale"]), manifest["conformal"]
    thresholds = SupportThresholds(**stored) if stored else None
    if report.model != model:
        raise ValueError(f"it is the fit of {report.model!r}")
    for part in (report, transform, stacking, thresholds):
        require_numbers(part)
    if conformal is not None and not 0 <= float(conformal) < float("inf"):
        raise ValueError("conformal is no number")
    require_arrays(arrays, report.members, scale, dim)
    trees = Trees(*(np.array(arrays[name]) for name in _TREES))
    coefficients = np.array(arrays["coefficients"])
    trees.require_sound(report.members, coefficients.shape[1] - 1)

    def predict(points: NDArray[np.float32]) -> NDArray[np.float64]:
        return ensemble.predict(trees.predict, coefficients, transform, stacking, points)

    vocabulary, lifts = (np.asarray(arrays[name]) for name in ("vocabulary", "bank_lifts"))
    reference = ReferenceBank(np.asarray(arrays["texts"]), scale, thresholds, vocabulary)
    read_by = Calibration.from_json(manifest.get("calibration", ""))
    bank = None if conformal is None else BankResult(lifts, float(conformal), read_by)
    rows, groups, members, out_of_bag = (arrays[name] for name in _ARRAYS[:4])
    background = np.asarray(arrays["background"])
    return FitArtifact(report, rows, groups, members, out_of_bag, reference, predict, bank, background)
