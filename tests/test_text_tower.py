"""Phrases without torch: the same tokens, the same printed digits, and no waiting for the catalog."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.made_encoders import CONFIG, save_model

import fsearch
from fsearch.data.portraits import phrases
from fsearch.indexer.embedding import text_tower
from fsearch.indexer.embedding.clip_tokenizer import clip_tokenizer
from fsearch.indexer.embedding.encoder import Encoder, identify, load_encoder
from fsearch.indexer.embedding.phrases import TowerTexts
from fsearch.indexer.embedding.text_tower import TextTower
from fsearch.indexer.embedding.tower_export import tower_of
from fsearch.indexer.workspace.encoder_spec import EncoderSpec
from fsearch.search.workspace import Workspace

PHRASES = list(dict.fromkeys(text for text, _ in phrases()))
TOKENIZER = open_clip.get_tokenizer("ViT-B-32")
COLOURS = ("red", "green", "blue", "grey", "pink")
THINGS = ("dog", "cat", "house", "bicycle", "tree", "person with a hat", "car at night", "bird", "boat", "chair")
HOLD = "import duckdb, sys, time; c = duckdb.connect(sys.argv[1], read_only=True); print(1, flush=True); time.sleep(99)"


@given(st.one_of(st.text(), st.text("abcdeX1 '_-!?&;<>lt\t²é日\x1b")))
def test_tokens_are_those_of_open_clip(text: str) -> None:
    expected, found = TOKENIZER([text])[0].tolist(), clip_tokenizer()(text, 77)
    assert found == expected[: len(found)]
    assert not any(expected[len(found) :])


def test_every_phrase_of_the_demo_encoder_is_answered_alike_by_both_paths(ws: Workspace, encoder: Encoder) -> None:
    by_torch: Any = encoder
    assert isinstance(text_tower.read(encoder.spec), TextTower)
    asked = [f'"{phrase}"' for phrase in PHRASES]  # as they stand: "no hat" is "no hat"
    ours, torchs = ws.query(*asked), ws.query(*asked, text_vectors=by_torch.embed_by_torch(PHRASES))
    assert [(a.verdict, a.reason) for a in ours] == [(a.verdict, a.reason) for a in torchs]
    told, expected = str(ours).split(), str(torchs).split()
    differ = [(a, b) for a, b in zip(told, expected, strict=True) if a != b]
    assert len(differ) <= 1e-3 * len(told)  # the two differ by 1e-7: now and then a number is rounded the other way
    assert all(abs(float(a) - float(b)) < 1.5 * 10.0 ** -len(b.partition(".")[2]) for a, b in differ), differ


@pytest.mark.slow
def test_phrases_of_a_real_architecture_are_the_same_to_the_last_printed_digit() -> None:
    import torch

    model = open_clip.create_model("ViT-B-32").eval()
    asked = [f"{a} {b} {c}" for a in ("a photo of", "one", "no", "some very small") for b in COLOURS for c in THINGS]
    assert len(asked) == 200

    def embed(texts: Any) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(model.encode_text(TOKENIZER(list(texts)), normalize=True).numpy())

    tower = tower_of(EncoderSpec("ViT-B-32", None, "random", 512), model, TOKENIZER, embed)
    assert tower is not None
    assert tower.shape.cosine_error < 1e-6
    images = np.random.default_rng(0).standard_normal((50, 512)).astype(np.float32)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    ours, theirs = tower.embed_texts(asked) @ images.T, embed(asked) @ images.T
    assert np.abs(ours - theirs).max() < 1e-6
    assert np.mean(np.round(ours, 3) == np.round(theirs, 3)) > 0.999


def test_no_embedding_depends_on_its_batch(encoder: Encoder) -> None:
    together = encoder.embed_texts(PHRASES)
    alone = np.concatenate([encoder.embed_texts([p]) for p in PHRASES[:40]])
    assert np.array_equal(together[:40], alone)


IN_ANY_ORDER = """
import numpy as np
from fsearch.indexer.embedding.text_tower import LAYER, TextTower, TowerShape
rng, width = np.random.default_rng(0), 512
sizes = {"in_proj_weight": (3 * width, width), "in_proj_bias": (3 * width,), "out_proj.weight": (width, width)}
sizes |= {"c_fc.weight": (4 * width, width), "c_fc.bias": (4 * width,), "c_proj.weight": (width, 4 * width)}
def made(name):
    size = next((s for end, s in sizes.items() if name.endswith(end)), (width,))
    return rng.standard_normal(size).astype(np.float32) / np.float32(30)
