"""Encoders of open_clip, among them the small one shipped for the demo. The one file that imports open_clip.

torch and open_clip load when an encoder is identified or loaded, not when this file is imported.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.device import Device, choose
from fsearch.indexer.embedding.demo_files import (
    DEMO_CONFIG,
    check_demo,
    demo_config,
    demo_file,
    demo_side,
    demo_support,
    demo_vocabulary,
)
from fsearch.indexer.embedding.demo_files import DEMO_FOLDER as DEMO_FOLDER
from fsearch.indexer.embedding.hash_cache import cached_sha256
from fsearch.indexer.embedding.model_files import (
    LOCAL,
    ModelConfig,
    check_folder,
    check_weights,
    find_files,
    no_remote_code,
    no_waiting_without_network,
    quiet_logs,
)
from fsearch.indexer.embedding.phrases import unknown_words
from fsearch.indexer.embedding.text_tower import TextTower
from fsearch.indexer.embedding.tower_export import tower_of
from fsearch.indexer.errors import EncoderError
from fsearch.indexer.workspace.encoder_spec import DEMO, EncoderSpec

if TYPE_CHECKING:
    from PIL import Image

_TOKENIZERS: dict[str, Any] = {}  # by name; none that has files of its own


@dataclass(frozen=True)
class OpenClipEncoder:
    """A loaded open_clip model; see `encoder.Encoder`. `device` is where it runs, "cpu" or "cuda"."""

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
        """One RGB image as the (3, h, w) float32 tensor that the image tower takes."""
        return self._preprocess(image)

    def embed_images(self, prepared: Sequence[Any]) -> NDArray[np.float32]:
        """Embed prepared images: (n, dim) float32, unit rows. bfloat16 inside on a GPU.

        On a CPU no embedding depends on its batch; a batch of one would take another code path of the matrix products,
        so it is doubled.
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
        """Embed phrases: (n, dim) float32, unit rows, none of which depends on its batch.

        By the exported tower, as every query does; by torch, one by one, where a tower is of another kind.
        """
        if self._tower is not None:
            return self._tower.embed_texts(texts, progress)
        return self.embed_by_torch(texts, progress)

    @cached_property
    def _tower(self) -> TextTower | None:
        return tower_of(self.spec, self._model, self._tokenize, self.embed_by_torch)

    def embed_by_torch(
        self, texts: Sequence[str], progress: Callable[[int, int], None] | None = None
    ) -> NDArray[np.float32]:
        """The same by torch, which the exported tower is checked against."""
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
        """The words of `text` that are not in `vocabulary`; empty for an open vocabulary."""
        return unknown_words(self.vocabulary, text)


def identify(name: str, weights: str | None) -> EncoderSpec:
    """The identity of the encoder that `name` and `weights` mean. Raises EncoderError where there is none such."""
    if name == DEMO:
        if weights:
            raise EncoderError("the demo encoder brings its own weights; leave --weights out")
        return EncoderSpec(DEMO, None, cached_sha256(demo_file(".safetensors")), demo_config().dim)
    import open_clip

    if name not in open_clip.list_models():
        files = find_files(name, weights)
        if files is None:
            raise EncoderError(
                f"unknown encoder {name!r}: use demo, or an open_clip name such as ViT-B-32{_near(name)}"
            )
        config = files.config.as_json() if files.stored_weights else None
        digest = files.config.digest(files.weights)
        return EncoderSpec(files.name, files.stored_weights, digest, files.config.dim, config)
    tags = open_clip.list_pretrained_tags_by_model(name)
    if not weights:
        some = ", ".join(tags[:4]) or "none known"
        raise EncoderError(f"{name} needs --weights: a local .safetensors or .pt file, or a hub tag ({some})")
    dim = _dim(open_clip.get_model_config(name))
    if Path(weights).suffix in LOCAL:
        if not Path(weights).is_file():
            raise EncoderError(f"no such weights file: {weights}")
        return EncoderSpec(name, str(Path(weights).resolve()), cached_sha256(Path(weights)), dim)
    if weights not in tags:
        raise EncoderError(f"{name} has no hub tag {weights!r}; it has: {', '.join(tags) or 'none'}")
    return EncoderSpec(name, weights, f"tag:{weights}", dim)


