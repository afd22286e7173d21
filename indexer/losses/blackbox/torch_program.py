"""A black box saved by PyTorch: a TorchScript archive, or a program of torch.export.

Either is a program that runs with the user's rights, as an ONNX model's custom operators do: load only what you trust.
"""

from __future__ import annotations

import logging
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.blackbox.base import TensorModel
from fsearch.indexer.losses.blackbox.preprocess import InputOptions, Preprocessing, pad_batch, read_beside, read_shape
from fsearch.indexer.storage.files import content_sha256


class TorchProgram(TensorModel):
    """A PyTorch program with one image input. Runs on a GPU where there is one."""

    def __init__(self, path: Path, options: InputOptions) -> None:
        """Load `path`, .pt2 as torch.export, else as TorchScript. Raises BadInputError where it cannot be loaded."""
        import torch

        if not path.is_file():
            raise BadInputError(f"no such model: {path}")
        options = options.over(read_beside(path))
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._module, shape = _exported(path) if path.suffix.lower() == ".pt2" else _scripted(path, self._device)
        except Exception as error:  # torch raises whatever the archive's readers raise
            raise BadInputError(f"{path} cannot be loaded: {str(error).splitlines()[0]}") from error
        self._fixed, channels, layout, size = 0, None, None, None
        try:
            if shape is not None:
                self._fixed, channels, layout, size = read_shape(shape, options)
            preprocessing = Preprocessing.of(options, size, channels, layout)
        except BadInputError as error:
            raise BadInputError(f"{path}: {error}") from error
        self._dtype = torch.uint8 if preprocessing.dtype == "uint8" else torch.float32
        self._output = options.output
        identity = (content_sha256(path), options.output or "")
        super().__init__(str(path), preprocessing, options, *identity, batch=self._fixed or 32)

    def predict(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """The output, one row per image."""
        import torch

        stacked = pad_batch(inputs, self._fixed)
        with torch.inference_mode():
            out = self._module(torch.from_numpy(stacked).to(self._device, self._dtype))
        if isinstance(out, dict):
            out = out[self._output] if self._output else next(iter(out.values()))
        if isinstance(out, tuple | list):
            out = out[0]
        if len(out) != len(stacked):
            raise BadInputError(f"{self.origin}: its output has {len(out)} rows for {len(stacked)} images")
        return list(out[: len(inputs)].float().cpu().numpy())


def _scripted(path: Path, device: str) -> tuple[Any, None]:
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated, but still in use
        load: Any = torch.jit.load
        return load(str(path), map_location=device).eval(), None


def _exported(path: Path) -> tuple[Any, list[int | None]]:
    import torch

    if not zipfile.is_zipfile(path):
        raise BadInputError("it is no archive of torch.export")
    logger = logging.getLogger("torch.export")  # it prints tracebacks of errors that it raises as well
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.disabled = True
        try:
            program = torch.export.load(str(path))
        finally:
            logger.disabled = False
    inputs = [s for s in program.graph_signature.user_inputs if isinstance(s, str)]
    if len(inputs) != 1:
        raise BadInputError(f"it has {len(inputs)} inputs; fsearch feeds one image to one input")
    node = next(n for n in program.graph.nodes if n.name == inputs[0])
    shape = [d if isinstance(d, int) else None for d in node.meta["val"].shape]
    module = program.module()
    if torch.cuda.is_available():
        module = module.to("cuda")
    return module, shape
