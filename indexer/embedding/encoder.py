"""Encoders: any open_clip model, or the small one shipped for the demo. The one file that imports open_clip.

torch and open_clip load when an encoder is made, not when this file is imported.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fsearch.indexer.device import Device, choose
from fsearch.indexer.errors import EncoderError
from fsearch.indexer.storage.files import file_sha256
from fsearch.indexer.workspace.encoder_spec import DEMO, EncoderSpec

DEMO_FOLDER = Path(__file__).parents[2] / "data" / "encoder"
_DEMO_CONFIG = "fsearch-portraits"
_LOCAL = (".safetensors", ".pt", ".pth", ".bin")
_WORD = re.compile(r"[^\W\d_]+")


@dataclass(frozen=True, slots=True)
class Encoder:
    """A loaded dual encoder.

    Attributes
    ----------
    spec : its identity, as the workspace stores it.
    device : where it runs, "cpu" or "cuda".
    vocabulary : the only words it knows, or None for an encoder of open vocabulary.
    only_side : side in pixels of the only images it knows (the demo's portraits), or None for any photograph.
    logit_scale : inverse temperature it was trained with: what a cosine is worth in nats.
    support : least similarity and mass of a phrase whose images are there, where that was measured; else None.
    """

    spec: EncoderSpec
    device: str
    vocabulary: frozenset[str] | None
    only_side: int | None
    logit_scale: float
    support: tuple[float, float] | None
    _model: Any
    _preprocess: Callable[[Image.Image], Any]
    _tokenize: Callable[[list[str]], Any]

    def prepare(self, image: Image.Image) -> Any:
        """One RGB image as the (3, h, w) float32 tensor the image tower takes."""
        return self._preprocess(image)

    def embed_images(self, prepared: Sequence[Any]) -> NDArray[np.float32]:
        """Embed prepared images: (n, dim) float32, unit rows. bfloat16 inside on a GPU.

        On a CPU no embedding depends on what it is embedded with; one alone would take another way through the
        multiplications, so it is doubled.
        """
        import torch

        batch = torch.stack([*prepared, *prepared] if len(prepared) == 1 else list(prepared))
        if self.device == "cuda":
            batch = batch.pin_memory()  # so that the copy overlaps decoding
        batch = batch.to(self.device, non_blocking=True)
        with torch.inference_mode(), torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            found = self._model.encode_image(batch, normalize=True)
        return np.asarray(found[: len(prepared)].float().cpu().numpy(), np.float32)

    def embed_texts(
        self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """Embed phrases: (n, dim) float32, unit rows. Each is embedded by itself, so no phrase depends on its batch."""
        import torch

        found = []
        with torch.inference_mode():
            for text in texts:
                tokens = self._tokenize([text]).to(self.device)
                found.append(self._model.encode_text(tokens, normalize=True).float().cpu())
                if progress:
                    progress(len(found), len(texts))
        return np.asarray(torch.cat(found).numpy(), np.float32)

    def unknown_words(self, text: str) -> tuple[str, ...]:
        """The words of `text` that the encoder never saw in training; empty for an encoder of open vocabulary."""
        if self.vocabulary is None:
            return ()
        words = dict.fromkeys(_WORD.findall(text.lower()))
        return tuple(w for w in words if w not in self.vocabulary)


def identify(name: str, weights: str | None) -> EncoderSpec:
    """The identity of the encoder that `name` and `weights` ask for. Raises EncoderError where there is none such."""
    if name == DEMO:
        if weights:
            raise EncoderError("the demo encoder brings its own weights; leave --weights out")
        config = DEMO_FOLDER / f"{_DEMO_CONFIG}.json"
        return EncoderSpec(DEMO, None, file_sha256(config.with_suffix(".safetensors")), _dim(_config_of_demo()))
    import open_clip

    if name not in open_clip.list_models():
        raise EncoderError(f"unknown encoder {name!r}: use demo, or an open_clip name such as ViT-B-32{_near(name)}")
    tags = open_clip.list_pretrained_tags_by_model(name)
    if not weights:
        some = ", ".join(tags[:4]) or "none known"
        raise EncoderError(f"{name} needs --weights: a local .safetensors or .pt file, or a hub tag ({some})")
    dim = _dim(open_clip.get_model_config(name))
    if Path(weights).suffix in _LOCAL:
        if not Path(weights).is_file():
            raise EncoderError(f"no such weights file: {weights}")
        return EncoderSpec(name, str(Path(weights).resolve()), file_sha256(Path(weights)), dim)
    if weights not in tags:
        raise EncoderError(f"{name} has no hub tag {weights!r}; it has: {', '.join(tags) or 'none'}")
    return EncoderSpec(name, weights, f"tag:{weights}", dim)


def load_encoder(spec: EncoderSpec, device: Device = "auto") -> Encoder:
    """Load the encoder `spec` names, on `device` (the GPU where there is one by default).

    Raises EncoderError where weights are missing, have changed, do not fit, or cannot be fetched.
    """
    import open_clip

    place = choose(device)
    name, weights, vocabulary, only_side, support = spec.name, spec.weights, None, None, None
    if spec.name == DEMO:
        open_clip.add_model_config(DEMO_FOLDER / f"{_DEMO_CONFIG}.json")
        name, weights = _DEMO_CONFIG, str(DEMO_FOLDER / f"{_DEMO_CONFIG}.safetensors")
        vocabulary = frozenset((DEMO_FOLDER / "words.txt").read_text().split())
        only_side = int(_config_of_demo()["vision_cfg"]["image_size"])
        measured = json.loads((DEMO_FOLDER / "support.json").read_text())
        support = (float(measured["similarity"]), float(measured["mass"]))
    local = weights is not None and Path(weights).suffix in _LOCAL
    if local and (not Path(str(weights)).is_file() or file_sha256(Path(str(weights))) != spec.digest):
        if spec.name == DEMO:
            raise EncoderError("this workspace was made with the demo encoder of another fsearch; index into a new one")
        raise EncoderError(f"the weights {weights} are gone or have changed since this workspace was made")
    try:
        with _quiet(), contextlib.nullcontext() if local else _no_waiting_without_network():
            model, _, preprocess = open_clip.create_model_and_transforms(name, pretrained=weights, device=place)
            tokenizer = open_clip.get_tokenizer(name)
    except Exception as error:
        raise EncoderError(_why(name, weights, error, local=local)) from error
    model.eval()
    scale = float(model.logit_scale.detach().exp())
    return Encoder(spec, place, vocabulary, only_side, scale, support, model, preprocess, tokenizer)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Loading libraries log what they then raise; our one line says it."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _no_waiting_without_network() -> Iterator[None]:
    """Where the hub's name does not resolve, go to its local cache at once instead of after a minute of retries."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    try:
        socket.getaddrinfo(urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError:
        constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _why(name: str, weights: str | None, error: Exception, *, local: bool) -> str:
    first = str(error).strip().split("\n")[0] or type(error).__name__
    first = first.split(": ")[0][:160]
    if local:
        return f"{weights} does not fit {name}, or is not a plain weights file: {first}"
    return f"cannot fetch {name} ({weights}): {first}; without a network give a local file: --weights model.safetensors"


def _near(name: str) -> str:
    import difflib

    import open_clip

    near = difflib.get_close_matches(name, open_clip.list_models(), n=3)
    return f" (near: {', '.join(near)})" if near else ""


def _config_of_demo() -> dict[str, Any]:
    config: dict[str, Any] = json.loads((DEMO_FOLDER / f"{_DEMO_CONFIG}.json").read_text())
    return config


def _dim(config: dict[str, Any] | None) -> int:
    if config is None:
        raise EncoderError("this encoder has no configuration in open_clip; use another name")
    return int(config["embed_dim"])
