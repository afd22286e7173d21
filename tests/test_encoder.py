"""Encoders: the demo's own, open_clip architectures with local checkpoints, and what cannot be loaded."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from made_encoders import CONFIG, OWN_ENCODER, save_folder, save_model
from PIL import Image
from safetensors.torch import load_file, save_file
from tests.conftest import Planted

import fsearch
from fsearch.data.portraits import known_words
from fsearch.diagnoser import artifact
from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.indexer.embedding import hash_cache
from fsearch.indexer.embedding.encoder import Encoder, identify, load_encoder, open_encoder
from fsearch.indexer.embedding.hash_cache import cached_sha256
from fsearch.indexer.embedding.open_clip_encoder import DEMO_FOLDER
from fsearch.indexer.errors import EncoderError
from fsearch.indexer.storage.files import file_sha256
from fsearch.indexer.workspace.store import Store

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


def no_network(*_: object) -> None:
    raise socket.gaierror(-2, "Name or service not known")


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


def raw(config: Path, weights: Path) -> Any:
    """The model as open_clip itself loads it."""
    model = open_clip.CLIP(**json.loads(config.read_text()))
    model.load_state_dict(load_file(weights))
    return model.eval()


def test_a_configuration_beside_a_checkpoint_is_an_encoder(few: Planted, tmp_path: Path) -> None:
    config, weights = save_model(tmp_path / "made")
    by_path, by_name = identify(str(config), str(weights)), identify("tiny", str(weights))
    assert by_path == by_name
    assert by_path.dim == 16
    encoder = load_encoder(by_path, "cpu")
    model = raw(config, weights)
    with torch.inference_mode():
        plain = model.encode_text(open_clip.SimpleTokenizer(context_length=16)(["a dog"]), normalize=True).numpy()
    np.testing.assert_allclose(encoder.embed_texts(["a dog"]), plain, atol=1e-6)
    ws = fsearch.open("w")
    assert ws.index(few.folder, few.losses, encoder="tiny", weights=str(weights)).embedded == 60
    ws.index(few.folder, encoder=str(config), weights=str(weights))  # the same, named in another way
    config.rename(tmp_path / "moved.json")  # its content is in the workspace
    ws = fsearch.open("w")
    ws.fit()
    assert len(ws.query("dark skin tone")) == 1
    changed = dict(CONFIG, vision_cfg=dict(CONFIG["vision_cfg"], mlp_ratio=2.0))
    (tmp_path / "other.json").write_text(json.dumps(changed))
    with pytest.raises(EncoderError, match=r"this workspace holds embeddings of .*tiny\.json"):
        ws.index(few.folder, encoder=str(tmp_path / "other.json"), weights=str(weights))
    save_model(tmp_path / "made", seed=1)
    with pytest.raises(EncoderError, match="are gone or have changed since this workspace was made"):
        fsearch.open("w").query("light skin tone")
    assert len(fsearch.open("w").query("dark skin tone")) == 1  # its embedding is in the catalog since it was asked


def test_a_folder_and_a_hub_repository_are_encoders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_folder(tmp_path / "folder")
    cache = tmp_path / "hub"
    snapshot = cache / "models--org--tiny" / "snapshots" / ("0" * 40)
    shutil.copytree(folder, snapshot)
    (cache / "models--org--tiny" / "refs").mkdir()
    (cache / "models--org--tiny" / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("socket.getaddrinfo", no_network)
    local, hub = (identify(name, None) for name in (f"local-dir:{folder}", "hf-hub:org/tiny"))
    assert local.digest == hub.digest
    image = Image.effect_noise((64, 48), 90).convert("RGB")
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    with torch.inference_mode():
        plain = model.eval().encode_image(preprocess(image)[None], normalize=True).numpy()
    for spec in (local, hub):
        encoder = load_encoder(spec, "cpu")
        np.testing.assert_allclose(encoder.embed_images([encoder.prepare(image)]), plain, atol=1e-5)
    with pytest.raises(EncoderError, match="brings its own weights; leave --weights out"):
        identify("hf-hub:org/tiny", "w.safetensors")
    with pytest.raises(EncoderError, match=r"cannot fetch open_clip_config\.json of hf-hub:org/none: .*local-dir") as e:
        identify("hf-hub:org/none", None)
    assert "\n" not in str(e.value)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": dict(CONFIG, quick_gelu=True)}))
    with pytest.raises(EncoderError, match="has changed since this workspace was made"):
        load_encoder(local, "cpu")


def test_a_folder_that_came_with_the_workspace_must_be_named(few: Planted) -> None:
    save_folder(Path("w/model"))
    ws = fsearch.open("w")
    ws.index(few.folder, few.losses, encoder="local-dir:w/model")
    ws.fit()
    with pytest.raises(EncoderError, match="is what the workspace says, which may be not yours") as caught:
        fsearch.open("w").query("dark skin tone")
    assert "\n" not in str(caught.value)
    assert fsearch.open("w").query("dark skin tone", encoder="local-dir:w/model")
    with pytest.raises(EncoderError, match="the encoder of this workspace is local-dir:"):
        fsearch.open("w").query("dark skin tone", encoder="demo")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("[1]", "is no open_clip configuration; it must hold embed_dim"),
        (json.dumps({"embed_dim": "16", "vision_cfg": {}, "text_cfg": {}}), "is no open_clip configuration"),
        (
            json.dumps(dict(CONFIG, text_cfg={"tokenizer_kwargs": {"trust_remote_code": True}})),
            "sets trust_remote_code, so it would run code from elsewhere: refused",
        ),
        (json.dumps(dict(CONFIG, embed_dim=24)), "does not fit"),
        (json.dumps(dict(CONFIG, no_such_key=1)), "does not fit"),
    ],
)
def test_a_configuration_that_cannot_be_used(tmp_path: Path, content: str, message: str) -> None:
    config, weights = save_model(tmp_path / "made")
    config.write_text(content)
    with pytest.raises(EncoderError, match=message) as caught:
        load_encoder(identify(str(config), str(weights)), "cpu")
    assert "\n" not in str(caught.value)


def test_a_checkpoint_is_hashed_again_only_where_size_or_time_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def counted(path: Path) -> str:
        read.append(path)
        return file_sha256(path)

    monkeypatch.setattr(hash_cache, "file_sha256", counted)
    monkeypatch.setenv("FSEARCH_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"one")
    os.utime(path, ns=(1, 1))
    first = cached_sha256(path)
    assert first == cached_sha256(path) == file_sha256(path)
    assert len(read) == 1
    path.write_bytes(b"two")  # other time
    assert cached_sha256(path) == file_sha256(path) != first
    path.write_bytes(b"three")
    os.utime(path, ns=(1, 1))  # other size
    assert cached_sha256(path) == file_sha256(path)
    assert len(read) == 3
    for entry in (tmp_path / "cache" / "sha256").iterdir():
        entry.write_text("{torn")
    assert cached_sha256(path) == file_sha256(path)
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").write_text("a file")  # nothing can be cached
    assert cached_sha256(path) == file_sha256(path)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module `own_encoder` in the current folder, which is not imported yet."""
    path = tmp_path / "own_encoder.py"
    path.write_text(OWN_ENCODER)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield path
    sys.modules.pop("own_encoder", None)


