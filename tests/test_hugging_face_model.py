"""A black box that transformers' `save_pretrained` wrote; these tests need the extra `transformers`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.blackbox.preprocess import InputOptions
from fsearch.indexer.losses.blackbox.resolve import open_black_box

PHOTO = Image.linear_gradient("L").resize((50, 40)).convert("RGB")


def test_the_library_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BadInputError, match="need the library transformers: pip install transformers"):
        open_black_box("hf:model", InputOptions())


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A tiny vision transformer of random weights and two classes."""
    transformers: Any = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=16,
        id2label={0: "cat", 1: "dog"},
        label2id={"cat": 0, "dog": 1},
    )
    folder = tmp_path / "model"
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ["hf:model", "model"])
def test_a_saved_classifier_is_a_black_box(name: str, saved: Path) -> None:
    import torch
    import transformers

    box = open_black_box(name, InputOptions())
    assert (box.classes, box.scores) == (("cat", "dog"), "logits")
    (logits,) = box.predict([box.prepare(PHOTO)])
    pixels = transformers.ViTImageProcessor.from_pretrained(saved)(images=PHOTO, return_tensors="pt")
    with torch.inference_mode():
        expected = transformers.ViTForImageClassification.from_pretrained(saved).eval()(**pixels).logits[0].numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert box.digest == open_black_box("model", InputOptions()).digest
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(config | {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}))
    other = open_black_box("model", InputOptions())
    assert other.digest != box.digest
    assert other.classes == ()


def test_a_folder_that_cannot_be_used_is_one_line(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoConfig": "own.Config"}}))
    with pytest.raises(BadInputError, match=r"config\.json names code of its own \(auto_map\), which is not run"):
        open_black_box("hf:model", InputOptions())
    (saved / "config.json").write_text(json.dumps({"model_type": "nobody's"}))
    with pytest.raises(BadInputError, match="cannot be loaded as an image classifier") as caught:
        open_black_box("hf:model", InputOptions())
    assert "\n" not in str(caught.value)
    (saved / "config.json").unlink()
    with pytest.raises(BadInputError, match=r"holds no model: there is no config\.json"):
        open_black_box("hf:model", InputOptions())
