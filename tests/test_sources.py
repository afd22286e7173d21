"""Every kind of source: indexed whole, its columns with it, nothing done twice; and one line for each thing wrong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_sources import COUNT, MADE, csv_manifest, files, label, name, png, portraits, shards, year
from PIL import Image
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app
from fsearch.indexer.errors import BadInputError
from fsearch.search.workspace import Workspace

LABELLED = set(MADE) - {"folder", "coco", "zip", "tar", "tgz", "in memory"}
DATED = LABELLED - {"imagefolder", "remote imagefolder", "torch dataset", "torch dataset by name"}
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


def test_the_command_line_chooses(tmp_path: Path) -> None:
    manifest = csv_manifest(tmp_path / "data")["held"]

    def run(*args: str) -> str:
        result = CliRunner().invoke(app, ["index", str(manifest), *args])
        return result.output.strip()

    first, form = run("--limit", "4", "-w", "a").splitlines()
    assert first == "4 images found: 4 embedded"
    assert form.endswith("photos.csv (UTF-8, commas): 24 rows read")
    assert run("--sample", "5", "--seed", "2", "-w", "b").splitlines()[0] == "5 images found: 5 embedded"
    assert run("--where", "label = 'fancy'", "-w", "c").splitlines()[0] == "8 images found: 8 embedded"
    assert run("--where", "label = 'fancy'", "-w", "c").splitlines()[0] == "8 images found: 8 unchanged"
    assert run("--kind", "coco").startswith(f"fsearch: {manifest} is no JSON")
    assert f"source      {manifest}: 8 images" in str(fsearch.open("c").info())
