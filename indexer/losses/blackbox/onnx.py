"""A black box in ONNX format, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.blackbox.base import TensorModel, choose_tensor
from fsearch.indexer.losses.blackbox.onnx_files import external_files
from fsearch.indexer.losses.blackbox.preprocess import InputOptions, Preprocessing, pad_batch, read_beside, read_shape
from fsearch.indexer.losses.choices import ScoreKind
from fsearch.indexer.storage.files import content_sha256

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
}


class OnnxModel(TensorModel):
    """An ONNX model with one image input. Runs on a GPU where onnxruntime has one, else on the CPU."""

    def __init__(self, path: Path, options: InputOptions) -> None:
        """Load `path`. Raises BadInputError where it cannot be read, or its input is no image."""
        try:
            import onnxruntime
        except ImportError as error:
            raise BadInputError("ONNX models need the library onnxruntime: pip install onnxruntime") from error
        if not path.is_file():
            raise BadInputError(f"no such model: {path}")
        options = options.over(read_beside(path))
        providers = [
            p for p in ("CUDAExecutionProvider", "CPUExecutionProvider") if p in onnxruntime.get_available_providers()
        ]
        try:
            self._session = onnxruntime.InferenceSession(str(path), providers=providers)
        except Exception as error:  # onnxruntime's errors have no common base
            raise BadInputError(f"{path} is no ONNX model that can be run: {str(error).splitlines()[0]}") from error
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        names = [i.name for i in inputs]
        tensor = inputs[choose_tensor(names, options.input, "input", path)]
        if len(inputs) > 1:
            raise BadInputError(f"{path} has several inputs ({', '.join(names)}); fsearch feeds one image to one input")
        output = outputs[choose_tensor([o.name for o in outputs], options.output, "output", path)]
        dtype = _DTYPES.get(tensor.type)
        if dtype is None or options.dtype not in (None, dtype):
            raise BadInputError(
                f"{path}: its input {tensor.name!r} is {tensor.type}; fsearch feeds floats or uint8 images"
            )
        typed = InputOptions(dtype=dtype).over(options)  # type: ignore[arg-type]
        shape = [d if isinstance(d, int) and d > 0 else None for d in tensor.shape]
        self._flat = len(shape) == 2
        try:
            self._fixed, preprocessing = _flat_input(shape, typed) if self._flat else _image_input(shape, typed)
        except BadInputError as error:
            raise BadInputError(f"{path}: {error}") from error
        self._input, self._output = tensor.name, output.name
        super().__init__(
            str(path),
            preprocessing,
            options,
            *(content_sha256(p) for p in (path, *external_files(path))),
            self._output,
            batch=self._fixed or 32,
            scores=_score_kind(output.name),
        )

    def predict(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """The output, one row per image."""
        stacked = pad_batch(inputs, self._fixed)
        stacked = stacked.reshape(len(stacked), -1) if self._flat else stacked
        (out,) = self._session.run([self._output], {self._input: stacked})
        if len(out) != len(stacked):
            raise BadInputError(
                f"{self.origin}: its output {self._output!r} has {len(out)} rows for {len(stacked)} images"
            )
        return list(out[: len(inputs)].astype(np.float32) if out.dtype == np.float16 else out[: len(inputs)])


def _image_input(shape: Sequence[int | None], options: InputOptions) -> tuple[int, Preprocessing]:
    """Fixed batch size (0 for any) and preprocessing for an input of four axes."""
    fixed, channels, layout, size = read_shape(shape, options)
    return fixed, Preprocessing.of(options, size, channels, layout)


def _flat_input(shape: Sequence[int | None], options: InputOptions) -> tuple[int, Preprocessing]:
    """The same for an input of two axes, rows of features: the pixels of an image in row-major order."""
    batch, features = shape
    if features is None or options.size is None:
        raise BadInputError(f"its input is rows of {features or 'any number of'} values; give --size to feed it pixels")
    channels = features / (options.size[0] * options.size[1])
    if channels not in (1, 3):
        raise BadInputError(
            f"its input is rows of {features} values, which no image of {options.size[0]}x{options.size[1]} fits"
        )
    return batch or 0, Preprocessing.of(options, options.size, int(channels), None)


def _score_kind(output: str) -> ScoreKind | None:
    """The score kind that an output's name tells, if it does."""
    name = output.lower()
    return "logits" if "logit" in name else "probabilities" if "prob" in name or "softmax" in name else None
