"""Configuration and checkpoint of an open_clip architecture that is not in open_clip's own list.

It may be a .json beside a checkpoint, a folder (`local-dir:FOLDER`), or a repository of the Hugging Face hub
(`hf-hub:ORG/NAME`). A configuration is data: one that would have a library run code from elsewhere is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fsearch.indexer.embedding.hash_cache import cached_sha256
from fsearch.indexer.errors import BadInputError, EncoderError
from fsearch.indexer.workspace.encoder_spec import EncoderSpec

LOCAL = (".safetensors", ".pt", ".pth", ".bin")
LOCAL_DIR, HF_HUB = "local-dir:", "hf-hub:"
_CONFIG = "open_clip_config.json"
_CHECKPOINTS = (  # in the order in which open_clip itself prefers them
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """An open_clip configuration: `model` as open_clip's model_configs/, `preprocess` as its preprocess_cfg."""

    model: dict[str, Any]
    preprocess: dict[str, Any]

    @classmethod
    def parse(cls, content: Any, where: str) -> ModelConfig:
        """Check what a .json holds. Raises EncoderError where it is no such configuration, or asks for remote code."""
        config = content.get("model_cfg", content) if isinstance(content, dict) else None
        if (
            not isinstance(config, dict)
            or not _whole(config.get("embed_dim"))
            or not all(isinstance(config.get(tower), dict) for tower in ("vision_cfg", "text_cfg"))
        ):
            raise EncoderError(
                f"{where} is no open_clip configuration; it must hold embed_dim, vision_cfg and text_cfg"
            )
        if _holds(content, "trust_remote_code"):
            raise EncoderError(f"{where} sets trust_remote_code, so it would run code from elsewhere: refused")
        preprocess = content.get("preprocess_cfg") or {}
        return cls(config, preprocess if isinstance(preprocess, dict) else {})

    @classmethod
    def read(cls, path: Path) -> ModelConfig:
        """Read a .json. Raises EncoderError."""
        from fsearch.indexer.storage.tabular import read_json

        try:
            return cls.parse(read_json(path, "encoder configuration"), str(path))
        except BadInputError as error:
            raise EncoderError(str(error)) from error

    @property
    def dim(self) -> int:
        """Length of the embeddings."""
        return int(self.model["embed_dim"])

    def as_json(self) -> str:
        """Canonical text: the same for the same configuration, whatever its layout."""
        return json.dumps({"model_cfg": self.model, "preprocess_cfg": self.preprocess}, sort_keys=True)

    def digest(self, weights: Path) -> str:
        """SHA-256 of the checkpoint and of this configuration, joined by +."""
        return f"{cached_sha256(weights)}+{hashlib.sha256(self.as_json().encode()).hexdigest()}"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A configuration and its checkpoint. `name` is how a workspace stores it; `stored_weights` likewise."""

    name: str
    config: ModelConfig
    weights: Path
    stored_weights: str | None = None


def find_files(name: str, weights: str | None) -> ModelFiles | None:
    """The files that `name` and `weights` mean; None where `name` is none of these kinds.

    Raises EncoderError where they are missing or unusable. A hub repository is fetched, if it is not cached.
    """
    if name.startswith((LOCAL_DIR, HF_HUB)):
        if weights:
            raise EncoderError(f"{name} brings its own weights; leave --weights out")
        return _in_folder(name) if name.startswith(LOCAL_DIR) else _from_hub(name)
    path = Path(name)
    if path.suffix != ".json":
        beside = Path(weights).with_name(f"{name}.json") if weights and path.name == name else None
        if beside is None or not beside.is_file():
            return None
        path = beside
    if not weights or Path(weights).suffix not in LOCAL:
        raise EncoderError(f"{name} needs --weights: a local .safetensors or .pt file")
    if not Path(weights).is_file():
        raise EncoderError(f"no such weights file: {weights}")
    full = Path(weights).resolve()
    return ModelFiles(str(path.resolve()), ModelConfig.read(path), full, str(full))


def _in_folder(name: str) -> ModelFiles:
    folder = Path(name.removeprefix(LOCAL_DIR)).resolve()
    if not (folder / _CONFIG).is_file():
        raise EncoderError(f"{name}: there is no {_CONFIG} in {folder}")
    found = [folder / n for n in _CHECKPOINTS if (folder / n).is_file()]
    found = found or sorted(p for p in folder.iterdir() if p.suffix in LOCAL and p.is_file())
    if not found:
        raise EncoderError(f"{name}: there is no checkpoint ({', '.join(LOCAL)}) in {folder}")
    if len(found) > 1 and found[0].name not in _CHECKPOINTS:
        raise EncoderError(
            f"{name} holds several checkpoints; name one: --encoder {folder / _CONFIG} --weights {found[0]}"
        )
    return ModelFiles(f"{LOCAL_DIR}{folder}", ModelConfig.read(folder / _CONFIG), found[0])


def _from_hub(name: str) -> ModelFiles:
    from huggingface_hub import hf_hub_download

    repo = name.removeprefix(HF_HUB)

    def fetch(*names: str) -> Path:
        reason = ""
        for file in names:
            try:
                return Path(hf_hub_download(repo, file))
            except Exception as error:  # of many kinds: no such file, no network, no such repository
                reason = reason or (str(error).strip() or type(error).__name__).splitlines()[0].split(": ")[0][:160]
        raise EncoderError(
            f"cannot fetch {names[0]} of {name}: {reason}; without a network give local files: "
            "--encoder local-dir:FOLDER"
        )

    with no_waiting_without_network():
        return ModelFiles(name, ModelConfig.read(fetch(_CONFIG)), fetch(*_CHECKPOINTS[:3]))


def check_weights(spec: EncoderSpec) -> None:
    """Raises EncoderError where a local checkpoint is not the one that `spec` holds the hash of."""
    path = Path(str(spec.weights))
    if not path.is_file() or cached_sha256(path) != spec.digest.split("+")[0]:
        raise EncoderError(f"the weights {path} are gone or have changed since this workspace was made")


def check_folder(spec: EncoderSpec) -> ModelFiles:
    """The files of a folder or repository. Raises EncoderError where they are not what `spec` holds the hash of."""
    files = find_files(spec.name, None)
    assert files is not None
    if files.config.digest(files.weights) != spec.digest:
        raise EncoderError(f"{spec.name} has changed since this workspace was made")
    return files


@contextlib.contextmanager
def quiet_logs() -> Iterator[None]:
    """Silence the logs of libraries that then raise: our one line says it."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def no_waiting_without_network() -> Iterator[None]:
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


@contextlib.contextmanager
def no_remote_code() -> Iterator[None]:
    """Have transformers raise where a hub repository brings code, instead of asking on the terminal to run it."""
    try:
        module: Any = importlib.import_module("transformers.dynamic_module_utils")
    except ImportError:
        yield
        return
    before = module.TIME_OUT_REMOTE_CODE
    module.TIME_OUT_REMOTE_CODE = 0
    try:
        yield
    finally:
        module.TIME_OUT_REMOTE_CODE = before


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _holds(content: Any, key: str) -> bool:
    """Whether `key` is in a JSON value, at any depth."""
    if isinstance(content, dict):
        return key in content or any(_holds(v, key) for v in content.values())
    return isinstance(content, list) and any(_holds(v, key) for v in content)
