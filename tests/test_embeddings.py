"""Embeddings a user has already: read from a file of any form, joined to images, asked with or without a text side."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_encoders import OWN_ENCODER
from PIL import Image
from tests.conftest import Planted
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app
from fsearch.indexer.embedding.encoder import Encoder
from fsearch.indexer.embedding.text_vectors import GivenTextVectors
from fsearch.indexer.errors import BadInputError, EncoderError, FsearchError
from fsearch.indexer.workspace.encoder_spec import EncoderSpec
from fsearch.indexer.workspace.store import Store
from fsearch.search.workspace import Workspace

N = 60
PHRASES = ["dark skin tone", "a hat"]


@pytest.fixture
def names(few: Planted) -> list[str]:
    return sorted(p.name for p in few.folder.iterdir())


@pytest.fixture
def vectors(few: Planted, names: list[str], encoder: Encoder) -> np.ndarray:
    """(60, 128) float32: what the demo's own encoder makes of the images."""
    return encoder.embed_images([encoder.prepare(Image.open(few.folder / n).convert("RGB")) for n in names])


def npy(path: str, keys: list[str], rows: np.ndarray) -> Path:
    """An array, and its keys beside it."""
    np.save(path, rows)
    Path(path).with_suffix(".keys.txt").write_text("".join(f"{key}\n" for key in keys))
    return Path(path)


def parquet(path: str, keys: list[str], rows: Any, kind: pa.DataType | None = None, column: str = "embedding") -> Path:
    """A column of keys and a column of lists."""
    pq.write_table(pa.table({"image": keys, column: pa.array([list(r) for r in rows], kind)}), path)
    return Path(path)