@dataclass(frozen=True, slots=True)
class _Sources:
    """What open_clip loads an encoder from: its own name or a configuration, weights, and a name for the tokenizer."""

    name: str
    weights: str | None
    tokenizer: str
    preprocess: dict[str, Any]


def load(spec: EncoderSpec, device: Device = "auto") -> OpenClipEncoder:
    """Load the model that `spec` names, on `device` (the GPU where there is one by default).

    Raises EncoderError where weights are missing, have changed, do not fit, or cannot be fetched.
    """
    import open_clip

    place = choose(device)
    found = _sources(spec)
    local = found.weights is not None and Path(found.weights).suffix in LOCAL
    try:
        with quiet_logs(), no_remote_code(), contextlib.nullcontext() if local else no_waiting_without_network():
            model, _, preprocess = open_clip.create_model_and_transforms(
                found.name, pretrained=found.weights, device=place, **found.preprocess
            )
            tokenizer = _TOKENIZERS.get(found.tokenizer) or open_clip.get_tokenizer(found.tokenizer)
    except Exception as error:
        raise EncoderError(_reason(spec.name, found.weights, error, local=local)) from error
    if isinstance(tokenizer, open_clip.SimpleTokenizer):  # CLIP's own, which takes 0.1 s to make
        _TOKENIZERS[found.tokenizer] = tokenizer
    model.eval()
    scale = float(model.logit_scale.detach().exp())
    if spec.name != DEMO:
        return OpenClipEncoder(spec, place, None, None, scale, None, model, preprocess, tokenizer)
    known, side, support = demo_vocabulary(), demo_side(), demo_support()
    return OpenClipEncoder(spec, place, known, side, scale, support, model, preprocess, tokenizer)


def _sources(spec: EncoderSpec) -> _Sources:
    """Raises EncoderError where a checkpoint or configuration is not the one that `spec` holds the hash of."""
    if spec.name == DEMO:
        check_demo(spec)
        name = _register(demo_config(), DEMO_CONFIG)
        return _Sources(name, str(demo_file(".safetensors")), name, {})
    path = Path(str(spec.weights))
    if not spec.has_config:
        if path.suffix in LOCAL:
            check_weights(spec)
        return _Sources(spec.name, spec.weights, spec.name, {})
    if spec.config is not None:
        config, weights = ModelConfig.parse(json.loads(spec.config), spec.name), path
        if not weights.is_file() or config.digest(weights) != spec.digest:
            raise EncoderError(f"the weights {path} are gone or have changed since this workspace was made")
    else:
        files = check_folder(spec)
        config, weights = files.config, files.weights
    name = _register(config, f"fsearch-{hashlib.sha256(config.as_json().encode()).hexdigest()[:16]}")
    preprocess = {
        f"image_{key}": config.preprocess[key]
        for key in ("mean", "std", "interpolation", "resize_mode")
        if key in config.preprocess
    }
    own = spec.config is None and "hf_tokenizer_name" in config.model["text_cfg"]  # its files lie beside the weights
    return _Sources(name, str(weights), spec.name if own else name, preprocess)


def _register(config: ModelConfig, name: str) -> str:
    """Make a configuration known to open_clip under `name`."""
    import open_clip

    if name not in open_clip.list_models():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"{name}.json")
            path.write_text(json.dumps(config.model))
            open_clip.add_model_config(path)
    return name


def _reason(name: str, weights: str | None, error: Exception, *, local: bool) -> str:
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


def _dim(config: dict[str, Any] | None) -> int:
    if config is None:
        raise EncoderError("this encoder has no configuration in open_clip; use another name")
    return int(config["embed_dim"])
