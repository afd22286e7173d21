"""Resolve the name of a model to a black box. A new kind of model is a file beside this one, and a line here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.blackbox.base import BlackBox
from fsearch.indexer.losses.blackbox.endpoint import Endpoint
from fsearch.indexer.losses.blackbox.function import Function
from fsearch.indexer.losses.blackbox.hugging_face import HuggingFaceModel, is_pretrained
from fsearch.indexer.losses.blackbox.onnx import OnnxModel
from fsearch.indexer.losses.blackbox.preprocess import InputOptions
from fsearch.indexer.losses.blackbox.timm_model import TimmModel
from fsearch.indexer.losses.blackbox.torch_program import TorchProgram
from fsearch.indexer.object_path import is_named

TORCH = (".pt", ".pt2", ".pts", ".ts", ".pth", ".torchscript")


def open_black_box(
    named: str | Callable[..., Any] | BlackBox, options: InputOptions, weights: Path | None = None
) -> BlackBox:
    """The black box that `named` means: a model file, timm:NAME, hf:FOLDER, a URL, `module:function`, or an object.

    Raises BadInputError where it means none, or the model cannot be loaded.
    """
    if isinstance(named, BlackBox):
        return named
    if not isinstance(named, str):
        return Function(named)
    path = Path(named)
    if named.startswith("hf:") or (path.is_dir() and is_pretrained(path)):
        return HuggingFaceModel(Path(named.removeprefix("hf:")), options)
    if named.startswith("timm:"):
        return TimmModel(named.removeprefix("timm:"), weights, options)
    if named.startswith(("http://", "https://")):
        return Endpoint(named, options)
    if path.suffix.lower() == ".onnx":
        return OnnxModel(path, options)
    if path.suffix.lower() in TORCH:
        return TorchProgram(path, options)
    if is_named(named):
        return Function(named)
    raise BadInputError(
        f"black box {named!r}: use a model file (.onnx, {', '.join(TORCH)}), timm:NAME, hf:FOLDER, "
        "http://…/v2/models/NAME, or module:function"
    )
