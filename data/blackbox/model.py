"""Load and run the demo's black box. fsearch itself never looks inside it: it sees losses only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

WEIGHTS = Path(__file__).with_name("smile.safetensors")
SIDE = 96


@dataclass(frozen=True, slots=True)
class Judged:
    """What the black box said of n portraits: probability of a smile, and its cross-entropy; (n,) float64 each."""

    smiling: NDArray[np.float64]
    losses: NDArray[np.float64]


def build() -> Any:
    """The architecture: four strided convolutions and a linear layer; two logits (not smiling, smiling)."""
    from torch import nn

    def block(inside: int, outside: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inside, outside, 3, 2, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU())

    return nn.Sequential(
        block(3, 24), block(24, 48), block(48, 96), block(96, 96), nn.Flatten(), nn.Dropout(0.3), nn.Linear(96 * 36, 2)
    )


def load() -> Any:
    """The trained classifier, ready to judge."""
    from safetensors.torch import load_file

    model = build()
    model.load_state_dict({name: tensor.float() for name, tensor in load_file(WEIGHTS).items()})
    return model.eval()


def judge(model: Any, images: Sequence[Image.Image], smiling: NDArray[np.bool_]) -> Judged:
    """Run the classifier on RGB portraits and compute its cross-entropy against the truth, (n,) bool."""
    import torch

    found = []
    with torch.inference_mode():
        for start in range(0, len(images), 128):
            pixels = np.stack([np.asarray(i.resize((SIDE, SIDE))) for i in images[start : start + 128]])
            found.append(torch.log_softmax(model(to_input(torch.from_numpy(pixels))), dim=1))
    logs = torch.cat(found).double().numpy()
    return Judged(np.exp(logs[:, 1]), -logs[np.arange(len(logs)), smiling.astype(int)])


def to_input(pixels: Any) -> Any:
    """(n, h, w, 3) uint8 tensor to (n, 3, h, w) float in [-1, 1]."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1.0
