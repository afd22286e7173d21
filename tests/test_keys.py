"""Names of images as programs of all systems write them: matched to the one image that is meant, or refused aloud."""

from __future__ import annotations

import json
import tarfile
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from made_sources import name
from PIL import Image
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.matching import match
from fsearch.indexer.sources.keys import KeyIndex, normal_key

IMAGES = ["cat/00.png", "dog/00.png", "dog/01.jpeg", "café bar.png", "100%25.png", "a%20b.png", "c:d.png"]
FILE = Path("l.csv")


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("cat/00.png", 0),
        ("./cat/00.png", 0),
        ("././dog//./00.png", 1),
        ("dog\\00.png", 1),
        ("dog/01", 2),
        ("01", 2),
        ('"dog/01.jpeg"', 2),
        ("photos/dog/00.png", 1),
        ("other/../photos/dog/00.png", 1),
        ("{cwd}/photos/cat/00.png", 0),
        ("file://{cwd}/photos/caf%C3%A9%20bar.png", 3),
        ("/content/drive/photos/dog/00.png", 1),
        ("C:\\data\\photos\\dog\\00.png", 1),
        (unicodedata.normalize("NFD", "café bar.png"), 3),
        ("caf%C3%A9%20bar.png", 3),
        ("100%25.png", 4),
        ("a%20b.png", 5),
        ("a b.png", 5),
        ("c:d.png", 6),
    ],
)
def test_a_name_in_every_form(key: str, wanted: int) -> None:
    assert match([key.format(cwd=Path.cwd())], IMAGES, FILE, Path("photos")) == [wanted]


@pytest.mark.parametrize(
    "key", ["cat/01.png", "bird/00.png", "00.jpeg", "dog", "0.png", "/x/00.png/", "http://h/dog/00.png"]
)
def test_a_name_that_is_like_one_is_none(key: str) -> None:
    with pytest.raises(BadInputError, match="1 of 1 keys match no image"):
        match([key], IMAGES, FILE, Path("photos"))


def test_names_through_other_folders_share_one() -> None:
    images = ["00.png", "cat/00.png", "cat/01.png"]
    assert match(["/x/cat/00.png", "/x/00.png"], images, FILE) == [1, 0]
    with pytest.raises(BadInputError, match=r"row 2: '/x/dog/00.png' leads through /x/dog, row 1 through /x"):
        match(["/x/cat/01.png", "/x/dog/00.png"], images, FILE)  # there is no dog: it is not 00.png
    assert match(["cat/01.png"], ["train/cat/01.png", "train/dog/01.png"], FILE) == [0]
    with pytest.raises(BadInputError, match=r"may be train/cat/01[.]png and val/cat/01[.]png"):
        match(["cat/01.png"], ["train/cat/01.png", "val/cat/01.png"], FILE)


def test_the_nearest_names_are_said() -> None:
    index = KeyIndex([f"{i:04d}.png" for i in range(20_000)] + ["portrait_of_a_cat.png"])
    assert index.nearest("portrait_of_cat.png")[0] == "portrait_of_a_cat.png"
    assert "1234.png" in index.nearest("1234.jpg")
    assert index.nearest("/x/y/12345.pngx")[0] == "12345.png"
    with pytest.raises(BadInputError, match=r"nearest are '0001.png', '00.*leave such rows out: --ignore-unknown"):
        match(["0002.png", "1.png"], ["0001.png", "0002.png", "0003.png"], FILE)


def test_one_form_of_a_name() -> None:
    assert normal_key(" ./a\\b//c.png ") == "a/b/c.png"
    assert normal_key("'a b.png'") == "a b.png"
    assert normal_key("file:///x/a%20b.png") == "/x/a b.png"
    assert normal_key("https://h/a%20b.png?x=./y") == "https://h/a%20b.png?x=./y"


def run(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(args))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def photos(count: int, broken: int | None = None) -> None:
    Path("photos").mkdir()
    for i in range(count):
        Image.new("RGB", (48, 48), (9 * i, 99, 9)).save(Path("photos", name(i)))
    if broken is not None:
        Path("photos", name(broken)).write_bytes(b"broken")


def files(count: int, more: str = "") -> None:
    rows = [(name(i), i % 2) for i in range(count)]
    Path("l.csv").write_text("image,loss\n" + "".join(f"{n},{i}.5\n" for n, i in rows) + more)
    Path("p.csv").write_text(
        "image,label,prob_0,prob_1\n" + "".join(f"{n},{i},0.4,0.6\n" for n, i in rows) + more.replace(",", ",1,0.4,")
    )


