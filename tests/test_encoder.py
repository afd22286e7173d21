"""Encoders: the demo's own, open_clip architectures with local checkpoints, and what cannot be loaded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import fsearch
from fsearch.data.portraits import known_words
from fsearch.indexer.embedding.encoder import DEMO_FOLDER, Encoder, identify, load_encoder
from fsearch.indexer.errors import EncoderError

SMALL = "RN50"  # any open_clip name would do; this one is quick to make


def test_demo_embeddings_are_unit_and_do_not_depend_on_the_batch(encoder: Encoder) -> None:
    texts = encoder.embed_texts(["dark skin tone", "bald"])
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(texts[1], encoder.embed_texts(["bald"])[0])
    images = encoder.embed_images([encoder.prepare(Image.new("RGB", (300, 200), "red"))] * 2)
    assert images.shape == (2, encoder.spec.dim)
    np.testing.assert_allclose(images[0], images[1], atol=1e-6)


def test_demo_vocabulary_is_what_captions_can_say(encoder: Encoder) -> None:
    assert set((DEMO_FOLDER / "words.txt").read_text().split()) == known_words()
    assert encoder.unknown_words("Dark skin tone, at the beach!") == ()
    assert encoder.unknown_words("a zebra with a hat and a Zebra's tie") == ("zebra", "s", "tie")


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_local_checkpoint_of_any_architecture_loads(tmp_path: Path, suffix: str) -> None:
    model = open_clip.create_model(SMALL)
    path = tmp_path / f"weights{suffix}"
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    spec = identify(SMALL, str(path))
    found = load_encoder(spec, "cpu")
    assert found.unknown_words("anything at all") == ()
    texts = found.embed_texts(["a dog"])
    assert texts.shape == (1, spec.dim)
    with torch.inference_mode():
        plain = model.eval().encode_text(open_clip.get_tokenizer(SMALL)(["a dog"]), normalize=True).numpy()
    np.testing.assert_allclose(texts, plain, atol=1e-5)
    path.write_bytes(b"changed")
    with pytest.raises(EncoderError, match="gone or have changed"):
        load_encoder(spec, "cpu")


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path("owned").touch, ())


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hostile.pt"
    torch.save({"state_dict": Hostile()}, path)
    with pytest.raises(EncoderError, match="not a plain weights file"):
        load_encoder(identify("ViT-B-32", str(path)), "cpu")
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("ViT-B-33", None, "unknown encoder 'ViT-B-33'.*near: ViT-B-32"),
        ("ViT-B-32", None, "needs --weights"),
        ("ViT-B-32", "nowhere.pt", "no such weights file"),
        ("ViT-B-32", "no_such_tag", "has no hub tag 'no_such_tag'; it has: openai"),
        ("demo", "openai", "brings its own weights"),
    ],
)
def test_what_cannot_be_identified(name: str, weights: str | None, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        identify(name, weights)


def test_a_hub_tag_without_a_network_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import socket

    def no_network(*_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "a.png")
    with pytest.raises(EncoderError, match="without a network give a local file: --weights") as caught:
        fsearch.open("w").index("images", encoder="ViT-B-32", weights="laion2b_s34b_b79k")
    assert "\n" not in str(caught.value)
    assert not Path("w").exists()


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(EncoderError, match="does not fit ViT-B-32"):
        load_encoder(identify("ViT-B-32", str(path)), "cpu")


def test_a_workspace_of_another_demo_encoder_says_so() -> None:
    other = replace(identify("demo", None), digest="0" * 64)
    with pytest.raises(EncoderError, match="made with the demo encoder of another fsearch; index into a new one"):
        load_encoder(other, "cpu")
