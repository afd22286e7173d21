"""A black box as a folder that transformers' `save_pretrained` wrote: an image classifier and its image processor."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.blackbox.preprocess import InputOptions
from fsearch.indexer.losses.choices import ScoreKind
from fsearch.indexer.storage.files import content_sha256
from fsearch.indexer.storage.regular_files import NO_FILE, find_irregular
from fsearch.indexer.storage.tabular import read_json

_WEIGHTS = (".safetensors", ".bin", ".json")


def is_pretrained(folder: Path) -> bool:
    """Whether a folder holds a model as transformers saves it."""
    return (folder / "config.json").is_file()


class HuggingFaceModel:
    """An AutoModelForImageClassification from a local folder, with the preprocessing that lies beside it."""

    def __init__(self, folder: Path, options: InputOptions) -> None:
        """Load `folder`. Raises BadInputError where it cannot be loaded, or would run code of its own."""
        try:
            transformers = importlib.import_module("transformers")
        except ImportError as error:
            raise BadInputError(
                "Hugging Face models need the library transformers: pip install transformers"
            ) from error
        import torch

        if not is_pretrained(folder):
            raise BadInputError(f"{folder} holds no model: there is no config.json, as save_pretrained writes it")
        odd = find_irregular(folder)
        if odd is not None:
            raise BadInputError(f"{folder} cannot be loaded: {odd.name}: {NO_FILE}")
        for file in folder.glob("*config.json"):
            content = read_json(file, "model configuration")
            if isinstance(content, dict) and "auto_map" in content:
                raise BadInputError(
                    f"{file} names code of its own (auto_map), which is not run; export the model to ONNX"
                )
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            with _quiet():
                model = transformers.AutoModelForImageClassification.from_pretrained(str(folder), **local)
                self._processor: Any = transformers.AutoImageProcessor.from_pretrained(str(folder), **local)
        except Exception as error:  # transformers raises whatever does not fit
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise BadInputError(f"{folder} cannot be loaded as an image classifier: {reason}") from error
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = model.eval().to(self._device)
        files = sorted(p for p in folder.iterdir() if p.suffix in _WEIGHTS)
        self.origin, self.batch = str(folder), 32
        self.digest = " ".join(f"{p.name} {content_sha256(p)}" for p in files)
        self.classes: tuple[str, ...] = options.classes or _names(model.config.id2label)
        self.scores: ScoreKind | None = options.scores or "logits"
        self.note = f"input as {type(self._processor).__name__} of the folder prepares it"
        self.squashes = False

    def prepare(self, image: Image.Image) -> Any:
        """The input tensor of one image."""
        return self._processor(images=image, return_tensors="pt")["pixel_values"][0]

    def predict(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Logits, one row per image."""
        import torch

        with torch.inference_mode():
            out = self._model(pixel_values=torch.stack(list(inputs)).to(self._device)).logits
        return list(out.float().cpu().numpy())


def _names(labels: Any) -> tuple[str, ...]:
    """Names of classes in the order of the outputs; none where the configuration has only transformers' own."""
    names = tuple(str(labels[i]) for i in sorted(labels, key=int))
    return () if all(name == f"LABEL_{i}" for i, name in enumerate(names)) else names


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings that loading prints."""
    logger = logging.getLogger("transformers")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