def test_rows_of_known_but_absent_images_are_counted_everywhere() -> None:
    photos(6, broken=2)
    files(6)
    assert run("index", "photos", "--losses", "l.csv") == (
        0,
        "6 images found: 5 embedded, 1 rejected\n"
        "l.csv (UTF-8, commas): 6 rows read, 5 matched, 1 of rejected images left out\n"
        "5 losses stored\nrejected files and reasons: fsearch info\n",
    )
    for given in (["--losses", "l.csv"], ["--predictions", "p.csv", "--task", "zero-one"]):
        code, out = run("losses", "add", "--model", "m", *given)
        assert code == 0, out
        assert f"{given[1]} (UTF-8, commas): 6 rows read, 5 matched, 1 of rejected images left out" in out
    Path("photos", name(0)).unlink()
    run("index", "photos")
    code, out = run("losses", "add", "--model", "m", "--losses", "l.csv")
    assert "6 rows read, 4 matched, 1 of images that are missing now left out, 1 of rejected images left out" in out


def test_a_sampled_index_takes_a_full_file_and_refuses_unknown_names() -> None:
    photos(8)
    files(8)
    for given in (["--losses", "l.csv"], ["--predictions", "p.csv", "--task", "zero-one"]):
        assert run("index", "photos", "--sample", "3")[0] == 0
        code, out = run("losses", "add", "--model", "m", *given)
        assert code == 0, out
        assert "8 rows read, 3 matched, 5 of images that were not selected left out" in out
    code, out = run("index", "photos", "--sample", "3", "--losses", "l.csv")
    assert "8 rows read, 3 matched, 5 of images that were not selected left out\n3 losses stored" in out
    files(8, "zebra.png,0.5\n")
    for command in (
        ["index", "photos", "--sample", "3", "--losses", "l.csv"],
        ["index", "photos", "--losses", "l.csv"],
        ["losses", "add", "--model", "m", "--losses", "l.csv"],
        ["losses", "add", "--model", "m", "--predictions", "p.csv", "--task", "zero-one"],
    ):
        code, out = run(*command)
        assert code == 2
        assert "1 of 9 keys match no image, first 'zebra.png' (row 9); nearest are" in out
        code, out = run(*command, "--ignore-unknown")
        assert code == 0, out
        assert "1 of unknown images ignored" in out


def test_the_column_of_names_may_be_said() -> None:
    photos(3)
    rows = "".join(f"{name(i)[:1]},photos/{name(i)},{i}\n" for i in range(3))
    Path("l.csv").write_text("image,where,loss\n" + rows)
    code, out = run("index", "photos", "--losses", "l.csv")
    assert (code, "name the column that tells them apart: --key-column" in out) == (2, True)
    assert run("index", "photos", "--losses", "l.csv", "--key-column", "where")[0] == 0
    assert run("losses", "add", "--model", "m", "--losses", "l.csv", "--key-column", "Where")[0] == 0
    code, out = run("losses", "add", "--model", "m", "--losses", "l.csv", "--key-column", "place")
    assert "l.csv has no column 'place' (seen: image, where, loss)" in out


def test_a_tar_made_inside_of_its_folder_and_names_of_another_spelling() -> None:
    for folder, shade in (("cat", 10), ("dog", 200)):
        Path("photos", folder).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (48, 48), (shade, 9 * i, 9)).save(Path("photos", folder, f"{i}.png"))
    with tarfile.open("photos.tgz", "w:gz") as tar:
        tar.add("photos", ".")
    for start in ("", "./", "photos/"):
        keys = [f"{start}{f}/{i}.png" for f in ("cat", "dog") for i in range(3)]
        Path("l.csv").write_text("image,loss\n" + "".join(f"{k},{n}\n" for n, k in enumerate(keys)))
        assert run("index", "photos.tgz", "--losses", "l.csv")[0] == 0
        losses = fsearch.open(".fsearch").sql("SELECT key, loss FROM losses JOIN images USING (image_id) ORDER BY loss")
        assert [normal_key(k) for k in losses["key"].to_pylist()] == [
            f"{f}/{i}.png" for f in ("cat", "dog") for i in range(3)
        ]
    Path("other").mkdir()
    names = [f"café_{i}.png" for i in range(3)]
    for i, n in enumerate(names):
        Image.new("RGB", (48, 48), (i, 9, 99)).save(Path("other", unicodedata.normalize("NFD", n)))
    Path("m.csv").write_text("path\n" + "".join(f"other/{unicodedata.normalize('NFC', n)}\n" for n in names))
    code, out = run("index", "m.csv", "-w", "m.fsearch")
    assert (code, "3 images found: 3 embedded\n" in out, "m.csv (UTF-8, commas): 3 rows read" in out) == (0, True, True)


def test_a_permuted_file_gives_each_image_its_own_loss() -> None:
    photos(5)
    order = np.random.default_rng(0).permutation(5).tolist()
    lines = [json.dumps({"file_name": f"/elsewhere/photos/{name(i)}", "loss": float(i)}) for i in order]
    Path("l.jsonl").write_text("\n".join(lines))
    assert run("index", "photos", "--losses", "l.jsonl")[0] == 0
    found = fsearch.open(".fsearch").sql("SELECT key, loss FROM losses JOIN images USING (image_id) ORDER BY key")
    assert found["loss"].to_pylist() == [0, 1, 2, 3, 4]
