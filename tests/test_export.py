"""The export: one file that Parquet readers and `datasets` take, with pictures, embeddings, a map and neighbours."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.test_cli import run

import fsearch
from fsearch.indexer.workspace.store import Store
from fsearch.search.workspace import Workspace


@pytest.fixture(scope="module")
def exported(fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "images.parquet"
    code, printed, _ = run("export", out, "--images", "--vectors", "--xy", "--neighbors", "-w", fitted)
    assert code == 0
    assert "320 images" in printed
    return out


def test_every_image_is_a_row_with_its_loss_and_columns(exported: Path, ws: Workspace, planted: Any) -> None:
    rows = pq.read_table(exported).to_pylist()
    wanted = ws.sql("SELECT key, loss, label, predicted_loss, skin_tone FROM examples ORDER BY image_id").to_pylist()
    assert [{name: row[name] for name in wanted[0]} for row in rows] == wanted
    assert all(Path(row["path"]).samefile(planted.folder / row["key"]) for row in rows[:5])
    assert rows[3]["image"] == {"bytes": (planted.folder / rows[3]["key"]).read_bytes(), "path": rows[3]["key"]}


def test_vectors_map_and_neighbours_agree(exported: Path, fitted: Path) -> None:
    table = pq.read_table(exported)
    vectors = np.stack(table["vector"].to_numpy(zero_copy_only=False)).astype(np.float64)
    stored = np.asarray(Store.open(fitted).vectors()[: len(vectors)], np.float64)
    assert sorted(map(tuple, vectors)) == sorted(map(tuple, stored))
    places = np.stack([table["x"].to_numpy(), table["y"].to_numpy()], axis=1)
    centred = vectors - vectors.mean(axis=0)
    largest = np.linalg.svd(centred, compute_uv=False)[:2] ** 2 / len(vectors)
    np.testing.assert_allclose(places.var(axis=0), largest, rtol=1e-3)
    for row, near in list(enumerate(table["neighbors"].to_pylist()))[:20]:
        assert near["ids"][0] == row
        distances = 1 - vectors[near["ids"]] @ vectors[row]
        np.testing.assert_allclose(near["distances"], distances, atol=2e-3)
        assert np.sort(1 - vectors @ vectors[row])[len(near["ids"]) - 1] == pytest.approx(distances.max(), abs=2e-3)


def test_datasets_gives_pictures(exported: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset("parquet", data_files=str(exported), split="train", cache_dir=str(tmp_path))
    assert isinstance(loaded[0]["image"], Image.Image)
    assert loaded[0]["image"].size == (96, 96)
    assert len(loaded) == 320


def test_an_image_that_is_gone_is_null_and_a_refused_export_leaves_nothing(few: Any) -> None:
    ws = fsearch.open("w")
    ws.index(few.folder, few.losses)
    (few.folder / "000.png").unlink()
    assert run("export", "out.parquet", "--images", "-w", "w")[0] == 0
    images = {row["key"]: row["image"] for row in pq.read_table("out.parquet", columns=["key", "image"]).to_pylist()}
    assert images["000.png"] is None
    with Image.open(io.BytesIO(images["001.png"]["bytes"])) as picture:
        assert picture.size == (96, 96)
    for out in ("out.csv", "no/out.parquet"):
        code, _, err = run("export", out, "-w", "w")
        assert (code, len(err.splitlines())) == (2, 1)
    assert not list(Path().glob("*.part"))
