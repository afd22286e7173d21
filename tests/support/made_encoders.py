"""Encoders made for tests: tiny open_clip models with random weights, and encoders of a user's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONFIG: dict[str, Any] = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
PREPROCESS = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "interpolation": "bilinear", "resize_mode": "squash"}

OWN_ENCODER = """
import numpy as np

class Colours:
    dim = 3
    logit_scale = 20.0

    def embed_images(self, images):
        return np.stack([np.asarray(i, np.float64).mean(axis=(0, 1)) for i in images])

    def embed_texts(self, texts):
        return np.stack([[1.0 + ("red" in t), 1.0 + ("green" in t), 1.0 + ("blue" in t)] for t in texts])

def build():
    with open("built.txt", "a") as file:
        file.write("x")
    return Colours()

colours = Colours()
"""


def save_model(folder: Path, config: dict[str, Any] = CONFIG, seed: int = 0) -> tuple[Path, Path]:
    """A configuration `tiny.json` and a checkpoint `tiny.safetensors` of random weights."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    model = open_clip.CLIP(**config)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "tiny.safetensors")
    (folder / "tiny.json").write_text(json.dumps(config))
    return folder / "tiny.json", folder / "tiny.safetensors"


def save_folder(folder: Path) -> Path:
    """What `local-dir:` and a hub repository hold: a checkpoint and open_clip_config.json with preprocessing."""
    config, weights = save_model(folder)
    weights.rename(folder / "open_clip_model.safetensors")
    config.unlink()
    content = {"model_cfg": CONFIG, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    return folder
