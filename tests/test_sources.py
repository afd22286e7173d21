"""Every kind of source: indexed whole, its columns with it, nothing done twice; and one line for each thing wrong."""

from __future__ import annotations

import importlib.util
import io
import os
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from made_sources import COUNT, MADE, csv_manifest, files, label, name, png, portraits, shards, year
from PIL import Image
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app
from fsearch.indexer.errors import BadInputError, FsearchError
from fsearch.search.workspace import Workspace

LABELLED = set(MADE) - {"folder", "coco", "zip", "tar", "tgz", "in memory"}
DATED = LABELLED - {"imagefolder", "torch dataset", "torch dataset by name"}
READ_EACH_TIME = {"torch dataset", "torch dataset by name", "in memory"}


@pytest.fixture(params=MADE)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def source(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = MADE[kind](tmp_path / "data")
    monkeypatch.syspath_prepend(tmp_path / "data")
    held = made.pop("held")
    return fsearch.images(held, **made)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return fsearch.open(tmp_path / "w.fsearch")


def test_every_source_is_indexed_whole_once(kind: str, source: Any, ws: Workspace) -> None:
    first = ws.index(source)
    assert (first.found, first.embedded, first.rejected) == (COUNT, COUNT, 0)
    vectors = ws.sql("SELECT key, sha256, width, height FROM images ORDER BY image_id").to_pylist()
    assert len({v["key"] for v in vectors}) == COUNT
    assert {(v["width"], v["height"]) for v in vectors} == {portraits()[0].size}
    again = fsearch.open(ws.root).index(source)
    assert (again.found, again.embedded, again.missing) == (COUNT, 0, 0)
    assert (again.duplicates if kind in READ_EACH_TIME else again.unchanged) == COUNT


def test_columns_come_along_with_their_types(kind: str, source: Any, ws: Workspace) -> None:
    ws.index(source)
    columns = dict(
        zip(*(ws.sql("DESCRIBE metadata")[c].to_pylist() for c in ("column_name", "column_type")), strict=True)
    )
    if kind in LABELLED:
        found = ws.sql("SELECT label, count(*) AS n FROM metadata GROUP BY 1 ORDER BY 1").to_pylist()
        assert found == [{"label": "fancy", "n": 8}, {"label": "plain", "n": 16}]
    if kind in DATED:
        assert columns["year"] in ("BIGINT", "INTEGER")
        assert ws.sql("SELECT min(year) AS y FROM metadata")["y"].to_pylist() == [2000]
    if kind == "hugging face splits":
        assert ws.sql("SELECT count(*) AS n FROM metadata WHERE split = 'train'")["n"].to_pylist() == [10]
    if kind == "coco":
        assert ws.sql("SELECT sum(objects) AS n FROM metadata")["n"].to_pylist() == [COUNT - 1]


def test_embeddings_do_not_depend_on_the_source(kind: str, source: Any, ws: Workspace, encoder: Any) -> None:
    ws.index(source)
    from fsearch.indexer.workspace.store import Store

    store = Store.open(ws.root)
    rows = np.array(ws.sql("SELECT row FROM images ORDER BY image_id")["row"].to_pylist())
    vectors = store.vectors()[rows].astype(np.float32)
    expected = encoder.embed_images([encoder.prepare(p) for p in portraits()])
    cosines = vectors @ expected.T
    assert np.allclose(cosines.max(axis=1), 1, atol=2e-3)
    assert sorted(cosines.argmax(axis=1)) == list(range(COUNT))


def test_limit_sample_and_where_choose_before_anything_is_read(tmp_path: Path, ws: Workspace) -> None:
    manifest = csv_manifest(tmp_path / "data")["held"]
    assert ws.index(fsearch.images(manifest, limit=5)).embedded == 5
    assert ws.index(fsearch.images(manifest, where="label = 'fancy' AND year >= 2003")).found == 7
    drawn = [fsearch.images(manifest, sample=6, seed=s).source.keys() for s in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert [len(d or []) for d in drawn] == [6, 6, 6]
    report = ws.index(fsearch.images(manifest, sample=6, seed=1))
    assert (report.found, report.missing) == (6, 0)  # the others were not asked for, so they are not missing
    assert ws.index(fsearch.images(manifest)).missing == 0
    with pytest.raises(BadInputError, match=r"--where: .*columns: key, label, year"):
        ws.index(fsearch.images(manifest, where="colour = 'red'"))
    with pytest.raises(BadInputError, match="one predicate"):
        ws.index(fsearch.images(manifest, where="true); SELECT (1"))
    with pytest.raises(BadInputError, match=r"no image of .* fulfils"):
        ws.index(fsearch.images(manifest, where="year > 3000"))


def test_a_stream_is_sampled_and_filtered_too(tmp_path: Path, ws: Workspace) -> None:
    held = shards(tmp_path / "data")["held"]
    found = [i.key for i in fsearch.images(held, sample=6, seed=4).source.items()]
    assert len(found) == 6
    assert found == [i.key for i in fsearch.images(held, sample=6, seed=4).source.items()]
    assert ws.index(fsearch.images(held, where="label = 'fancy' AND year < 2010")).embedded == 4


def test_changed_added_and_removed_rows_are_seen(tmp_path: Path, ws: Workspace) -> None:
    manifest: Path = csv_manifest(tmp_path / "data")["held"]
    ws.index(manifest)
    lines = manifest.read_text().splitlines()
    manifest.write_text("\n".join([*lines[:-1], lines[1].replace("000", "extra").replace("fancy", "new")]) + "\n")
    (tmp_path / "data" / "photos" / "extra.png").write_bytes(png(Image.new("RGB", (64, 64), "red")))
    (tmp_path / "data" / "photos" / name(3)).write_bytes(png(Image.new("RGB", (64, 64), "blue")))
    report = ws.index(manifest)
    assert (report.embedded, report.changed, report.missing, report.unchanged) == (2, 1, 1, COUNT - 2)
    assert ws.sql("SELECT label FROM metadata JOIN images USING (image_id) WHERE key LIKE '%extra%'").num_rows == 1


def test_metadata_of_unchanged_images_is_kept_up(tmp_path: Path, ws: Workspace) -> None:
    manifest: Path = csv_manifest(tmp_path / "data")["held"]
    ws.index(manifest)
    manifest.write_text(manifest.read_text().replace("fancy", "very fancy").replace("year", "taken"))
    assert ws.index(manifest).unchanged == COUNT
    assert (
        ws.sql("SELECT count(*) AS n FROM metadata WHERE label = 'very fancy' AND taken >= 2000")["n"][0].as_py() == 8
    )


IN_PLACE = {"zip", "tar", "webdataset"}  # of containers


def test_images_can_be_read_in_another_process(kind: str, source: Any) -> None:
    pytest.importorskip("ray")
    from ray import cloudpickle

    def content(held: Any) -> bytes:
        return held if isinstance(held, bytes) else bytes(held.tobytes())

    for item in source.source.items():
        sent = cloudpickle.dumps(item.read)
        assert content(cloudpickle.loads(sent)()) == content(item.read())
        assert kind not in IN_PLACE or len(sent) < 500  # what is sent says where it lies


def test_columns_that_have_our_names_get_free_ones(tmp_path: Path, ws: Workspace) -> None:
    files(tmp_path)
    rows = "\n".join(f"photos/{name(i)},{i},resnet,{i}" for i in range(COUNT))
    Path("m.csv").write_text(f"path,width,model,loss\n{rows}\n")
    ws.index("m.csv")
    assert ws.sql("SELECT width_, model_, loss_ FROM metadata").num_rows == COUNT


def test_json_of_two_types_becomes_the_wider(tmp_path: Path, ws: Workspace) -> None:
    import webdataset

    with webdataset.TarWriter("mixed.tar") as sink:
        for i, (age, note) in enumerate([(1, 1), (2.5, "x"), (None, True)]):
            sink.write({"__key__": f"{i}", "png": portraits()[i], "json": {"age": age, "note": note}})
    ws.index("mixed.tar")
    found = ws.sql("SELECT age, note FROM metadata ORDER BY image_id").to_pylist()
    assert found == [{"age": 1.0, "note": "1"}, {"age": 2.5, "note": "x"}, {"age": None, "note": "True"}]


@pytest.mark.parametrize("bad", ["csv", "webdataset", "parquet of bytes", "zip"])
def test_a_corrupt_image_costs_itself_only(bad: str, tmp_path: Path, ws: Workspace) -> None:
    data = [png(p) for p in portraits()]
    data[5], data[9] = data[5][:100], b""
    if bad == "csv":
        manifest: Any = csv_manifest(tmp_path)["held"]
        for i in (5, 9):
            (tmp_path / "photos" / name(i)).write_bytes(data[i])
    elif bad == "webdataset":
        manifest = "c.tar"
        with tarfile.open("c.tar", "w") as tar:
            for i, d in enumerate(data):
                for suffix, content in (("png", d), ("cls", b"1")):
                    member = tarfile.TarInfo(f"{i:03d}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    elif bad == "zip":
        manifest = "c.zip"
        with zipfile.ZipFile("c.zip", "w") as archive:
            for i, d in enumerate(data):
                archive.writestr(name(i), d)
    else:
        manifest = "c.parquet"
        pq.write_table(pa.table({"id": [name(i) for i in range(COUNT)], "png": data}), "c.parquet")
    report = ws.index(manifest)
    assert (report.found, report.embedded, report.rejected) == (COUNT, COUNT - 2, 2)
    assert sorted(ws.sql("SELECT reason FROM rejected")["reason"].to_pylist())[1] == "empty file"


def test_names_and_texts_that_are_no_utf8(tmp_path: Path, ws: Workspace) -> None:
    folder = files(tmp_path)
    (folder / os.fsdecode(b"bad-\xff.png")).write_bytes(png(portraits()[0]))
    report = ws.index(folder)
    assert (report.embedded, report.rejected) == (COUNT, 1)
    (row,) = ws.sql("SELECT key, reason FROM rejected").to_pylist()
    assert row == {"key": "bad-\\udcff.png", "reason": "its name is no UTF-8; rename it"}
    with tarfile.open("odd.tar", "w") as tar:
        for suffix, content in (
            ("png", png(portraits()[1])),
            ("json", b'{"note": "x\\ud800", "many": ["\\ud800"], "n": 1e400}'),
        ):
            member = tarfile.TarInfo(f"0.{suffix}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    assert ws.index("odd.tar").found == 1
    assert ws.sql("SELECT note FROM metadata")["note"].to_pylist() == ["x?"]


def test_a_shard_cut_off_is_quarantined_and_the_others_go_on(tmp_path: Path, ws: Workspace) -> None:
    held = shards(tmp_path / "data")["held"]
    first = tmp_path / "data" / "shards" / "000.tar"
    first.write_bytes(first.read_bytes()[: first.stat().st_size // 2])
    report = ws.index(held)
    assert report.embedded >= COUNT - 10
    (row,) = ws.sql("SELECT key, reason FROM rejected").to_pylist()
    assert row["key"] == "000.tar"
    assert "the shard cannot be read to its end" in row["reason"]


def test_a_program_s_images_of_every_form(ws: Workspace) -> None:
    image = portraits()[0]
    array = np.asarray(image)
    held = [
        array,
        torch.from_numpy(array.copy()).permute(2, 0, 1).float() / 255,
        {"image": Image.fromarray(array[::-1]), "label": 3, "more": [1, 2]},
        (Image.fromarray(array[:, ::-1]), torch.tensor(4)),
        Image.new("RGBA", (64, 64), (255, 0, 0, 0)),
        array.astype(np.float32),  # not between 0 and 1
        {"picture": image},
        b"bytes",
    ]
    report = ws.index(fsearch.images(held, name="forms"))
    assert (report.embedded, report.duplicates, report.rejected) == (4, 1, 3)
    assert ws.sql("SELECT label FROM metadata ORDER BY image_id")["label"].to_pylist() == [3, 4]
    reasons = " ".join(ws.sql("SELECT reason FROM rejected")["reason"].to_pylist())
    assert "between 0 and 1" in reasons
    assert "'image' is looked for" in reasons
    with pytest.raises(BadInputError, match="need a length and an index; this is a generator"):
        ws.index(fsearch.images(i for i in held))


def write(path: str, text: str) -> str:
    Path(path).write_text(text)
    return path


def member(path: str, inside: str) -> str:
    data = png(portraits()[0])
    if path.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(inside, data)
    else:
        with tarfile.open(path, "w") as tar:
            for suffix in (inside, inside.rsplit(".", 1)[0] + ".cls") if "wds" in path else (inside,):
                entry = tarfile.TarInfo(suffix)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda: write("m.csv", "path\n../a.png\n"), {}, "m.csv row 1: '../a.png' lies outside"),
        (lambda: write("m.csv", "path\na.png\n/etc/passwd\n"), {}, "m.csv row 2: '/etc/passwd' lies outside"),
        (lambda: write("m.csv", "path\nfile:///etc/passwd\n"), {}, "lies outside"),
        (lambda: write("m.csv", "path\na.png\nb.png\n./a.png\n"), {}, "row 3: image 'a.png' is in row 1 already"),
        (
            lambda: write("m.csv", "url\nftp://host/a.png\n"),
            {},
            "'ftp://host/a.png' is refused; allowed are",
        ),
        (lambda: write("m.csv", "url\nsimplecache::http://host/a.png\n"), {}, "is refused"),
        (lambda: write("m.csv", "path,x\na.png,1\n,2\n"), {}, "row 2, column 'path': the image's path is missing"),
        (lambda: write("m.csv", "path\n"), {}, "has no rows"),
        (
            lambda: write("m.csv", "who\na.png\n"),
            {},
            "no column looks like images (seen: who)",
        ),
        (lambda: write("m.csv", "path\na.png\n"), {"image_column": "img"}, "has no column 'img' (seen: path)"),
        (lambda: write("m.csv", "path,x\na.png,1,9\n"), {}, "cannot be read"),
        (lambda: write("m.jsonl", "{oops\n"), {}, "m.jsonl row 1 is no JSON"),
        (lambda: write("m.parquet", "no parquet"), {}, "cannot be read"),
        (lambda: write("m.json", "[1]"), {}, "is no COCO file: it has no list 'images'"),
        (lambda: write("m.json", '{"images": [{"id": 1}]}'), {}, "images 1: 'id' and 'file_name' are needed"),
        (lambda: write("m.json", '{"images": [{"id": 1, "file_name": "../x.png"}]}'), {}, "lies outside"),
        (lambda: write("m.json", "{oops"), {}, "is no JSON"),
        (lambda: member("a.zip", "../up.png"), {}, "the member '../up.png' points outside the archive"),
        (lambda: member("a.zip", "/abs.png"), {}, "the member '/abs.png' points outside"),
        (lambda: member("a.tar", "../up.png"), {}, "the member '../up.png' points outside"),
        (lambda: member("wds.tar", "../up.png"), {}, "the member '../up.png' points outside"),
        (lambda: member("a.zip", "notes.txt"), {}, "no images in the archive"),
        (lambda: write("a.zip", "no zip"), {}, "archive a.zip cannot be read"),
        (lambda: write("a.tgz", "no tar"), {}, "archive a.tgz cannot be read"),
        (lambda: write("notes.txt", "x"), {}, "notes.txt is no image source; use a folder"),
        (lambda: "nowhere", {}, "no such folder or file: nowhere"),
        (lambda: "shards/{000..003}.tar", {}, "no such shard: shards/000.tar"),
        (lambda: "ftp://host/{000..003}.tar", {}, "is refused"),
        (lambda: "nowhere:data", {}, "importing nowhere raised ModuleNotFoundError"),
        (lambda: write("m.csv", "path\na.png\n"), {"kind": "huggingface"}, "cannot be read"),
    ],
)
def test_one_line_and_nothing_written(make: Any, options: dict[str, Any], message: str, ws: Workspace) -> None:
    with pytest.raises(FsearchError) as caught:
        ws.index(fsearch.images(make(), **options))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(importlib.util.find_spec("s3fs") is not None, reason="s3fs is installed")
def test_a_library_that_is_missing_is_named(ws: Workspace) -> None:
    with pytest.raises(BadInputError, match=r"s3:// needs a library that is missing: pip install 'fsspec\[http,"):
        ws.index(write("m.csv", "url\ns3://bucket/a.png\n"))


def test_a_manifest_may_point_outside_if_allowed(tmp_path: Path, ws: Workspace) -> None:
    photos = files(tmp_path / "elsewhere")
    Path("m.csv").write_text("path\n" + "\n".join(str(photos / name(i)) for i in range(4)) + "\n")
    assert ws.index(fsearch.images("m.csv", allow_outside=True)).embedded == 4
    inside = files(tmp_path / "inside")
    os.symlink(photos / name(5), inside / "link.png")
    Path("n.csv").write_text(f"path\nlink.png\n{name(6)}\n")
    report = ws.index(fsearch.images("n.csv", root=inside))
    assert (report.embedded, report.rejected) == (1, 1)
    assert "a link that leads outside" in ws.sql("SELECT reason FROM rejected")["reason"][0].as_py()


def test_labels_of_sources_can_be_asked_about(tmp_path: Path, ws: Workspace) -> None:
    manifest = csv_manifest(tmp_path / "data")["held"]
    Path("losses.csv").write_text("image,loss\n" + "\n".join(f"{name(i)},{i}" for i in range(COUNT)) + "\n")
    ws.index(manifest, "losses.csv")
    found = ws.sql("SELECT label, year FROM examples ORDER BY key").to_pylist()
    assert found == [{"label": label(i), "year": year(i)} for i in range(COUNT)]


@pytest.mark.parametrize(
    ("library", "kind"),
    [("datasets", "hugging face saved"), ("webdataset", "webdataset")],
)
def test_a_missing_extra_is_named(
    library: str, kind: str, tmp_path: Path, ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = MADE[kind](tmp_path / "data")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(BadInputError, match=f"need the library {library}: pip install {library}"):
        ws.index(made["held"])


def test_the_command_line_chooses(tmp_path: Path) -> None:
    manifest = csv_manifest(tmp_path / "data")["held"]

    def run(*args: str) -> str:
        result = CliRunner().invoke(app, ["index", str(manifest), *args])
        return result.output.strip()

    assert run("--limit", "4", "-w", "a") == "4 images found: 4 embedded"
    assert run("--sample", "5", "--seed", "2", "-w", "b") == "5 images found: 5 embedded"
    assert run("--where", "label = 'fancy'", "-w", "c") == "8 images found: 8 embedded"
    assert run("--where", "label = 'fancy'", "-w", "c") == "8 images found: 8 unchanged"
    assert run("--kind", "coco").startswith(f"fsearch: {manifest} is no JSON")
    assert f"source      {manifest}: 8 images" in str(fsearch.open("c").info())
