"""Is a stored fit one that can be asked? Shapes, ranges and finite numbers, whatever its hashes say.

A fit may come from somebody else, with hashes to match: nothing here may be out of range, or an answer would be read
from where it is not, or be made of what is no number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.loss_transform import TransformName

_HUGE = 1e150  # squares of what is larger are no numbers any more


def require_numbers(stored: Any) -> None:
    """Raise ValueError unless each field of a dataclass has its own type, and each number is finite."""
    if stored is None:
        return
    hints = get_type_hints(type(stored))
    for field in fields(stored):
        value, kind = getattr(stored, field.name), hints[field.name]
        if kind is bool or kind is str:
            fine = type(value) is kind
        elif kind == (str | None):
            fine = value is None or type(value) is str
        elif kind is int:
            fine = type(value) is int and 0 <= value < 2**63
        elif kind == TransformName:
            fine = value in ("identity", "log1p", "logistic")
        else:
            fine = all(_is_number(v) for v in (value if isinstance(value, tuple) else (value,)) if v is not None)
            fine = fine and (value is not None or kind is not float)
        if not fine:
            raise ValueError(f"{field.name} is {str(value)[:40]}")


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and abs(value) < _HUGE  # type: ignore[arg-type]


def require_arrays(arrays: Mapping[str, NDArray[Any]], members: int, logit_scale: float, dim: int | None) -> None:
    """Raise ValueError unless the arrays of a fit belong together and hold finite numbers; see FitArtifact."""
    rows, width = arrays["rows"], arrays["texts"].shape[-1]
    images, phrases = len(rows), len(arrays["texts"])
    shapes: dict[str, tuple[Any, tuple[int, ...]]] = {
        "rows": (np.int64, (images,)),
        "groups": (np.int32, (images,)),
        "members": (np.float32, (members, images)),
        "out_of_bag": (np.bool_, (members, images)),
        "texts": (np.float32, (phrases, width if dim is None else dim)),
        "vocabulary": (np.float32, (len(arrays["vocabulary"]), width)),
        "background": (np.float64, (2, len(arrays["vocabulary"]))),
        "coefficients": (np.float64, (members, width + 1)),
        "bank_lifts": (np.float64, (phrases if len(arrays["bank_lifts"]) else 0,)),
    }
    for name, (kind, shape) in shapes.items():
        if arrays[name].dtype != kind or arrays[name].shape != shape:
            raise ValueError(f"{name} is {arrays[name].dtype} {arrays[name].shape}, not {np.dtype(kind)} {shape}")
    if not members or not 0 < logit_scale < _HUGE:
        raise ValueError("it has no members, or its temperature is no number")
    if images and (rows[0] < 0 or (np.diff(rows) <= 0).any()):
        raise ValueError("the rows of its images do not rise")
    if images and not 0 <= int(arrays["groups"].min()) <= int(arrays["groups"].max()) < images:
        raise ValueError("the groups of its images are not theirs")
    if not all(np.isfinite(arrays[name]).all() for name in ("members", "texts", "vocabulary", "background")):
        raise ValueError("its predictions or reference phrases hold what is no number")
    if (np.diff(arrays["background"]) < 0).any():
        raise ValueError("how images fit common things does not rise")
    if not (np.abs(arrays["coefficients"]) < _HUGE).all() or np.isinf(arrays["bank_lifts"]).any():
        raise ValueError("its coefficients, or the lifts of its reference phrases, hold what is no number")
