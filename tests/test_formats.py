"""Exports in the forms of other tools, each read back by the tool's own library where it is installed and starts."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import types
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.test_cli import run

import fsearch
from fsearch.indexer.errors import BadInputError, NotReadyError
from fsearch.indexer.workspace.store import Store
from fsearch.search.selections import keep
from fsearch.search.workspace import Workspace


def export(fitted: Path, form: str, out: Path) -> str:
    """What the command prints, having written `out`."""
    code, printed, err = run("export", out, "--to", form, "-w", fitted)
    assert code == 0, err
    assert f"{out}: 320 images" in printed
    return printed


def wanted(ws: Workspace) -> list[dict[str, Any]]:
    return ws.sql("SELECT * FROM examples ORDER BY image_id").to_pylist()


def test_coco_is_read_by_pycocotools(fitted: Path, ws: Workspace, tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    export(fitted, "coco", tmp_path / "coco.json")
    with contextlib.redirect_stdout(io.StringIO()):
        found = coco.COCO(str(tmp_path / "coco.json"))
    names = {i: c["name"] for i, c in found.cats.items()}
    assert set(names.values()) == set(ws.sql("SELECT DISTINCT label FROM losses")["label"].to_pylist())
    for row in wanted(ws)[:20]:
        (annotation,) = found.loadAnns(found.getAnnIds(imgIds=[row["image_id"]]))
        (image,) = found.loadImgs([row["image_id"]])
        assert names[annotation["category_id"]] == row["label"]
        said = {n: v for n, v in row.items() if n in ("loss", "skin_tone", "predicted_loss") and v is not None}
        assert said.items() <= annotation["attributes"].items()
        with Image.open(image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"]) == tuple(annotation["bbox"][2:])


def test_a_hugging_face_folder_is_loaded_by_datasets(fitted: Path, ws: Workspace, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    printed = export(fitted, "hf", tmp_path / "folder")
    assert "load_dataset(" in printed
    loaded = datasets.load_dataset(str(tmp_path / "folder"), split="train", cache_dir=str(tmp_path / "cache"))
    assert [row["loss"] for row in loaded.select(range(9))] == [row["loss"] for row in wanted(ws)[:9]]
    assert isinstance(loaded[0]["image"], Image.Image)


def test_croissant_is_read_by_its_own_library(
    fitted: Path, ws: Workspace, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    export(fitted, "croissant", tmp_path / "folder")
    mlcroissant = pytest.importorskip("mlcroissant")
    dataset = mlcroissant.Dataset(str(tmp_path / "folder" / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors
    records = iter(dataset.records("images"))
    for row in wanted(ws)[:5]:
        record = next(records)
        assert record["images/loss"] == row["loss"]
        assert record["images/label"] == row["label"].encode()
        assert record["images/image"].size == (row["width"], row["height"])


def test_croissant_describes_every_column_as_it_is(fitted: Path, tmp_path: Path) -> None:
    export(fitted, "croissant", tmp_path / "folder")
    described = json.loads((tmp_path / "folder" / "croissant.json").read_text())
    fields = {f["source"]["extract"]["column"]: f["dataType"] for f in described["recordSet"][0]["field"]}
    assert set(fields) == set(pq.read_schema(tmp_path / "folder" / "images.parquet").names)
    assert (fields["loss"], fields["label"], fields["image"]) == ("sc:Float", "sc:Text", "sc:ImageObject")


def test_fiftyone_documents_agree_with_their_fields(fitted: Path, ws: Workspace, tmp_path: Path) -> None:
    """What the importer reads: every sample has the fields that metadata.json declares, its own id, and a file."""
    export(fitted, "fiftyone", tmp_path / "folder")
    metadata = json.loads((tmp_path / "folder" / "metadata.json").read_text())
    samples = json.loads((tmp_path / "folder" / "samples.json").read_text())["samples"]
    declared = {f["db_field"] for f in metadata["sample_fields"]} - {"created_at", "last_modified_at"}
    assert all({n for n in s if n not in ("_media_type", "_rand")} == declared for s in samples)
    assert len({s["_id"]["$oid"] for s in samples}) == 320
    assert all(len(s["_id"]["$oid"]) == 24 and Path(s["filepath"]).is_file() for s in samples)
    assert [s["loss"] for s in samples] == [row["loss"] for row in wanted(ws)]
    assert [s["ground_truth"]["label"] for s in samples] == [row["label"] for row in wanted(ws)]


def test_fiftyone_takes_every_document(fitted: Path, tmp_path: Path) -> None:
    """Its own classes parse and validate the documents; importing them needs a MongoDB, this does not."""
    odm = pytest.importorskip("fiftyone.core.odm.dataset", reason="FiftyOne is absent")
    labels = pytest.importorskip("fiftyone.core.labels")
    export(fitted, "fiftyone", tmp_path / "folder")
    metadata = json.loads((tmp_path / "folder" / "metadata.json").read_text())
    sample = json.loads((tmp_path / "folder" / "samples.json").read_text())["samples"][0]
    for field in metadata["sample_fields"]:
        parsed = odm.SampleFieldDocument.from_dict(field).to_field()
        value = sample.get(field["db_field"])
        if isinstance(value, str | int | float):
            parsed.validate(parsed.to_python(value))
    own = {n: v for n, v in sample["ground_truth"].items() if n != "_id"}
    assert labels.Classification.from_dict(own).label == sample["ground_truth"]["label"]


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What FiftyOne's importer, which needs a MongoDB, is given each time that it is called."""
    calls: list[dict[str, Any]] = []

    class Dataset:
        @staticmethod
        def from_dir(dataset_dir: str, dataset_type: object) -> str:
            read = {p.stem: json.loads(p.read_text()) for p in Path(dataset_dir).glob("*.json")}
            calls.append(read | {"dataset_dir": dataset_dir, "dataset_type": dataset_type})
            return "the data set"

    module = types.ModuleType("fiftyone")
    module.Dataset, module.types = Dataset, types.SimpleNamespace(FiftyOneDataset="FiftyOneDataset")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fiftyone", module)
    return calls


