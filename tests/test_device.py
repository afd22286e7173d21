"""Where models run. What needs a GPU is skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.conftest import Planted

import fsearch
from fsearch.indexer.device import choose
from fsearch.indexer.embedding.encoder import identify, load_encoder
from fsearch.indexer.errors import BadInputError

GPU = torch.cuda.is_available()


@pytest.mark.skipif(GPU, reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused_before_anything_is_written(few: Planted) -> None:
    with pytest.raises(BadInputError, match="--device cuda: torch sees no GPU here"):
        fsearch.open("none").index(few.folder, device="cuda")
    assert not Path("none").exists()
    assert choose() == choose("cpu") == "cpu"
    ws = fsearch.open("w")
    ws.index(few.folder, few.losses, model="m", device="cpu")
    with pytest.raises(BadInputError, match="--device cuda"):
        ws.fit(device="cuda")


def test_a_device_of_no_name_is_refused() -> None:
    with pytest.raises(BadInputError, match="unknown device 'tpu'; use one of: auto, cpu, cuda"):
        choose("tpu")  # type: ignore[arg-type]


@pytest.mark.skipif(not GPU, reason="needs a GPU")
def test_a_gpu_embeds_as_the_cpu_does() -> None:
    spec = identify("demo", None)
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)) for _ in range(65)]
    found = []
    for device in ("cpu", "cuda"):
        encoder = load_encoder(spec, device)  # type: ignore[arg-type]
        found.append(encoder.embed_images([encoder.prepare(i) for i in images]))
    assert (found[0] * found[1]).sum(axis=1).min() > 0.999  # bfloat16 inside


@pytest.mark.skipif(not GPU, reason="needs a GPU")
def test_a_gpu_fits_as_the_cpu_does(planted: Planted) -> None:
    ws = fsearch.open("w")
    ws.index(planted.folder, planted.losses, model="m")
    on_cpu, on_gpu = ws.fit(device="cpu"), ws.fit(device="cuda")
    assert on_gpu.spearman == pytest.approx(on_cpu.spearman, abs=0.05)
