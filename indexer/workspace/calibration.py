"""A calibration as a workspace keeps it: what labelled images taught about its encoder, and which encoder that was.

It is learnt by `diagnoser/label_calibration.py`; the few that come with fsearch are read from `data/calibrations.json`.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from fsearch.indexer.errors import WorkspaceError
from fsearch.indexer.workspace.encoder_spec import EncoderSpec

SETTING = "calibration"
SHIPPED = Path(__file__).parents[2] / "data" / "calibrations.json"
_RANGES = {  # of numbers that are no nonsense, whoever wrote them
    "logit_scale": (1e-3, 1e5),
    "slope": (0.05, 20.0),
    "slope_error": (0.0, 10.0),
    "centred_similarity": (-2.0, 2.0),
    "log_mean_exp": (-1e6, 1e6),
    "images": (0, 2**53),
    "phrases": (0, 2**31),
}


@dataclass(frozen=True, slots=True)
class Calibration:
    """What labelled images say about an encoder.

    Attributes
    ----------
    labels : where the labels came from, in words; `images`, `phrases` : how many were learnt from.
    made_at : the day, as ISO 8601; `encoder` : its identity, and `templates` : what phrases were put into.
    logit_scale : inverse temperature that memberships are read at.
    slope : of the truth on membership, where 1 says that memberships are right on average; lifts are divided by it.
    slope_error : how far the slopes of phrases are from it, as a share of it.
    centred_similarity, log_mean_exp : a phrase below both is absent; None where there were too few labels to tell.
    """

    labels: str
    images: int
    phrases: int
    made_at: str
    encoder: str
    templates: tuple[str, ...]
    logit_scale: float
    slope: float
    slope_error: float
    centred_similarity: float | None = None
    log_mean_exp: float | None = None

    def as_json(self) -> str:
        """As the setting holds it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Calibration | None:
        """From the setting; None where it is empty. Raises ValueError where it is not what fsearch writes."""
        return cls.of(json.loads(text)) if text else None

    @classmethod
    def of(cls, said: Any) -> Calibration:
        """From a JSON object. Raises ValueError where a field is missing, of another type or out of range."""
        if not isinstance(said, dict) or set(said) != {f.name for f in fields(cls)}:
            raise ValueError("calibration has other fields")
        for name in ("labels", "made_at", "encoder"):
            if not isinstance(said[name], str):
                raise ValueError(f"calibration.{name} is no text")
        templates = said["templates"]
        if not isinstance(templates, list) or not all(isinstance(t, str) for t in templates):
            raise ValueError("calibration.templates is no list of texts")
        both = said["centred_similarity"] is None, said["log_mean_exp"] is None
        for name, (low, high) in _RANGES.items():
            value = said[name]
            if value is None and all(both) and name in ("centred_similarity", "log_mean_exp"):
                continue
            if type(value) not in (int, float) or not math.isfinite(value) or not low <= value <= high:
                raise ValueError(f"calibration.{name} is {str(value)[:40]}")
        return cls(**{**said, "templates": tuple(templates)})

    def fits(self, encoder: EncoderSpec, templates: tuple[str, ...]) -> bool:
        """Whether it was made with this encoder and these templates."""
        return self.encoder == encoder.identity and self.templates == templates

    def __str__(self) -> str:
        """With what the encoder was calibrated."""
        return f"{self.images:,} labelled images and {self.phrases:,} phrases of {self.labels}, {self.made_at}"


def in_force(own: Calibration | None, encoder: EncoderSpec, templates: tuple[str, ...]) -> Calibration | None:
    """The user's `own` calibration, if it is of this encoder and these templates; else what is shipped for it."""
    if own is not None and own.fits(encoder, templates):
        return own
    return None if templates else shipped(encoder)


def shipped(encoder: EncoderSpec) -> Calibration | None:
    """The calibration that comes with fsearch for exactly this architecture and hub tag; None for all others."""
    if encoder.digest != f"tag:{encoder.weights}" or encoder.config is not None:
        return None
    return _table().get((encoder.name, str(encoder.weights)))


@cache
def _table() -> dict[tuple[str, str], Calibration]:
    """By architecture and tag. Raises WorkspaceError where the file that came with fsearch is damaged."""
    try:
        rows = json.loads(SHIPPED.read_text(encoding="utf-8"))
        return {(row.pop("architecture"), row.pop("pretrained")): Calibration.of(row) for row in rows}
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise WorkspaceError(f"{SHIPPED} is damaged; install fsearch again") from error
