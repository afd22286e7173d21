"""Losses files: what is read, and the one line that each kind of wrong file gives."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.loss_file import read_losses
from fsearch.indexer.losses.matching import match

IMAGES = ["a/cat.jpg", "a/dog.jpg", "b/cat.png", "bird.webp"]


def csv(text: str) -> Path:
    path = Path("losses.csv")
    path.write_text(text)
    return path


def test_csv_parquet_and_jsonl_read_alike() -> None:
    rows = {"image": ["a/dog.jpg", "bird"], "loss": [0.5, 2.0], "label": ["dog", None], "iso": [100, 200]}
    pq.write_table(pa.table(rows), "losses.parquet")
    Path("losses.jsonl").write_text(
        '{"image": "a/dog.jpg", "loss": 0.5, "label": "dog", "iso": 100}\n{"image": "bird", "loss": 2, "iso": 200}\n'
    )
    csv("image,loss,label,iso\na/dog.jpg,0.5,dog,100\nbird,2,,200\n")
    for name in ("losses.csv", "losses.parquet", "losses.jsonl"):
        table = read_losses(Path(name))
        assert table.keys == ["a/dog.jpg", "bird"]
        assert table.values == [0.5, 2.0]
        assert table.labels[0] == "dog"
        assert table.metadata.column_names == ["iso"]
        assert match(table.keys, IMAGES, Path(name)) == [1, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,loss\n", "has no rows"),
        ("image,score\nbird,1\n", r"no column 'loss' \(seen: image, score\)"),
        ("who,loss\nbird,1\n", r"no column that names images \(seen: who, loss\)"),
        (
            "image,loss\nbird,1\na/dog.jpg,nan\n",
            "row 2, column 'loss': missing or NaN; all must be finite: leave such rows out",
        ),
        ("image,loss\nbird,inf\n", "row 1, column 'loss': inf"),
        ("image,loss\nbird,high\n", "row 1, column 'loss': 'high' is not a number"),
        ("image,loss\nbird,\n", "row 1, column 'loss': missing or NaN"),
        ("image,loss\n,1\n", "row 1: the image's name is missing"),
        ("image,loss\nbird,1\nbird,2\n", "row 2: 'bird' has a loss already in row 1"),
        ("image,loss\nbird,1,9\n", "row 1: 3 cells where the header has 2"),
    ],
)
def test_a_wrong_file_is_one_line(text: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message) as caught:
        read_losses(csv(text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("cat", r"'cat' may be a/cat.jpg and b/cat.png"),
        ("zebra.jpg", r"1 of 1 keys match no image, first 'zebra.jpg' \(row 1\)"),
    ],
)
def test_a_key_must_name_one_image(key: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        match([key], IMAGES, Path("losses.csv"))


@pytest.mark.parametrize("key", ["photos/a/cat.jpg", "./photos/a/cat.jpg", str(Path("photos/a/cat.jpg").absolute())])
def test_a_path_through_the_source_is_taken_as_below_it(key: str) -> None:
    source = Path(key.removeprefix("./")).parents[1]
    assert match(read_losses(csv(f"image,loss\n{key},1\n")).keys, IMAGES, Path("losses.csv"), source) == [0]


def test_two_keys_of_one_image_are_refused() -> None:
    with pytest.raises(BadInputError, match="has a loss already"):
        match(["bird", "bird.webp"], IMAGES, Path("losses.csv"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'null{"image": "a"}\n', "row 1 is no JSON"),
        (b'{"image": "a", "loss": 1}\n\n[1]\n', "row 3: a row must be an object"),
        (b'{"a":' + b"[" * 100_000 + b"\n", "row 1 is no JSON"),
        (b'{"image": "a", "loss": 1e400}\n', "row 1, column 'loss': inf"),
        (b'{"image": "a", "loss": ' + b"9" * 500 + b"}\n", "row 1, column 'loss': inf"),
        (b'{"image": "\\ud800", "loss": 1}\n', "cannot be read"),
        (
            b'{"image": "a", "loss": 1}\n{"image": "b", "loss": "high"}\n',
            "row 2, column 'loss': 'high' is not a number",
        ),
    ],
)
def test_jsonl_that_native_parsers_die_of_is_one_line(text: bytes, message: str) -> None:
    Path("l.jsonl").write_bytes(text)
    with pytest.raises(BadInputError, match=message) as caught:
        read_losses(Path("l.jsonl"))
    assert "\n" not in str(caught.value)


def test_a_column_that_is_there_twice_is_refused() -> None:
    with pytest.raises(BadInputError, match="the column 'loss' is there twice"):
        read_losses(csv("image,loss,loss\nbird,1,2\n"))


def test_missing_file_and_unknown_kind() -> None:
    with pytest.raises(BadInputError, match="no such losses file"):
        read_losses(Path("nowhere.csv"))
    with pytest.raises(BadInputError, match=r"use \.csv"):
        read_losses(Path("losses.xlsx"))


@given(st.lists(st.from_regex(r"[a-z]{1,6}/[a-z]{1,6}\.(jpg|png)", fullmatch=True), min_size=1, unique=True))
def test_full_paths_always_match_themselves(keys: list[str]) -> None:
    path = csv("image,loss\n" + "".join(f"{k},1\n" for k in keys))
    assert match(read_losses(path).keys, keys, path) == list(range(len(keys)))
