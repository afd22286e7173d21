"""The demo's encoder as it is shipped: its files, and what was measured when it was trained."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from fsearch.indexer.embedding.hash_cache import cached_sha256
from fsearch.indexer.embedding.model_files import ModelConfig
from fsearch.indexer.errors import EncoderError
from fsearch.indexer.workspace.encoder_spec import EncoderSpec

DEMO_FOLDER = Path(__file__).parents[2] / "data" / "encoder"
DEMO_CONFIG = "fsearch-portraits"


def demo_file(suffix: str) -> Path:
    """Its file of that suffix."""
    return DEMO_FOLDER / f"{DEMO_CONFIG}{suffix}"


@functools.cache
def demo_config() -> ModelConfig:
    """Its configuration."""
    return ModelConfig.parse(json.loads(demo_file(".json").read_bytes()), DEMO_CONFIG)


@functools.cache
def demo_vocabulary() -> frozenset[str]:
    """The only words it knows."""
    return frozenset((DEMO_FOLDER / "words.txt").read_text().split())


def demo_side() -> int:
    """Side in pixels of the only images it knows."""
    return int(demo_config().model["vision_cfg"]["image_size"])


def demo_support() -> tuple[float, float]:
    """Least similarity and mass of a phrase whose images exist."""
    measured = json.loads((DEMO_FOLDER / "support.json").read_text())
    return float(measured["similarity"]), float(measured["mass"])


def check_demo(spec: EncoderSpec) -> None:
    """Raises EncoderError where `spec` is of the demo encoder of another version."""
    if cached_sha256(demo_file(".safetensors")) != spec.digest:
        raise EncoderError("this workspace was made with the demo encoder of another fsearch; index into a new one")
