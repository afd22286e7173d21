"""Losses of semantic segmentation: masks, (H, W) class numbers, from image files, .npy files or arrays."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.special
from numpy.typing import NDArray
from PIL import Image

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.functions.base import Outcomes, Settings
from fsearch.indexer.losses.functions.class_scores import EPSILON, SUM_TOLERANCE, require_kind
from fsearch.indexer.sources.decode import MAX_BYTES, MAX_PIXELS, formats
from fsearch.indexer.sources.paths import PathResolver
from fsearch.indexer.storage.files import DamagedArrayError, load_array
from fsearch.indexer.storage.regular_files import read_regular

_INDEXED = ("L", "P", "1", "I", "I;16")  # Pillow's modes of one number per pixel


def mean_iou(mask: NDArray[np.int64], truth: NDArray[np.int64], ignore: float = 255) -> float:
    """1 - the mean, over classes in either mask, of |A and B| / |A or B|: from 0 to 1; NaN without a pixel that counts.

    `ignore` is the class number of pixels that do not count. Source: Everingham et al. 2010, "The Pascal visual object
    classes challenge", section 4.3, of one image; sklearn.metrics.jaccard_score(average="macro").
    """
    common, predicted, true = _overlap(mask, truth, ignore)
    return float(1 - (common / (predicted + true - common)).mean()) if len(common) else float("nan")


def dice(mask: NDArray[np.int64], truth: NDArray[np.int64], ignore: float = 255) -> float:
    """1 - the mean, over classes in either mask, of 2 |A and B| / (|A| + |B|): from 0 to 1.

    NaN without a pixel that counts.
    Source: Dice 1945, "Measures of the amount of ecologic association between species";
    sklearn.metrics.f1_score(average="macro").
    """
    common, predicted, true = _overlap(mask, truth, ignore)
    return float(1 - (2 * common / (predicted + true)).mean()) if len(common) else float("nan")


def _overlap(
    mask: NDArray[np.int64], truth: NDArray[np.int64], ignore: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Pixel counts for each class in either mask: in both, in the prediction, in the target; without ignored pixels."""
    counted = truth != ignore
    predicted, true = mask[counted], truth[counted]
    classes, numbers = np.unique(np.concatenate([predicted, true]), return_inverse=True)
    predicted, true = numbers[: len(predicted)], numbers[len(predicted) :]
    size = len(classes)
    common = np.bincount(predicted[predicted == true], minlength=size)
    return common, np.bincount(predicted, minlength=size), np.bincount(true, minlength=size)


def pixel_cross_entropy(scores: NDArray[np.float64], truth: NDArray[np.int64], ignore: float = 255) -> float:
    """Mean of -log p[y] over pixels that count, in nats, from 0 up; NaN without one.

    `scores` : (C, H, W) logits, or log-probabilities. Source: torch.nn.CrossEntropyLoss(ignore_index=ignore).
    """
    counted = truth != ignore
    if not counted.any():
        return float("nan")
    logs = scipy.special.log_softmax(scores[:, counted], axis=0)
    return float(-logs[truth[counted], np.arange(logs.shape[1])].mean())


def evaluate_masks(
    formula: Callable[..., float],
    predictions: Any,
    targets: Sequence[Any],
    names: Sequence[str],
    settings: Settings,
    *,
    scored: bool = False,
) -> Outcomes:
    """Apply a formula to each pair of masks, (H, W); if `scored`, predictions are class scores, (C, H, W).

    Raises BadInputError where a pair differs in size. An image has no loss where a mask cannot be read, or where no
    pixel of the target counts.
    """
    losses = np.full(len(targets), np.nan)
    reasons: list[str | None] = [None] * len(targets)
    for i, (prediction, target, name) in enumerate(zip(predictions, targets, names, strict=True)):
        try:
            truth = _mask(target, settings.target_root, name, "target")
            mask = _mask(prediction, settings.prediction_root, name, "prediction", scored=scored)
        except _UnreadableError as error:
            reasons[i] = str(error)
            continue
        truth = settings.frames[i].mask(truth) if settings.frames else truth
        if mask.shape[-2:] != truth.shape:
            (h, w), (th, tw) = mask.shape[-2:], truth.shape
            raise BadInputError(f"{name}: the predicted mask is {w} x {h} pixels, the target {tw} x {th}")
        losses[i] = _apply(formula, mask, truth, name, settings)
        if not np.isfinite(losses[i]):
            reasons[i] = "no pixel of the target counts"
    return Outcomes(losses, [None] * len(losses), [None] * len(losses), reasons)


def evaluate_mask_scores(
    formula: Callable[..., float], predictions: Any, targets: Sequence[Any], names: Sequence[str], settings: Settings
) -> Outcomes:
    """Apply a formula to class scores, (C, H, W), turned into log-probabilities, and the target mask, (H, W)."""
    require_kind(settings.scores)
    return evaluate_masks(formula, predictions, targets, names, settings, scored=True)


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
        mask = np.log(np.clip(mask, EPSILON, 1))
    return formula(mask, truth, **settings.params)


class _UnreadableError(Exception):
    """A mask is missing or damaged; the message gives the reason."""


def _mask(value: Any, root: Path, name: str, what: str, *, scored: bool = False) -> NDArray[Any]:
    """(H, W) int64, or (C, H, W) float64 if `scored`, from an array or a path below `root`."""
    if value is None:
        raise _UnreadableError(f"it has no {what} mask")
    array = (
        load_mask(Path(root, PathResolver(root).key(value, name)), what)
        if isinstance(value, str)
        else np.asarray(value)
    )
    if scored:
        if array.ndim != 3:
            raise BadInputError(f"{name}: scores of pixels need the shape (classes, height, width), not {array.shape}")
        if not np.isfinite(array).all():
            raise _UnreadableError("the prediction is not finite")
        return array.astype(np.float64)
    if array.ndim == 3 and what == "prediction" and np.issubdtype(array.dtype, np.floating):
        array = array.argmax(axis=0)
    if array.ndim != 2:
        raise BadInputError(f"{name}: a {what} mask needs one class number a pixel; this has the shape {array.shape}")
    return array.astype(np.int64)


def load_mask(path: Path, what: str) -> NDArray[Any]:
    """The mask in an image or .npy file. Raises _UnreadableError where it cannot be read."""
    try:
        data = read_regular(path, MAX_BYTES)
        if path.suffix.lower() == ".npy":
            loaded: NDArray[Any] = load_array(io.BytesIO(data))
            return loaded
        with Image.open(io.BytesIO(data), formats=formats()) as image:
            if image.mode not in _INDEXED:
                raise BadInputError(f"{path}: a mask needs one class number a pixel; this image is {image.mode}")
            if image.width * image.height > MAX_PIXELS:
                raise _UnreadableError(f"the {what} mask has more than {MAX_PIXELS:,} pixels")
            return np.asarray(image)
    except (OSError, ValueError, EOFError, SyntaxError, DamagedArrayError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0]
        raise _UnreadableError(f"the {what} mask cannot be read: {reason}") from error