FORMS: dict[str, Callable[[list[str], np.ndarray], Path]] = {
    "npy": lambda keys, rows: npy("v.npy", keys, rows),
    "npy of float16": lambda keys, rows: npy("v.npy", keys, rows.astype(np.float16)),
    "npy of float64": lambda keys, rows: npy("v.npy", keys, rows.astype(np.float64)),
    "npy in Fortran's order": lambda keys, rows: npy("v.npy", keys, np.asfortranarray(rows)),
    "npy, not normalised": lambda keys, rows: npy("v.npy", keys, rows * np.linspace(1e-3, 1e3, len(rows))[:, None]),
    "npy, in another order": lambda keys, rows: npy("v.npy", keys[::-1], rows[::-1]),
    "npy by stem": lambda keys, rows: npy("v.npy", [k.removesuffix(".png") for k in keys], rows),
    "npy by path": lambda keys, rows: npy("v.npy", [f"few/images/{k}" for k in keys], rows),
    "npz": lambda keys, rows: (np.savez("v.npz", keys=np.array(keys), embeddings=rows), Path("v.npz"))[1],
    "npz of vectors": lambda keys, rows: (np.savez("v.npz", keys=np.array(keys), vectors=rows), Path("v.npz"))[1],
    "parquet": lambda keys, rows: parquet("v.parquet", keys, rows, pa.list_(pa.float32())),
    "parquet of fixed lists": lambda keys, rows: parquet("v.parquet", keys, rows, pa.list_(pa.float32(), 128)),
    "parquet of large lists": lambda keys, rows: parquet("v.parquet", keys, rows, pa.large_list(pa.float64())),
    "parquet of float16": lambda keys, rows: parquet(
        "v.parquet", keys, rows.astype(np.float16), pa.list_(pa.float16()), "vector"
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_embeddings_of_every_form_are_those_of_the_encoder(
    form: str, few: Planted, names: list[str], vectors: np.ndarray
) -> None:
    ws = fsearch.open("w")
    report = ws.index(few.folder, few.losses, embeddings=FORMS[form](names, vectors), encoder="demo")
    assert (report.found, report.embedded, report.rejected, report.losses) == (N, N, 0, N)
    store = Store.open(Path("w"))
    rows = ws.sql("SELECT row FROM images ORDER BY key")["row"].to_numpy()
    np.testing.assert_allclose(store.vectors()[rows].astype(np.float32), vectors, atol=2e-3)


@pytest.fixture
def held(few: Planted, names: list[str], vectors: np.ndarray) -> Workspace:
    """A workspace of precomputed embeddings whose text side is the demo's, fitted."""
    ws = fsearch.open("held")
    ws.index(few.folder, few.losses, embeddings=npy("v.npy", names, vectors), encoder="demo")
    ws.fit()
    return ws


@pytest.fixture
def silent(few: Planted, names: list[str], vectors: np.ndarray) -> Workspace:
    """A workspace of precomputed embeddings without a text side, fitted."""
    ws = fsearch.open("silent")
    ws.index(few.folder, few.losses, embeddings=npy("v.npy", names, vectors), no_text_encoder=True)
    ws.fit()
    return ws


def test_with_a_text_side_it_answers_as_if_it_had_embedded_the_images(held: Workspace, few: Planted) -> None:
    own = fsearch.open("own")
    own.index(few.folder, few.losses)
    own.fit()
    ours, theirs = held.query(*PHRASES), own.query(*PHRASES)
    for a, b in zip(ours, theirs, strict=True):
        assert a.verdict == b.verdict
        assert a.lift == pytest.approx(b.lift, abs=0.02)
        assert a.nearest[0].key == b.nearest[0].key
    assert "a file (text side: demo)" in str(held.info())


def test_without_a_text_side_a_phrase_needs_its_vector(silent: Workspace, held: Workspace, encoder: Encoder) -> None:
    assert "a file (no text encoder)" in str(silent.info())
    for ask in (silent.query, lambda text: silent.rank([text]), fsearch.open("silent").query):
        with pytest.raises(EncoderError, match=r"without a text encoder; .*--text-vector FILE\.npy, or text_vectors="):
            ask("dark skin tone")
    texts = encoder.embed_texts(PHRASES)
    answers = silent.query(*PHRASES, text_vectors=texts * 7)  # of any length
    assert [a.nearest[0].key for a in answers] == [a.nearest[0].key for a in held.query(*PHRASES)]
    assert answers[0].lift > 0.3  # the fit is another, without reference phrases
    np.save("t.npy", texts)
    ranking = silent.rank(PHRASES, text_vectors="t.npy")
    assert {a.hypothesis for a in ranking.answers} == set(PHRASES)
    assert silent.runs.show(ranking.run_id)
    one = silent.query(PHRASES[0], text_vectors=texts[0])  # one phrase may have a plain vector
    assert [n.key for n in one[0].nearest] == [n.key for n in answers[0].nearest]


def test_the_command_line_does_all_of_it(few: Planted, names: list[str], vectors: np.ndarray, encoder: Encoder) -> None:
    def run(*args: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, [*args, "-w", "w"])
        return result.exit_code, result.output

    np.save("v.npy", vectors)
    Path("names.txt").write_text("\r\n".join(names))  # as Windows ends lines
    how = ("--embeddings", "v.npy", "--keys", "names.txt", "--no-text-encoder", "--losses", str(few.losses))
    assert run("index", str(few.folder), *how)[1].endswith("60 rows read, 60 matched\n60 losses stored\n")
    assert run("fit")[0] == 0
    code, out = run("query", "dark skin tone")
    assert code != 0
    assert "--text-vector FILE.npy" in out
    np.save("t.npy", encoder.embed_texts(["dark skin tone"]))
    code, out = run("query", "dark skin tone", "--text-vector", "t.npy", "--json")
    assert code == 0, out
    assert json.loads(out)["answers"][0]["hypothesis"] == "dark skin tone"
    Path("h.txt").write_text("dark skin tone\n")
    assert run("rank", "h.txt", "--text-vector", "t.npy")[0] == 0
    code, out = run("rank", "h.txt", "--text-vector", "v.npy")
    assert "60 text vectors for 1 phrases; give one for each" in out
    assert code == 2


def test_a_vector_may_stand_in_for_any_encoder_s(held: Workspace, encoder: Encoder) -> None:
    """Where the workspace has a text side too, the caller's vector is what is asked."""
    hat = encoder.embed_texts(["a hat"])
    given, usual = held.query("no words at all", text_vectors=hat), held.query("a hat")
    assert given[0].lift == pytest.approx(usual[0].lift, rel=1e-6)
    assert [n.key for n in given[0].nearest] == [n.key for n in usual[0].nearest]


def test_the_text_side_may_be_code_and_then_must_be_named(
    few: Planted, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("text_side.py").write_text(OWN_ENCODER)
    monkeypatch.syspath_prepend(".")
    colours = np.stack([np.asarray(Image.open(few.folder / n).convert("RGB"), float).mean(axis=(0, 1)) for n in names])
    ws = fsearch.open("w")
    ws.index(few.folder, few.losses, embeddings=npy("v.npy", names, colours), encoder="text_side:colours")
    ws.fit()
    with pytest.raises(EncoderError, match="is code, and a stored name runs no code"):
        fsearch.open("w").query("red")
    assert fsearch.open("w").query("red", encoder="text_side:colours")
    with pytest.raises(BadInputError, match=r"v\.npy holds embeddings of length 5; those of .* have 3"):
        ws.index(few.folder, embeddings=npy("v.npy", names, np.ones((N, 5))), encoder="text_side:colours")


def test_a_later_run_embeds_only_what_is_new(
    held: Workspace, few: Planted, names: list[str], vectors: np.ndarray
) -> None:
    again = held.index(few.folder, embeddings="v.npy", encoder="demo")
    assert (again.unchanged, again.embedded) == (N, 0)
    assert held.index(few.folder, embeddings="v.npy").unchanged == N  # the text side is remembered
    Image.new("RGB", (64, 64), "red").save(few.folder / "new.png")
    report = held.index(few.folder, embeddings=npy("more.npy", [*names, "new.png"], np.vstack([vectors, vectors[:1]])))
    assert (report.unchanged, report.embedded) == (N, 1)
    turned = np.vstack([vectors[1:2], vectors[1:]])
    with pytest.raises(BadInputError, match=r"the embedding of '000\.png' is another than the one in the workspace"):
        held.index(few.folder, embeddings=npy("turned.npy", names, turned))


def test_what_a_file_lacks_or_spoils_costs_that_image_only(few: Planted, names: list[str], vectors: np.ndarray) -> None:
    rows = vectors.copy()
    rows[3], rows[4, 0], rows[5, 0] = 0, np.nan, np.inf
    (few.folder / "broken.png").write_bytes(b"no image")
    ws = fsearch.open("w")
    path = npy("v.npy", [*names[:-1], "broken.png"], rows)
    report = ws.index(few.folder, embeddings=path, no_text_encoder=True)
    assert (report.embedded, report.rejected) == (N - 4, 5)
    reasons = {r["key"]: r["reason"] for r in ws.sql("SELECT key, reason FROM rejected").to_pylist()}
    assert reasons == {
        names[3]: "its embedding in v.npy (row 4) is zero",
        names[4]: "its embedding in v.npy (row 5) is not finite",
        names[5]: "its embedding in v.npy (row 6) is not finite",
        names[-1]: "v.npy has no embedding of it",
        "broken.png": "not an image that can be read (jpeg, png, webp, bmp, gif, tiff and others)",
    }


def test_copies_of_one_image_keep_one_embedding(few: Planted, names: list[str], vectors: np.ndarray) -> None:
    (few.folder / "copy.png").write_bytes((few.folder / names[0]).read_bytes())
    path = npy("v.npy", [*names, "copy.png"], np.vstack([vectors, vectors[5:6]]))
    ws = fsearch.open("w")
    report = ws.index(few.folder, embeddings=path, no_text_encoder=True)
    assert (report.embedded, report.duplicates) == (N, 1)
    assert ws.index(few.folder, embeddings=path).unchanged == N + 1  # though the file says two things of it


def test_a_part_of_the_images_takes_its_part_of_the_file(few: Planted, names: list[str], vectors: np.ndarray) -> None:
    ws = fsearch.open("w")
    path = npy("v.npy", names, vectors)
    some = fsearch.images(few.folder, limit=7)
    assert ws.index(some, embeddings=path, no_text_encoder=True).embedded == 7
    with pytest.raises(BadInputError, match=r"v\.npy: 1 of 60 keys match no image, first 'nobody'"):
        ws.index(few.folder, embeddings=npy("v.npy", [*names[:-1], "nobody"], vectors))
    assert ws.info().images == 7


def test_a_stream_of_shards_takes_them_too(vectors: np.ndarray, few: Planted, names: list[str]) -> None:
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter("s.tar") as sink:
        for i, n in enumerate(names):
            sink.write({"__key__": f"{i:03d}", "png": (few.folder / n).read_bytes(), "cls": b"1"})
    keys = [f"s.tar/{i:03d}" for i in range(N)]
    assert fsearch.open("w").index("s.tar", embeddings=npy("v.npy", keys, vectors), encoder="demo").embedded == N


def damaged(data: bytes) -> Path:
    Path("v.npy").write_bytes(data)
    Path("v.keys.txt").write_text("a\n")
    return Path("v.npy")


def pickled() -> Path:
    np.save("v.npy", np.array([{}], object), allow_pickle=True)
    Path("v.keys.txt").write_text("000.png\n")
    return Path("v.npy")


ONES = np.ones((2, 3))
TWO = ["000.png", "001.png"]
WRONG: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "suffix": (lambda: {"embeddings": "v.csv"}, r"--embeddings v\.csv: use \.npy, \.npz, \.parquet"),
    "nowhere": (lambda: {"embeddings": "v.npy"}, r"no such file of embeddings: v\.npy"),
    "no array": (lambda: {"embeddings": damaged(b"no array")}, r"v\.npy cannot be read: "),
    "pickled": (lambda: {"embeddings": pickled()}, r"v\.npy cannot be read: "),
    "no keys": (
        lambda: (np.save("u.npy", ONES), {"embeddings": "u.npy"})[1],
        r"needs the names of its images.*u\.keys\.txt cannot be read \(No such file or directory\); give --keys FILE",
    ),
    "keys of a parquet": (
        lambda: {"embeddings": parquet("v.parquet", TWO, ONES), "keys": "k.txt"},
        r"--keys is for a \.npy; v\.parquet holds its own keys",
    ),
    "too few keys": (lambda: {"embeddings": npy("v.npy", TWO[:1], ONES)}, "1 keys for 2 embeddings; give one for each"),
    "a key twice": (lambda: {"embeddings": npy("v.npy", ["000.png", "./000.png"], ONES)}, "row 2: '000.png' is in row"),
    "a key missing": (
        lambda: {"embeddings": npy("v.npy", ["000.png", " "], ONES)},
        "row 2: the image's name is missing",
    ),
    "two keys of one image": (lambda: {"embeddings": npy("v.npy", ["000.png", "000"], ONES)}, "keep one"),
    "binary keys": (
        lambda: (npy("v.npy", TWO, ONES), Path("v.keys.txt").write_bytes(b"\xff\n"), {"embeddings": "v.npy"})[2],
        r"v\.keys\.txt is not UTF-8 text",
    ),
    "one axis": (lambda: {"embeddings": npy("v.npy", TWO, ONES[0, :2])}, r"floats of shape \(n, d\)"),
    "integers": (lambda: {"embeddings": npy("v.npy", TWO, ONES.astype(int))}, r"holds int64 \(2, 3\)"),
    "complex": (lambda: {"embeddings": npy("v.npy", TWO, ONES.astype(complex))}, r"holds complex128"),
    "empty": (lambda: {"embeddings": npy("v.npy", [], ONES[:0])}, r"floats of shape \(n, d\)"),
    "an npz without keys": (
        lambda: (np.savez("v.npz", embeddings=ONES), {"embeddings": "v.npz"})[1],
        r"v\.npz holds embeddings; it must hold 'keys' and 'embeddings'",
    ),
    "a column of another name": (
        lambda: {"embeddings": parquet("v.parquet", TWO, ONES, column="features")},
        r"has no column 'embedding' \(seen: image, features\)",
    ),
    "a column of numbers": (
        lambda: (
            pq.write_table(pa.table({"image": TWO, "embedding": [1.0, 2.0]}), "v.parquet"),
            {"embeddings": "v.parquet"},
        )[1],
        r"column 'embedding': double; embeddings are lists of numbers",
    ),
    "lists of two lengths": (
        lambda: {"embeddings": parquet("v.parquet", TWO, [[1.0, 2.0], [1.0]])},
        "every row must be a list of the same length",
    ),
    "a list missing": (
        lambda: (
            pq.write_table(pa.table({"image": TWO, "embedding": pa.array([[1.0], None])}), "v.parquet"),
            {"embeddings": "v.parquet"},
        )[1],
        "every row must be a list of the same length",
    ),
    "lists of text": (
        lambda: (
            pq.write_table(pa.table({"image": TWO, "embedding": [["a"], ["b"]]}), "v.parquet"),
            {"embeddings": "v.parquet"},
        )[1],
        "embeddings are lists of numbers",
    ),
    "no text side said": (
        lambda: {"embeddings": npy("v.npy", TWO, ONES), "no_text_encoder": False},
        "say whose text side belongs to these embeddings: --encoder NAME --weights TAG_OR_FILE, or --no-text-encoder",
    ),
    "both text sides": (
        lambda: {"embeddings": npy("v.npy", TWO, ONES), "encoder": "demo"},
        "give --no-text-encoder, or the text side's --encoder; not both",
    ),
    "another length": (
        lambda: {"embeddings": npy("v.npy", TWO, ONES), "no_text_encoder": False, "encoder": "demo"},
        "holds embeddings of length 3; those of demo have 128",
    ),
    "a cluster": (
        lambda: {"embeddings": npy("v.npy", TWO, ONES), "engine": "ray"},
        "--embeddings runs no encoder, so there is nothing to distribute; leave --engine out",
    ),
    "keys alone": (lambda: {"keys": "k.txt", "no_text_encoder": False}, "--keys is for embeddings that you have"),
    "no text side alone": (lambda: {}, "--no-text-encoder is for embeddings that you have: --embeddings FILE"),
    "keys of nobody": (
        lambda: {"embeddings": npy("v.npy", ["x", "y"], ONES)},
        r"v\.npy: 2 of 2 keys match no image, first 'x' \(row 1\); nearest are '000\.png', '001\.png', '002\.png'",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_cannot_be_used_is_one_line_and_nothing_is_written(wrong: str, few: Planted) -> None:
    how, message = WRONG[wrong]
    with pytest.raises(FsearchError, match=message) as caught:
        fsearch.open("w").index(few.folder, **{"no_text_encoder": True, **how()})
    assert "\n" not in str(caught.value)
    assert not Path("w").exists()


def test_given_and_computed_embeddings_never_mix(held: Workspace, silent: Workspace, few: Planted) -> None:
    with pytest.raises(BadInputError, match="were read from a file; give that of these images: --embeddings FILE"):
        held.index(few.folder)
    with pytest.raises(BadInputError, match="were read from a file"):
        held.index(few.folder, encoder="demo")
    computed = fsearch.open("computed")
    computed.index(few.folder)
    with pytest.raises(BadInputError, match="were computed from the images; use another --workspace for --embeddings"):
        computed.index(few.folder, embeddings="v.npy", encoder="demo")
    with pytest.raises(EncoderError, match="this workspace holds embeddings of a file"):
        held.index(few.folder, embeddings="v.npy", no_text_encoder=True)
    with pytest.raises(EncoderError, match="this workspace holds embeddings of a file"):
        silent.index(few.folder, embeddings="v.npy", encoder="demo")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.ones((2, 5)), r"text vectors: float64 \(2, 5\); give floats of shape \(4,\) or \(phrases, 4\)"),
        (np.ones((1, 2, 4)), r"text vectors: float64 \(1, 2, 4\)"),
        (np.ones((1, 4), int), r"text vectors: int64 \(1, 4\)"),
        (np.array(["a"] * 4), "give floats of shape"),
        (np.array([[1.0, 0, 0, 0], [0, 0, 0, 0]]), "text vectors: row 2 is zero or not finite"),
        (np.array([[np.nan, 0, 0, 0]]), "row 1 is zero or not finite"),
        ([[1.0], [1.0, 2.0]], "text vectors: rows of different lengths"),
        ("nowhere.npy", r"--text-vector nowhere\.npy cannot be read: No such file or directory"),
        ("text.npy", r"--text-vector text\.npy cannot be read: "),
    ],
)
def test_text_vectors_that_cannot_be_used(given: Any, message: str) -> None:
    Path("text.npy").write_text("no array")
    with pytest.raises(BadInputError, match=message) as caught:
        GivenTextVectors.of(EncoderSpec.without_text(4), given)
    assert "\n" not in str(caught.value)


def test_text_vectors_are_one_a_phrase_and_of_any_length() -> None:
    given = GivenTextVectors.of(EncoderSpec.without_text(2), np.array([[3.0, 4.0], [0.0, 1e-30]], np.float64))
    np.testing.assert_allclose(given.embed_texts(["a", "b"]), [[0.6, 0.8], [0, 1]])
    assert given.embed_texts(["a", "b"]).dtype == np.float32
    assert given.unknown_words("anything") == ()
    with pytest.raises(BadInputError, match="2 text vectors for 1 phrases; give one for each"):
        given.embed_texts(["a"])
    with pytest.raises(EncoderError, match="give those of new images: --embeddings FILE"):
        given.embed_images([given.spec])
