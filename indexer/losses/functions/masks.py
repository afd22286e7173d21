"""Segmentation masks: (H, W) class numbers, from image files, .npy files or arrays. Formulas are in their own files."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.functions.scores import LEAST, SUM_TOLERANCE, require_kind
from fsearch.indexer.losses.functions.settings import Outcomes, Settings
from fsearch.indexer.sources.decode import FORMATS, MAX_BYTES, MAX_PIXELS
from fsearch.indexer.sources.paths import PathResolver
from fsearch.indexer.storage.files import DamagedArrayError, load_array

_INDEXED = ("L", "P", "1", "I", "I;16")


def outcomes_of_masks(
    formula: Callable[..., float],
    predictions: Any,
    targets: Sequence[Any],
    names: Sequence[str],
    settings: Settings,
    *,
    scored: bool = False,
) -> Outcomes:
    """Apply a formula on each pair of masks. `scored`: predictions are (C, H, W) scores of classes, and stay so.

    Raises BadInputError where a pair differs in size. A mask that cannot be read, or without a pixel that counts, has
    none.
    """
    losses = np.full(len(targets), np.nan)
    reasons: list[str | None] = [None] * len(targets)
    for i, (said, right, name) in enumerate(zip(predictions, targets, names, strict=True)):
        try:
            truth = _mask(right, settings.target_root, name, "target")
            mask = _mask(said, settings.prediction_root, name, "prediction", scored=scored)
        except _Unreadable as error:
            reasons[i] = str(error)
            continue
        if mask.shape[-2:] != truth.shape:
            (h, w), (th, tw) = mask.shape[-2:], truth.shape
            raise BadInputError(f"{name}: the predicted mask is {w} x {h} pixels, the target {tw} x {th}")
        losses[i] = _apply(formula, mask, truth, name, settings)
        if not np.isfinite(losses[i]):
            reasons[i] = "no pixel of the target counts"
    return Outcomes(losses, [None] * len(losses), [None] * len(losses), reasons)


def outcomes_of_mask_scores(
    formula: Callable[..., float], predictions: Any, targets: Sequence[Any], names: Sequence[str], settings: Settings
) -> Outcomes:
    """Apply a formula on scores of classes (C, H, W), turned into log-probabilities, and the target mask."""
    require_kind(settings.scores)
    return outcomes_of_masks(formula, predictions, targets, names, settings, scored=True)


def _apply(
    formula: Callable[..., float], mask: NDArray[Any], truth: NDArray[Any], name: str, settings: Settings
) -> float:
    if mask.ndim == 2:
        return formula(mask, truth, **settings.params)
    ignored = settings.params.get("ignore", 255)
    counted = truth[truth != ignored]
    if counted.size and (counted.min() < 0 or counted.max() >= len(mask)):
        raise BadInputError(f"{name}: the target has class {counted.max()}; the prediction has {len(mask)} classes")
    if settings.scores == "probabilities":
        sums = mask.sum(axis=0)
        if mask.min() < 0 or abs(sums - 1).max() > SUM_TOLERANCE:
            raise BadInputError(
                f"{name}: probabilities of a pixel sum to {sums.flat[abs(sums - 1).argmax()]:.4f}; must be 1"
            )
        mask = np.log(np.clip(mask, LEAST, 1))
    return formula(mask, truth, **settings.params)


class _Unreadable(Exception):
    """A mask cannot be had; the message says why."""


def _mask(held: Any, root: Path, name: str, what: str, *, scored: bool = False) -> NDArray[Any]:
    """(H, W) int64, or (C, H, W) float64 if `scored`."""
    if held is None:
        raise _Unreadable(f"it has no {what} mask")
    array = _load(Path(root, PathResolver(root).key(held, name)), what) if isinstance(held, str) else np.asarray(held)
    if scored:
        if array.ndim != 3:
            raise BadInputError(f"{name}: scores of pixels need the shape (classes, height, width), not {array.shape}")
        if not np.isfinite(array).all():
            raise _Unreadable("the prediction is not finite")
        return array.astype(np.float64)
    if array.ndim == 3 and what == "prediction" and np.issubdtype(array.dtype, np.floating):
        array = array.argmax(axis=0)
    if array.ndim != 2:
        raise BadInputError(f"{name}: a {what} mask needs one class number a pixel; this has the shape {array.shape}")
    return array.astype(np.int64)


def _load(path: Path, what: str) -> NDArray[Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _Unreadable(f"the {what} mask is larger than {MAX_BYTES:,} bytes")
        data = path.read_bytes()
        if path.suffix.lower() == ".npy":
            loaded: NDArray[Any] = load_array(io.BytesIO(data))
            return loaded
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.mode not in _INDEXED:
                raise BadInputError(f"{path}: a mask needs one class number a pixel; this image is {image.mode}")
            if image.width * image.height > MAX_PIXELS:
                raise _Unreadable(f"the {what} mask has more than {MAX_PIXELS:,} pixels")
            return np.asarray(image)
    except (OSError, ValueError, EOFError, SyntaxError, DamagedArrayError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0]
        raise _Unreadable(f"the {what} mask cannot be read: {reason}") from error
