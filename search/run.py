"""What a ranking was made with: all that it takes to make it again."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from fsearch import __version__
from fsearch.indexer.workspace.store import Store
from fsearch.search.options import QueryOptions

if TYPE_CHECKING:  # listing runs loads no fit
    from fsearch.diagnoser.artifact import FitArtifact

_ENGINES = ("torch", "open_clip_torch", "xgboost", "duckdb", "numpy", "scipy")


@dataclass(frozen=True, slots=True)
class Run:
    """What a ranking was made with.

    Attributes
    ----------
    source : the hypothesis file, or "api"; calibration : what labelled images had taught, as JSON.
    images : images that took part; fit_images, fit_seed : images the ensemble was trained on, and the fit's seed.
    """

    model: str
    encoder: str
    source: str
    options: QueryOptions
    permutations: int
    templates: tuple[str, ...]
    images: int
    fit_seed: int
    fit_images: int
    calibration: str | None

    @classmethod
    def of(cls, store: Store, fit: FitArtifact, images: int, source: str, options: QueryOptions) -> Run:
        """A ranking of the phrases of `source` by a fit, asked of so many images."""
        from fsearch.diagnoser.estimate import PERMUTATIONS

        calibration, report = fit.reference.calibration, fit.report
        return cls(
            model=report.model,
            encoder=str(store.encoder),
            source=source,
            options=options,
            permutations=PERMUTATIONS,
            templates=store.templates,
            images=images,
            fit_seed=report.seed,
            fit_images=report.sampled,
            calibration=None if calibration is None else calibration.as_json(),
        )

    def as_row(self) -> dict[str, Any]:
        """One row of the table `runs`, but for its id and time."""
        options = self.options
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "options"}
        return own | {
            "bridge": options.bridge,
            "seed": options.seed,
            "condition": options.where,
            "by": options.by,
            "correction": options.fdr,
            "options": json.dumps(asdict(options)),
            "templates": json.dumps(self.templates),
            "versions": versions(),
        }


def versions() -> str:
    """JSON of the versions of fsearch and of the engines under it."""
    found = {"fsearch": __version__}
    for name in _ENGINES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return json.dumps(found)
