"""A small convolutional classifier, really trained, whose failures are then looked for."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

EPOCHS, BATCH = 8, 64


def shrink(pixels: np.ndarray) -> torch.Tensor:
    """(n, 96, 96, 3) uint8 to (n, 3, 48, 48) float in [-1, 1]."""
    blocks = (torch.from_numpy(np.array(b)) for b in np.array_split(pixels, -(-len(pixels) // 500)))
    return torch.cat([nn.functional.avg_pool2d(b.permute(0, 3, 1, 2).float() / 127.5 - 1, 2) for b in blocks])


def train(images: torch.Tensor, labels: np.ndarray, seed: int) -> nn.Module:
    """A classifier of two classes from `images` (n, 3, 48, 48) and `labels` (n,) bool."""
    torch.manual_seed(seed)
    model = nn.Sequential(*_block(3, 16), *_block(16, 32), *_block(32, 64), nn.Flatten(), nn.Linear(64 * 36, 2))
    wanted = torch.from_numpy(labels.astype(np.int64))
    optimiser = torch.optim.AdamW(model.parameters(), weight_decay=1e-3)
    steps = EPOCHS * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(images))[: len(images) // BATCH * BATCH].split(BATCH):
            loss = nn.functional.cross_entropy(model(images[rows]), wanted[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return model.eval()


def cross_entropy(model: nn.Module, images: torch.Tensor, labels: np.ndarray) -> np.ndarray:
    """(n,) float64 loss of each image."""
    with torch.inference_mode():
        logs = torch.cat([torch.log_softmax(model(b), dim=1) for b in images.split(512)]).double().numpy()
    return -logs[np.arange(len(labels)), labels.astype(int)]


def _block(inside: int, outside: int) -> list[nn.Module]:
    return [nn.Conv2d(inside, outside, 3, 2, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()]