def test_fiftyone_is_given_from_python_what_is_exported(
    fitted: Path, ws: Workspace, tmp_path: Path, imported: list[dict[str, Any]]
) -> None:
    export(fitted, "fiftyone", tmp_path / "exported")
    assert ws.to_fiftyone() == ws.to_fiftyone(folder=tmp_path / "given") == "the data set"
    for name, given in zip(("gone", "given"), imported, strict=True):
        assert given["dataset_type"] == "FiftyOneDataset"
        for document in ("metadata", "samples"):
            assert given[document] == json.loads((tmp_path / "exported" / f"{document}.json").read_text())
        assert Path(given["dataset_dir"]).exists() == (name == "given")


def test_images_that_are_no_files_need_a_folder_for_fiftyone(few: Any, imported: list[dict[str, Any]]) -> None:
    shutil.make_archive("images", "zip", few.folder)
    ws = fsearch.open("w")
    ws.index("images.zip", few.losses)
    with pytest.raises(BadInputError, match="give folder="):
        ws.to_fiftyone()
    assert not imported
    ws.to_fiftyone(folder="here")
    assert all((Path("here") / s["filepath"]).is_file() for s in imported[0]["samples"]["samples"])


def test_without_fiftyone_its_name_is_said(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fiftyone", None)
    with pytest.raises(NotReadyError, match="needs the library fiftyone"):
        ws.to_fiftyone()


def test_fiftyone_itself_takes_the_workspace(ws: Workspace) -> None:
    """Where it is installed and its MongoDB starts."""
    fiftyone = pytest.importorskip("fiftyone", reason="FiftyOne is absent")
    try:
        fiftyone.list_datasets()
    except Exception as error:
        pytest.skip(f"FiftyOne's database does not start here: {error}")
    found = ws.to_fiftyone()
    assert found.values("loss") == [row["loss"] for row in wanted(ws)]
    assert found.values("ground_truth.label") == [row["label"] for row in wanted(ws)]
    found.delete()


def opened_in_fiftyone(folder: Path, home: Path) -> dict[str, Any]:
    """What FiftyOne says of a folder, in an interpreter of its own, a database in memory standing for its MongoDB."""
    python = os.environ.get("FIFTYONE_PYTHON", sys.executable)
    there = "import sys; from importlib.util import find_spec as f; sys.exit(not (f('fiftyone') and f('mongomock')))"
    if subprocess.run([python, "-I", "-c", there], check=False).returncode:
        pytest.skip("FiftyOne and mongomock are absent: make test-fiftyone installs them apart")
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    own = {"HOME": str(home), "FIFTYONE_DATABASE_URI": "mongodb://127.0.0.1:1", "FIFTYONE_DO_NOT_TRACK": "true"}
    command = [python, Path(__file__).parent / "support" / "open_in_fiftyone.py", folder]
    ran = subprocess.run(command, capture_output=True, text=True, env=kept | own, check=False)
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
def test_fiftyone_opens_the_exported_folder(fitted: Path, ws: Workspace, tmp_path: Path) -> None:
    export(fitted, "fiftyone", tmp_path / "folder")
    found, rows = opened_in_fiftyone(tmp_path / "folder", tmp_path), wanted(ws)
    assert found["media"] == "image"
    assert found["losses"] == [row["loss"] for row in rows]
    assert found["labels"] == [row["label"] for row in rows]
    assert found["counts"] == Counter(row["label"] for row in rows)
    worst = max(rows, key=lambda row: row["loss"])
    assert found["worst"] == [worst["loss"], worst["width"], worst["skin_tone"]]
    assert found["above"] == sum(row["loss"] > 0.5 for row in rows) > 0


@pytest.mark.slow
def test_fiftyone_finds_images_that_came_from_an_archive(few: Any, tmp_path: Path) -> None:
    shutil.make_archive("images", "zip", few.folder)
    fsearch.open("w").index("images.zip", few.losses)
    assert run("export", "folder", "--to", "fiftyone", "-w", "w")[0] == 0
    found = opened_in_fiftyone(Path("folder").absolute(), tmp_path)
    assert len(found["paths"]) == 60
    assert all(Path(path).is_absolute() and Path(path).is_file() for path in found["paths"])


def test_images_in_an_archive_go_along_to_fiftyone(few: Any) -> None:
    shutil.make_archive("images", "zip", few.folder)
    ws = fsearch.open("w")
    ws.index("images.zip", few.losses)
    code, _, err = run("export", "folder", "--to", "fiftyone", "-w", "w")
    assert code == 0, err
    samples = json.loads(Path("folder/samples.json").read_text())["samples"]
    assert samples
    assert all((Path("folder") / s["filepath"]).is_file() for s in samples)


@pytest.fixture
def selected(few: Any) -> tuple[str, list[int]]:
    """A workspace of a test's own, and the ids of the images of its selection 'odd ones'."""
    ws = fsearch.open("w")
    ws.index(few.folder, few.losses)
    rows = ws.sql("SELECT row, image_id FROM images ORDER BY image_id")
    ids = rows["image_id"].to_pylist()[3:20:4]
    keep(Store.open(Path("w")), "odd ones", np.array([r["row"] for r in rows.to_pylist() if r["image_id"] in ids]))
    return "w", ids


@pytest.mark.parametrize("form", ["coco", "fiftyone", "hf", "croissant", "spotlight", "embedding-atlas", None])
def test_a_selection_is_written_alone(selected: tuple[str, list[int]], form: str | None) -> None:
    root, ids = selected
    out = {"coco": "o.json", "fiftyone": "o", "hf": "o", "croissant": "o"}.get(form or "", "o.parquet")
    words = ("--to", form) if form else ("--xy", "--neighbors")
    code, printed, err = run("export", out, *words, "--selection", " odd  ones", "-w", root)
    assert (code, printed.split("\n")[0]) == (0, f"{out}: {len(ids)} images"), err
    if form == "coco":
        found = [image["id"] for image in json.loads(Path(out).read_text())["images"]]
    elif form == "fiftyone":
        found = [s["image_id"] for s in json.loads(Path("o/samples.json").read_text())["samples"]]
    else:
        (file,) = [Path(out)] if Path(out).is_file() else Path(out).rglob("*.parquet")
        table = pq.read_table(file)
        found = table["image_id"].to_pylist()
        near = table["neighbors"].to_pylist() if "neighbors" in table.column_names else []
        assert all(0 <= i < len(ids) for row in near for i in row["ids"])
    assert found == ids


def test_a_selection_that_is_not_there_is_said_and_nothing_written(
    selected: tuple[str, list[int]], imported: list[dict[str, Any]]
) -> None:
    with pytest.raises(BadInputError, match="there is no selection 'none'"):
        fsearch.open(selected[0]).to_fiftyone(selection="none")
    assert not imported
    refused = (
        (("o.parquet", "--selection", "even ones"), "there is no selection 'even ones'; there are: 'odd ones'"),
        (("v.csv", "--votes", "--selection", "odd ones"), "--votes goes alone"),
    )
    for words, said in refused:
        code, _, err = run("export", *words, "-w", selected[0])
        assert (code, len(err.splitlines()), said in err) == (2, 1, True)
    assert not list(Path().glob("o*"))


@pytest.mark.parametrize(
    ("form", "columns", "opens"),
    [
        ("spotlight", {"path", "vector", "loss"}, "spotlight {} --dtype path=Image --dtype vector=Embedding"),
        (
            "embedding-atlas",
            {"image", "x", "y", "neighbors", "loss"},
            "embedding-atlas {} --image image --x x --y y --neighbors neighbors",
        ),
    ],
)
def test_viewers_get_a_table_and_the_command_that_opens_it(
    fitted: Path, tmp_path: Path, form: str, columns: set[str], opens: str
) -> None:
    out = tmp_path / "images.parquet"
    assert opens.format(out) in export(fitted, form, out)
    assert columns <= set(pq.read_schema(out).names)


def test_spotlight_takes_the_columns_for_what_they_are(fitted: Path, tmp_path: Path) -> None:
    spotlight = pytest.importorskip("renumics.spotlight_plugins.core.pandas_data_source", reason="Spotlight is absent")
    out = tmp_path / "images.parquet"
    export(fitted, "spotlight", out)
    source = spotlight.PandasDataSource(out)
    assert len(source) == 320
    assert {"path", "vector"} <= set(source.column_names)


def test_what_does_not_fit_is_refused_and_leaves_nothing(fitted: Path) -> None:
    Path("there").mkdir()
    for words in (
        ("there", "--to", "hf"),
        ("there", "--to", "fiftyone"),
        ("no/folder", "--to", "croissant"),
        ("x.txt", "--to", "coco"),
        ("x.csv", "--to", "spotlight"),
        ("x.parquet", "--to", "spotlight", "--xy"),
        ("x", "--to", "nothing"),
    ):
        code, _, err = run("export", *words, "-w", fitted)
        assert (code, len(err.splitlines())) == (2, 1)
    assert [path.name for path in Path().iterdir()] == ["there"]
    assert not list(Path("there").iterdir())


def test_a_stored_run_is_written_as_it_was_ranked(few: Any) -> None:
    ws = fsearch.open("w")
    ws.index(few.folder, few.losses)
    ws.fit()
    ws.rank(["a hat", "bald", "a zeppelin"], out="ranked.parquet")
    for kind in ("csv", "parquet", "json"):
        assert run("runs", "show", "1", "--out", f"shown.{kind}", "-w", "w")[0] == 0
    assert pq.read_table("shown.parquet").equals(pq.read_table("ranked.parquet"))
    assert pa.csv.read_csv("shown.csv").num_rows == 3
    assert [row["rank"] for row in json.loads(Path("shown.json").read_text())["ranking"]] == [1, 2, 3]
    code, _, err = run("runs", "show", "1", "--out", "shown.txt", "-w", "w")
    assert (code, len(err.splitlines())) == (2, 1)
