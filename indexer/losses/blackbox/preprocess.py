"""From an image to a model's input tensor: size, mean, standard deviation, and the options and files that set them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.choices import Interpolation, Layout, Resize
from fsearch.indexer.storage.yaml_file import read_settings

_LATER = (("interpolation", "bilinear"), ("crop_pct", 1.0))  # defaults of options that older digests do not know
_MODES = {1: "L", 3: "RGB"}  # Pillow's, by channels


@dataclass(frozen=True, slots=True)
class InputOptions:
    """The model's preprocessing as far as the user sets it; None for what the model's file or a default sets.

    Attributes
    ----------
    input, output : names of the model's tensors.
    size : height and width in pixels.
    mean, std : one number, or one per channel, in units of pixel values from 0 to 1.
    channels : 1 for greyscale, 3 for RGB.
    layout : channels first or last.
    resize : "crop" scales the short side and crops the centre, "squash" ignores the aspect ratio, "pad" letterboxes.
    interpolation : Pillow's filter of the resize.
    crop_pct : with "crop", the share of the resized short side that is kept: 0.875 resizes to 256 and keeps 224.
    dtype : "float32", "float16" or "float64", or "uint8" for pixel values of 0 to 255 as they are.
    classes : class names in the order of the outputs.
    scores : whether outputs are probabilities or logits.
    """

    input: str | None = None
    output: str | None = None
    size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channels: Literal[1, 3] | None = None
    layout: Layout | None = None
    resize: Resize | None = None
    interpolation: Interpolation | None = None
    crop_pct: float | None = None
    dtype: Literal["float32", "float16", "float64", "uint8"] | None = None
    classes: tuple[str, ...] = ()
    scores: Literal["probabilities", "logits"] | None = None

    def over(self, other: InputOptions) -> InputOptions:
        """These options, and those of `other` where these are not set."""
        chosen = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) not in (None, ())}
        return replace(other, **chosen)


_CHOICES: dict[str, tuple[Any, ...]] = {
    "interpolation": get_args(Interpolation),
    "layout": get_args(Layout),
    "resize": get_args(Resize),
    "dtype": ("float32", "float16", "float64", "uint8"),
    "scores": ("probabilities", "logits"),
    "channels": (1, 3),
}


def read_beside(model: Path) -> InputOptions:
    """The options in the sidecar of a model, MODEL.yaml or MODEL.yml; none where there is no such file.

    Raises BadInputError for an unknown option or value.
    """
    path = next((p for p in (model.with_suffix(".yaml"), model.with_suffix(".yml")) if p.is_file()), None)
    if path is None:
        return InputOptions()
    options = read_settings(path, "input options") or {}
    known = {f.name for f in fields(InputOptions)}
    if not isinstance(options, dict) or not set(options) <= known:
        wrong = sorted(map(str, set(options) - known)) if isinstance(options, dict) else ["no mapping"]
        raise BadInputError(f"{path}: unknown {wrong[0]!r}; known are {', '.join(sorted(known))}")
    return InputOptions(**{name: _option(name, value, path) for name, value in options.items()})


def _option(name: str, value: Any, path: Path) -> Any:
    try:
        if name == "size":
            return read_size(value)
        if name == "crop_pct":
            return float(value)
        if name in ("mean", "std"):
            return tuple(float(v) for v in (value if isinstance(value, list) else [value]))
        if name == "classes":
            return tuple(str(v) for v in value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadInputError(f"{path}, {name}: {value!r} cannot be used: {error}") from error
    if name in _CHOICES and value not in _CHOICES[name]:
        raise BadInputError(f"{path}, {name}: {value!r} is none of {', '.join(map(str, _CHOICES[name]))}")
    return value if name in _CHOICES else str(value)


def read_size(value: Any) -> tuple[int, int]:
    """Height and width from 224, "224", "240x320" or [240, 320]. Raises ValueError."""
    parts = str(value).lower().split("x") if isinstance(value, str | int) else list(value)
    sides = [int(p) for p in parts]
    if len(sides) not in (1, 2) or min(sides) < 1 or max(sides) > 8192:
        raise ValueError("a size is one side, or HEIGHTxWIDTH, in pixels")
    return sides[0], sides[-1]


def read_numbers(text: str, option: str) -> tuple[float, ...]:
    """Numbers from "0.485,0.456,0.406". Raises BadInputError."""
    try:
        return tuple(float(v) for v in text.split(","))
    except ValueError:
        raise BadInputError(f"{option} {text}: write one number, or one a channel with commas") from None


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How an image becomes an input tensor, with every option set. See InputOptions."""

    size: tuple[int, int]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    layout: str = "nchw"
    resize: str = "crop"
    dtype: str = "float32"
    normalised: bool = False
    interpolation: str = "bilinear"
    crop_pct: float = 1.0

    @classmethod
    def of(
        cls, options: InputOptions, size: tuple[int, int] | None, channels: int | None, layout: str | None
    ) -> Preprocessing:
        """From options, and the size, channels and layout that the model declares.

        Raises BadInputError where they do not fit.
        """
        if options.size and size and options.size != size:
            raise BadInputError(f"the model takes {size[0]}x{size[1]} pixels, not {options.size[0]}x{options.size[1]}")
        if options.channels and channels and options.channels != channels:
            raise BadInputError(f"the model takes {channels} channels, not {options.channels}")
        final, depth = options.size or size, options.channels or channels or 3
        if final is None:
            raise BadInputError(
                "the model does not say how large its input is; give --size, or size: in a YAML file beside it"
            )
        mean, std = options.mean or (0.0,), options.std or (1.0,)
        for name, values in (("mean", mean), ("std", std)):
            if len(values) not in (1, depth):
                raise BadInputError(f"{len(values)} values of {name} for {depth} channels")
        if min(std) <= 0:
            raise BadInputError("std must be above 0")
        if options.crop_pct is not None and not 0 < options.crop_pct <= 1:
            raise BadInputError("crop_pct is a share, above 0 and at most 1")
        normalised = options.mean is not None or options.std is not None or options.dtype == "uint8"
        return cls(
            final,
            depth,
            mean,
            std,
            options.layout or layout or "nchw",
            options.resize or "crop",
            options.dtype or "float32",
            normalised,
            options.interpolation or "bilinear",
            options.crop_pct or 1.0,
        )

    def tensor(self, image: Image.Image) -> NDArray[Any]:
        """(channels, height, width) or (height, width, channels), of the dtype."""
        converted = image.convert(_MODES[self.channels])
        height, width = self.size
        if converted.size != (width, height):
            converted = self._resized(converted, (width, height))
        array: NDArray[Any] = np.asarray(converted).reshape(height, width, self.channels)
        if self.dtype != "uint8":
            scaled = array.astype(np.float32) / 255
            array = (scaled - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
            array = array.astype(self.dtype, copy=False)
        return np.ascontiguousarray(np.moveaxis(array, 2, 0) if self.layout == "nchw" else array)

    def _resized(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        how = Image.Resampling[self.interpolation.upper()]
        if self.resize == "crop":
            return ImageOps.fit(image, size, how) if self.crop_pct == 1 else self._cropped(image, size, how)
        return ImageOps.pad(image, size, how) if self.resize == "pad" else image.resize(size, how)

    def _cropped(self, image: Image.Image, size: tuple[int, int], how: Image.Resampling) -> Image.Image:
        """The middle of the image, resized whole as torchvision's Resize and CenterCrop do it."""
        short = [math.floor(side / self.crop_pct) for side in size]
        scale = max(short[0] / image.width, short[1] / image.height)
        whole = image.resize((max(short[0], int(image.width * scale)), max(short[1], int(image.height * scale))), how)
        left, top = round((whole.width - size[0]) / 2), round((whole.height - size[1]) / 2)
        return whole.crop((left, top, left + size[0], top + size[1]))

    def __str__(self) -> str:
        colour = "grey" if self.channels == 1 else "RGB"
        text = f"input {self.size[0]}x{self.size[1]} {colour}, resized by {self.resize}, {self.interpolation}"
        text += f", crop {self.crop_pct:g}" if self.crop_pct != 1 else ""
        if self.dtype == "uint8":
            return f"{text}, values 0 to 255"
        values = f"mean {', '.join(f'{v:g}' for v in self.mean)}, std {', '.join(f'{v:g}' for v in self.std)}"
        return f"{text}, {values}" + ("" if self.normalised else " (not said: values 0 to 1 as they are)")

    def digest(self, *others: str) -> str:
        """A hash of the preprocessing and of `others`."""
        own = {name: value for name, value in asdict(self).items() if (name, value) not in _LATER}
        return hashlib.sha256(json.dumps([own, others]).encode()).hexdigest()


def pad_batch(inputs: Sequence[NDArray[Any]], fixed: int) -> NDArray[Any]:
    """(n, ...) of n inputs; padded with the last one to the model's `fixed` batch size (0 for any)."""
    return np.stack([*inputs, *[inputs[-1]] * max(0, fixed - len(inputs))])


def read_shape(
    shape: Sequence[int | None], options: InputOptions
) -> tuple[int, int | None, str | None, tuple[int, int] | None]:
    """Batch size (0 for any), channels, layout and (height, width) of an input shape of four axes.

    Unknown axes are None. Raises BadInputError for a shape that no image fits.
    """
    if len(shape) != 4:
        raise BadInputError(f"its input has the shape {list(shape)}; an image model takes 4 axes, batch first")
    batch, *rest = shape
    layout = options.layout or ("nhwc" if rest[0] not in (1, 3) and rest[2] in (1, 3) else "nchw")
    channels, height, width = rest if layout == "nchw" else (rest[2], rest[0], rest[1])
    if channels not in (1, 3, None):
        raise BadInputError(f"its input has the shape {list(shape)}: {channels} channels; images have 1 or 3")
    return batch or 0, channels, layout, (height, width) if height and width else None