def test_an_encoder_of_ones_own_runs_only_when_it_is_named(own: Path, few: Planted) -> None:
    ws = fsearch.open("w")
    assert ws.index(few.folder, few.losses, encoder="own_encoder:build").embedded == 60
    norms = np.linalg.norm(Store.open(Path("w")).vectors()[:].astype(np.float64), axis=1)
    np.testing.assert_allclose(norms, 1, atol=1e-3)
    ws.fit()
    ws.query("red")  # named in this program
    built = Path("built.txt").read_text()
    assert built == "x"
    for ask in (lambda w: w.query("red"), lambda w: w.rank(["red"]), lambda w: w.fit()):
        with pytest.raises(EncoderError, match="own_encoder:build, is code, and a stored name runs no code") as caught:
            ask(fsearch.open("w"))
        assert "\n" not in str(caught.value)
    assert fsearch.open("w").index(few.folder).unchanged == 60  # nothing to embed
    assert Path("built.txt").read_text() == built
    assert fsearch.open("w").query("red", encoder="own_encoder:build")
    assert fsearch.open("w", encoder="own_encoder:build").rank(["red"]).answers
    assert fsearch.open("w").fit(encoder="own_encoder:build").images == 60
    with pytest.raises(EncoderError, match="the encoder of this workspace is own_encoder:build, not own_encoder:other"):
        fsearch.open("w").query("red", encoder="own_encoder:other")
    own.write_text(OWN_ENCODER.replace("20.0", "30.0"))
    with pytest.raises(EncoderError, match="the source of own_encoder:build has changed"):
        fsearch.open("w").query("red", encoder="own_encoder:build")


