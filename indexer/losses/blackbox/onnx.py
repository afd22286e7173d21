"""A black box in ONNX, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.blackbox.preprocess import InputOptions, Pixels, fit_shape, read_beside, stack
from fsearch.indexer.storage.files import content_sha256

_DTYPES = {"tensor(float)": "float32", "tensor(uint8)": "uint8"}


class OnnxModel:
    """An ONNX model with one image input. On a GPU where onnxruntime has one, else on the CPU."""

    def __init__(self, path: Path, options: InputOptions) -> None:
        """Load `path`. Raises BadInputError where it cannot be read, or its input is none that an image fits."""
        try:
            import onnxruntime
        except ImportError as error:
            raise BadInputError("ONNX models need the library onnxruntime: pip install onnxruntime") from error
        if not path.is_file():
            raise BadInputError(f"no such model: {path}")
        said = options.over(read_beside(path))
        providers = [
            p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in onnxruntime.get_available_providers()
        ]
        try:
            self._session = onnxruntime.InferenceSession(str(path), providers=providers)
        except Exception as error:  # onnxruntime's errors have no common base
            raise BadInputError(f"{path} is no ONNX model that can be run: {str(error).splitlines()[0]}") from error
        chosen = _tensor(self._session.get_inputs(), said.input, "input", path)
        if len(self._session.get_inputs()) > 1:
            others = ", ".join(i.name for i in self._session.get_inputs())
            raise BadInputError(f"{path} has several inputs ({others}); fsearch feeds one image to one input")
        output = _tensor(self._session.get_outputs(), said.output, "output", path)
        dtype = _DTYPES.get(chosen.type)
        if dtype is None or said.dtype not in (None, dtype):
            raise BadInputError(
                f"{path}: its input {chosen.name!r} is {chosen.type}; fsearch feeds float32 or uint8 images"
            )
        shape = [d if isinstance(d, int) and d > 0 else None for d in chosen.shape]
        self._flat = len(shape) == 2
        try:
            if self._flat:
                fixed, self.pixels = shape[0] or 0, _flat_pixels(shape[1], said, dtype)
            else:
                fixed, channels, layout, size = fit_shape(shape, said)
                self.pixels = Pixels.of(InputOptions(dtype=dtype).over(said), size, channels, layout)  # type: ignore[arg-type]
        except BadInputError as error:
            raise BadInputError(f"{path}: {error}") from error
        self._input, self._output = chosen.name, output.name
        self.origin, self.batch = str(path), fixed or 32
        self.digest = self.pixels.digest(content_sha256(path), self._output)
        self.classes, self.scores = said.classes, said.scores or _kind(output.name)
        self.note, self.squashes = str(self.pixels), self.pixels.resize == "squash"
        self._fixed = fixed

    def prepare(self, image: Image.Image) -> Any:
        """The input tensor of one image."""
        return self.pixels.tensor(image)

    def predict(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """The output, one row an image."""
        count = len(inputs)
        stacked = stack(inputs, self._fixed)
        stacked = stacked.reshape(len(stacked), -1) if self._flat else stacked
        (out,) = self._session.run([self._output], {self._input: stacked})
        if len(out) != len(stacked):
            raise BadInputError(
                f"{self.origin}: its output {self._output!r} has {len(out)} rows for {len(stacked)} images"
            )
        return list(out[:count])


def _flat_pixels(features: int | None, said: InputOptions, dtype: str) -> Pixels:
    """A model on rows of features takes the pixels of an image one after the other."""
    if features is None or said.size is None:
        raise BadInputError(f"its input is rows of {features or 'any number of'} values; give --size to feed it pixels")
    channels = features / (said.size[0] * said.size[1])
    if channels not in (1, 3):
        raise BadInputError(
            f"its input is rows of {features} values, which no image of {said.size[0]}x{said.size[1]} fits"
        )
    return Pixels.of(InputOptions(dtype=dtype).over(said), said.size, int(channels), None)  # type: ignore[arg-type]


def _tensor(tensors: Sequence[Any], wanted: str | None, what: str, path: Path) -> Any:
    names = [t.name for t in tensors]
    if wanted is not None and wanted not in names:
        raise BadInputError(f"{path} has no {what} {wanted!r}; it has: {', '.join(names)}")
    return tensors[names.index(wanted)] if wanted is not None else tensors[0]


def _kind(output: str) -> Any:
    """What an output's name says it is, if it says so."""
    name = output.lower()
    return "logits" if "logit" in name else "probabilities" if "prob" in name or "softmax" in name else None