weights = {f"transformer.resblocks.{i}.{name}": made(name) for i in range(2) for name in LAYER}
weights |= {"ln_final.weight": made(""), "ln_final.bias": made("")}
for name, rows in (("token_embedding.weight", 49408), ("positional_embedding", 77), ("text_projection", width)):
    weights[name] = rng.standard_normal((rows, width)).astype(np.float32) / np.float32(30)
tower = TextTower(TowerShape(77, 8, 2, False, 1e-5, 100.0), weights)
long = " ".join(["very"] * 90)
texts = ["a dog", "a cat", "my hat", "one sun", "two men at a table in the rain", long]
texts += ["a" + long, "b" + long, "c" + long]
alone = np.concatenate([tower.embed_texts([text]) for text in texts])
for _ in range(5):
    order = rng.permutation(len(texts))
    assert np.array_equal(tower.embed_texts([texts[i] for i in order]), alone[order])
"""


@pytest.mark.parametrize("kernel", ["", "Haswell"])
def test_no_embedding_depends_on_its_place_in_a_batch_whatever_the_kernel(kernel: str) -> None:
    """Kernels of OpenBLAS round by the place of a row among those they take at once."""
    environment = os.environ | ({"OPENBLAS_CORETYPE": kernel} if kernel else {})
    subprocess.run([sys.executable, "-c", IN_ANY_ORDER], env=environment, check=True)


def test_a_tower_of_another_kind_is_run_by_torch_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    import torch

    config, weights = save_model(tmp_path / "made", dict(CONFIG, text_cfg=dict(CONFIG["text_cfg"], pool_type="last")))
    for _ in range(2):
        found: Any = load_encoder(identify(str(config), str(weights)), "cpu")
        with torch.inference_mode():
            assert np.array_equal(found.embed_texts(["a hat"]), found.embed_by_torch(["a hat"]))
    assert [r.message for r in caplog.records if "run by torch" in r.message] == [
        f"the text tower of {config} is run by torch, so its first query takes longer: "
        "it does not end at the last token of a causal transformer"
    ]


def test_a_damaged_tower_is_taken_again(tmp_path: Path) -> None:
    config, weights = save_model(tmp_path / "made")
    spec = identify(str(config), str(weights))
    before = load_encoder(spec, "cpu").embed_texts(["a hat"])
    tower = text_tower.read(spec)
    assert isinstance(tower, TextTower)
    assert np.array_equal(TowerTexts(spec, tower).embed_texts(["a hat"]), before)
    place = Path(tower.weights["text_projection"].base.base.filename)  # type: ignore[union-attr]
    place.write_bytes(place.read_bytes()[:100])
    assert text_tower.read(spec) is None
    assert np.array_equal(load_encoder(spec, "cpu").embed_texts(["a hat"]), before)
    assert isinstance(text_tower.read(spec), TextTower)


def kept(root: Path) -> list[str]:
    return fsearch.open(root).sql("SELECT text FROM text_vectors")["text"].to_pylist()


def test_what_was_asked_once_is_in_the_catalog(ws: Workspace) -> None:
    assert "very dark skin" in kept(ws.root)  # a starter phrase, since the fit
    first = str(ws.query("a smiling face at the beach"))
    assert "a smiling face at the beach" in kept(ws.root)
    assert str(fsearch.open(ws.root).query("a smiling face at the beach")) == first


def test_a_question_does_not_wait_to_keep_its_phrase(ws: Workspace) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(ws.root / "catalog.duckdb")], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            began = time.monotonic()
            ws.query("a neutral face at the beach")
            assert time.monotonic() - began < 25  # a writer waits 30 s for such a reader
            assert "a neutral face at the beach" not in kept(ws.root)
        finally:
            other.kill()
    ws.query("a neutral face at the beach")
    assert "a neutral face at the beach" in kept(ws.root)
