"""Random access, `Source.read(key)`: what the item gives, from any thread; one exception for all that goes wrong."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
from made_sources import COUNT, MADE, csv_manifest, files, hugging_face, name, parquet_bytes, png, portraits, shards
from PIL import Image

import fsearch
from fsearch.indexer.sources.archive import Archive
from fsearch.indexer.sources.base import GONE, UNKNOWN_KEY, Item, Source
from fsearch.indexer.sources.decode import RejectedImageError, decode
from fsearch.indexer.sources.folder import Folder
from fsearch.indexer.sources.parquet_cell import read_cell
from fsearch.indexer.sources.resolve import open_source

NO_FILES = {"torch dataset", "torch dataset by name", "in memory"}
LISTS_FILES = {"folder", "imagefolder", "remote imagefolder", "csv", "jsonl", "parquet of paths", "coco"}
LONG = "x" * 5000 + ".png"
TOO_LONG = "cannot be read: File name too long"
STRANGE = [
    "",
    "nowhere.png",
    "../outside.png",
    "a/../../outside.png",
    "./000.png",
    "/etc/passwd",
    "/etc/passwd.png",
    "a//b.png",
    ".hidden/a.png",
    "nul\0.png",
    "\udcff.png",
    LONG,
    "http://127.0.0.1:9/a.png",
    "x::memory://y/a.png",
    "000.tar",
    "000.tar/nothing",
    "train/99999999",
    "train/0",
    "00000024",
    "0",
    "-1",
    "²",
]


@pytest.fixture(params=MADE)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def source(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    made = MADE[kind](tmp_path / "data")
    monkeypatch.syspath_prepend(tmp_path / "data")
    held = made.pop("held")
    return fsearch.images(held, **made).source


def rejection(source: Source, key: str) -> str:
    with pytest.raises(RejectedImageError) as caught:
        source.read(key)
    reason = str(caught.value)
    assert reason
    assert "\n" not in reason
    return reason


def same(one: Any, other: Any) -> bool:
    return bool(one == other) if isinstance(one, bytes) else one.size == other.size and one.tobytes() == other.tobytes()


def test_read_gives_what_the_item_gives_in_any_order_and_thread(source: Source) -> None:
    expected = {item.key: item.read() for item in source.items()}
    assert len(expected) == COUNT
    keys = source.keys()
    assert keys is None or set(keys) == set(expected)
    order = [*expected, *expected]
    random.Random(5).shuffle(order)
    fresh = replace(source)  # type: ignore[type-var]  # nothing was listed by it yet
    with ThreadPoolExecutor(8) as pool:
        assert all(same(got, expected[key]) for key, got in zip(order, pool.map(fresh.read, order), strict=True))
    selection = fsearch.images([1]).source
    assert rejection(selection, order[0]) == UNKNOWN_KEY


def test_a_key_that_the_source_does_not_have_is_one_line(source: Source) -> None:
    for key in STRANGE:
        assert rejection(source, key) in ({GONE, UNKNOWN_KEY} if key != LONG else {GONE, UNKNOWN_KEY, TOO_LONG})
    assert rejection(source, "../outside.png") == UNKNOWN_KEY


@pytest.mark.parametrize("kind", [kind for kind in MADE if kind not in NO_FILES])
def test_an_image_that_is_gone_says_so(kind: str, source: Source, tmp_path: Path) -> None:
    first = next(iter(source.items()))
    if kind == "remote imagefolder":
        fsspec.filesystem("memory").rm_file(f"{tmp_path}/data/classes/{first.key}")
    elif kind in LISTS_FILES:
        next(p for p in (tmp_path / "data").rglob(Path(first.key).name)).unlink()
    else:
        shutil.rmtree(tmp_path / "data")
    assert rejection(source, first.key) == GONE
    assert rejection(replace(source), first.key) == GONE  # type: ignore[type-var]


def test_images_in_memory_may_go_too() -> None:
    images = {str(i): p for i, p in enumerate(portraits()[:3])}
    source = fsearch.images(images, name="mine").source
    assert same(source.read("1"), images["1"])
    del images["1"]
    assert rejection(source, "1") == GONE
    listed = fsearch.images(list(portraits()[:3])).source
    listed.read("00000002")
    listed.data.pop()  # type: ignore[attr-defined]
    assert rejection(listed, "00000002") == GONE


def test_a_data_set_is_asked_by_one_thread_at_a_time() -> None:
    class Fussy:
        busy = False

        def __len__(self) -> int:
            return 8

        def __getitem__(self, i: int) -> Image.Image:
            assert not self.busy
            self.busy = True
            image = Image.effect_noise((256, 256), i).convert("RGB")
            self.busy = False
            return image

    source = fsearch.images(Fussy(), name="fussy").source
    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(source.read, (source.keys() or []) * 4))) == 32


def test_links_follow_the_rules_of_the_listing(tmp_path: Path) -> None:
    folder, outside = files(tmp_path / "in"), files(tmp_path / "out")
    (folder / "sub").mkdir()
    os.symlink(outside / name(0), folder / "sub" / "escapes.png")
    os.symlink(folder / name(1), folder / "sub" / "stays.png")
    os.symlink(outside, folder / "elsewhere")
    os.symlink(folder, folder / "again")
    os.symlink("loop.png", folder / "loop.png")
    os.symlink("nothing.png", folder / "dangling.png")
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    source = Folder(folder)
    keys = {item.key: item for item in source.items()}
    assert len(keys) == COUNT + 5  # a link to a folder is not followed
    assert source.read("sub/stays.png") == (folder / name(1)).read_bytes()
    reason = "a link that leads outside the image folder; --allow-outside follows it"
    assert rejection(source, "sub/escapes.png") == reason
    for key in ("elsewhere/000.png", "again/000.png", "sub/../000.png", f"../in/photos/{name(0)}"):
        assert rejection(source, key) == UNKNOWN_KEY
    assert rejection(source, "pipe.png") == "not a regular file"  # reading it would block for ever
    assert rejection(source, "loop.png") == "cannot be read: Too many levels of symbolic links"
    assert rejection(source, "dangling.png") == GONE
    assert rejection(source, "folder.png") == "not a regular file"
    report = fsearch.open("w.fsearch").index(folder)
    assert (report.embedded + report.duplicates, report.rejected) == (COUNT + 1, 4)


def test_a_table_is_no_way_to_other_files(tmp_path: Path) -> None:
    made = csv_manifest(tmp_path / "data")
    (tmp_path / "data" / "secret.png").write_bytes(png(portraits()[0]))
    os.remove(tmp_path / "data" / "photos" / name(0))
    os.symlink(tmp_path / "data" / "secret.png", tmp_path / "data" / "photos" / name(0))
    source = fsearch.images(made["held"]).source
    assert rejection(source, "secret.png") == UNKNOWN_KEY  # it is below the root, but not listed
    assert source.read(f"photos/{name(0)}") == png(portraits()[0])
    narrow = fsearch.images("n.csv" if Path("n.csv").write_text(f"path\n{name(0)}\n") else "", root="data/photos")
    assert rejection(narrow.source, name(0)) == "a link that leads outside the data set's root"


def test_a_selection_reads_what_it_left_out(tmp_path: Path) -> None:
    source = fsearch.images(csv_manifest(tmp_path / "data")["held"], limit=2).source
    assert [i.key for i in source.items()] == [f"photos/{name(0)}", f"photos/{name(1)}"]
    assert source.read(f"photos/{name(9)}") == png(portraits()[9])


def test_a_container_that_changed_is_listed_again(tmp_path: Path) -> None:
    pictures = [png(p) for p in portraits()[:3]]
    turned = dict(zip(["a.png", "b.png", "c.png"], reversed(pictures), strict=True))

    def write(path: str, content: dict[str, bytes]) -> None:
        with tarfile.open(path, "w") as tar:
            for key, data in content.items():
                for suffix, part in ((key, data), (key.replace(".png", ".cls"), b"1")):
                    entry = tarfile.TarInfo(suffix)
                    entry.size = len(part)
                    tar.addfile(entry, io.BytesIO(part))

    write("t.tar", dict(zip(turned, pictures, strict=True)))
    sources = [(Archive(Path("t.tar")), "{}.png"), (open_source("t.tar"), "t.tar/{}")]
    for source, form in sources:
        assert [i.key for i in source.items()] == [form.format(k) for k in "abc"]
        assert source.read(form.format("a")) == pictures[0]
    write("t.tar", turned | {"d.png": pictures[1]})
    for source, form in sources:
        assert [source.read(form.format(k)) for k in "abcd"] == [*reversed(pictures), pictures[1]]


def test_a_table_that_changed_is_read_again(tmp_path: Path) -> None:
    made = parquet_bytes(tmp_path / "data")["held"]
    source = fsearch.images(made).source
    assert source.read(name(3)) == png(portraits()[3])
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"id": ["new", name(3)], "png": [b"first", b"second"]}), made)
    assert (source.read("new"), source.read(name(3))) == (b"first", b"second")
    assert rejection(source, name(4)) == UNKNOWN_KEY


def test_a_cell_is_found_in_any_row_group_and_file(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = []
    for start, stop in ((0, 50), (50, 50), (50, 77)):
        paths.append(tmp_path / f"{len(paths)}.parquet")
        pq.write_table(pa.table({"n": list(range(start, stop)), "x": ["x"] * (stop - start)}), paths[-1], 20)
    assert [read_cell(paths, row, "n") for row in range(77)] == list(range(77))
    with pytest.raises(IndexError):
        read_cell(paths, 77, "n")


def test_a_tar_that_is_compressed_by_stealth(tmp_path: Path) -> None:
    made = MADE["tgz"](tmp_path / "data")["held"]
    plain = Path("named.tar")
    plain.write_bytes(made.read_bytes())
    source = open_source("named.tar")
    assert [decode(i.read()).size for i in source.items()] == [portraits()[0].size] * COUNT
    assert source.read("in/007.png") == png(portraits()[7])
    made.write_bytes(gzip.decompress(made.read_bytes()))
    assert open_source(str(made)).read("in/007.png") == png(portraits()[7])


def test_a_damaged_shard_gives_its_reason(tmp_path: Path) -> None:
    source = fsearch.images(shards(tmp_path / "data")["held"]).source
    shard = tmp_path / "data" / "shards" / "000.tar"
    with tarfile.open(shard) as tar:
        cut = tar.getmembers()[COUNT // 6].offset + 100  # in a header
    shard.write_bytes(shard.read_bytes()[:cut])
    expected: dict[str, Item] = {i.key: i for i in source.items()}
    whole = next(k for k in expected if k.startswith("000.tar/"))
    assert source.read(whole) == expected[whole].read()
    assert "the shard cannot be read to its end" in rejection(source, "000.tar/009")
    assert "the shard cannot be read to its end" in rejection(source, "000.tar")
    assert source.read("002.tar/022") == expected["002.tar/022"].read()


def test_a_compressed_shard_is_streamed_to_the_key(tmp_path: Path) -> None:
    made = shards(tmp_path / "data")["held"]
    shard = tmp_path / "data" / "shards" / "001.tar"
    shard.write_bytes(gzip.compress(shard.read_bytes()))
    source = fsearch.images(made).source
    expected = {i.key: i.read() for i in source.items()}
    assert len(expected) == COUNT
    assert all(source.read(key) == data for key, data in expected.items())
    shard.unlink()
    assert rejection(source, "001.tar/012") == GONE
    assert source.read("002.tar/022") == expected["002.tar/022"]  # what is left of the shards goes on


@pytest.mark.parametrize("saved", [False, True])
def test_rows_that_only_name_their_image_have_the_row_s_key(
    saved: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`keys` and `items` agree, so that losses find them."""
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq

    files(tmp_path / "data")
    monkeypatch.chdir(tmp_path / "data")
    paths = [f"photos/{name(i)}" for i in range(3)]
    if saved:
        made = datasets.Dataset.from_dict({"image": [{"bytes": None, "path": p} for p in paths]})
        made = made.cast_column("image", datasets.Image(decode=False))
        features = datasets.Features({"image": datasets.Image()})
        datasets.Dataset(made.data, info=datasets.DatasetInfo(features=features)).save_to_disk("saved")
        source = fsearch.images("saved", root=".").source
        assert source.keys() == ["00000000", "00000001", "00000002"]
    else:
        table = pa.table({"id": ["a", "b", "c"], "image": [{"bytes": None, "path": p} for p in paths]})
        table = table.cast(pa.schema({"id": pa.string(), "image": pa.struct({"bytes": pa.binary(), "path": "string"})}))
        pq.write_table(table, "m.parquet")
        source = fsearch.images("m.parquet").source
        assert source.keys() == ["a", "b", "c"]
    assert [i.key for i in source.items()] == source.keys()
    assert [source.read(key) for key in source.keys() or []] == [png(p) for p in portraits()[:3]]


def test_a_saved_data_set_s_keys_are_exact(tmp_path: Path) -> None:
    hugging_face().save_to_disk(tmp_path / "saved")
    source = fsearch.images(tmp_path / "saved").source
    assert decode(source.read("00000005")).size == portraits()[5].size  # type: ignore[arg-type]
    for key in ("5", "0000005", "000000005", "+0000005", "00000024", "train/00000005", "٠٠٠٠٠٠٠٥"):
        assert rejection(source, key) == UNKNOWN_KEY


def test_what_is_wrong_with_a_source_is_a_rejection_too(tmp_path: Path) -> None:
    Path("m.csv").write_text("path\n../a.png\n")
    assert "lies outside" in rejection(open_source("m.csv"), "a.png")
    Path("c.json").write_text(json.dumps([1]))
    assert "is no COCO file" in rejection(open_source("c.json"), "a.png")
    Path("z.zip").write_bytes(b"no zip")
    assert "cannot be read" in rejection(open_source("z.zip"), "a.png")