def test_an_encoder_may_be_an_object_of_the_program(own: Path, few: Planted) -> None:
    colours = importlib.import_module("own_encoder").colours
    ws = fsearch.open("w")
    ws.index(few.folder, few.losses, encoder=colours)
    ws.fit()
    first = ws.query("red").as_dict()
    with pytest.raises(EncoderError, match="own_encoder:Colours, is code"):
        fsearch.open("w").query("red")
    assert fsearch.open("w", encoder=colours).query("red").as_dict() == first
    assert fsearch.open("w").query("red", encoder="own_encoder:Colours").as_dict() == first


def test_how_images_fit_common_things_is_kept_with_the_fit(own: Path, few: Planted) -> None:
    ws = fsearch.open("w")
    ws.index(few.folder, few.losses, encoder=importlib.import_module("own_encoder").colours)
    model = ws.fit().model
    store = Store.open(Path("w"))
    kept = artifact.load(store.layout, model)
    assert kept.background is not None
    assert kept.background.shape == (2, len(kept.reference.rivals))
    again = Diagnosis(replace(kept, background=None), store.losses(model), store.index())
    np.testing.assert_array_equal(kept.background, again.background)
    assert Diagnosis(kept, store.losses(model), store.index()).background is kept.background


class Wrong:
    """An encoder that is wrong in one way."""

    dim, logit_scale = 3, 20.0

    def embed_images(self, images: list[Image.Image]) -> Any:
        return np.ones((len(images), 3))

    def embed_texts(self, texts: list[str]) -> Any:
        return np.ones((len(texts), 3))


def wrong(**changes: Any) -> Any:
    return type("Wrong", (Wrong,), changes)()


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (wrong(dim=None), "dim is None; it must be the length of its embeddings"),
        (wrong(embed_texts=3), "has no method embed_texts"),
        (wrong(logit_scale="warm"), "logit_scale is 'warm'; it must be a number above 0"),
        (wrong(embed_images=lambda self, images: 1 / 0), "embed_images raised ZeroDivisionError: division by zero"),
        (
            wrong(embed_images=lambda self, images: np.ones((len(images), 4))),
            r"embed_images gave float64 \(60, 4\) for 60 inputs; it must be floats of shape \(60, 3\)",
        ),
        (wrong(embed_images=lambda self, images: [["a"] * 3] * len(images)), r"it must be floats of shape \(60, 3\)"),
        ("own_encoder:nothing", "there is no 'nothing' in own_encoder"),
        ("no_such_module:x", "importing no_such_module raised ModuleNotFoundError"),
    ],
)
@pytest.mark.usefixtures("own")
def test_what_is_wrong_with_an_encoder_is_one_line(few: Planted, encoder: Any, message: str) -> None:
    with pytest.raises(EncoderError, match=message) as caught:
        fsearch.open("w").index(few.folder, encoder=encoder)
    assert "\n" not in str(caught.value)


def test_rows_of_an_encoder_that_are_no_embeddings(few: Planted, caplog: pytest.LogCaptureFixture) -> None:
    def broken(self: Any, images: list[Image.Image]) -> Any:
        rows = np.full((len(images), 3), 1e200)
        rows[3], rows[5, 1] = 0, np.nan
        return rows

    report = fsearch.open("w").index(few.folder, encoder=wrong(embed_images=broken, logit_scale=None))
    assert (report.embedded, report.rejected) == (58, 2)
    assert "has no logit_scale; 100 is taken, as in CLIP" in caplog.text
    encoder = open_encoder(wrong(embed_texts=lambda self, texts: torch.zeros((len(texts), 3), requires_grad=True)))
    with pytest.raises(EncoderError, match="embed_texts gave a zero or non-finite embedding of 'a dog'"):
        encoder.embed_texts(["a dog"])
