"""Every source with every way to losses: files of losses and predictions, and models of each kind, run by us."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from made_models import (
    MEAN,
    SIDE,
    STD,
    Server,
    expected_logits,
    exported,
    onnx,
    predict,
    serve,
    timm_checkpoint,
    torchscript,
)
from made_sources import CLASSES, COUNT, MADE, csv_manifest, label, name, portraits
from PIL import Image

import fsearch
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.blackbox.endpoint import Endpoint
from fsearch.indexer.losses.blackbox.function import Function
from fsearch.indexer.losses.blackbox.preprocess import InputOptions
from fsearch.indexer.losses.blackbox.runner import RunLimits, run_black_box
from fsearch.indexer.losses.loss_spec import LossSpec
from fsearch.indexer.workspace.source_registry import reopen
from fsearch.indexer.workspace.store import Store
from fsearch.search.workspace import Workspace

NORMALISED = InputOptions(size=(SIDE, SIDE), mean=MEAN, std=STD, resize="squash")
LABELLED = set(MADE) - {"folder", "coco", "zip", "tar", "tgz", "in memory"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as running:
        yield running


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, server: Server) -> dict[str, dict[str, Any]]:
    """How each kind of model is named to `losses.add`; all but timm's are the same net."""
    root = tmp_path_factory.mktemp("models")
    said: dict[str, Any] = {"scores": "logits", "classes": CLASSES}
    return {
        "onnx": {"black_box": str(onnx(root))},
        "onnx of fixed batch": {"black_box": str(onnx(root, "fixed.onnx", batch=5))},
        "torchscript": {"black_box": str(torchscript(root))},
        "torch.export": {"black_box": str(exported(root))},
        "timm": {"black_box": "timm:test_resnet", "weights": timm_checkpoint(root), "classes": CLASSES},
        "function": {"black_box": predict, **said},
        "function by name": {"black_box": "made_models:predict", **said},
        "endpoint": {"black_box": server.url, "input": NORMALISED, **said},
    }


def by_pixels() -> dict[bytes, int]:
    return {image.tobytes(): i for i, image in enumerate(portraits())}


def true_losses() -> list[float]:
    """Cross-entropy of the net on each portrait, by torch."""
    logits = torch.from_numpy(np.stack([expected_logits(p) for p in portraits()]))
    labels = torch.tensor([CLASSES.index(label(i)) for i in range(COUNT)])
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none").tolist()


def say_what_is_right(ws: Workspace, kind: str) -> str:
    """For a source without labels of its own: a losses file brings them as a column."""
    if kind in LABELLED:
        return "label"
    keys = ws.sql("SELECT key FROM images ORDER BY image_id")["key"].to_pylist()
    lines = [f"{k},0,{label(i)}" for i, k in enumerate(keys)]
    Path("truth.csv").write_text("image,loss,what\n" + "\n".join(lines) + "\n")
    ws.losses.add("truth", losses="truth.csv")
    return "what"


def in_order(ws: Workspace, model: str, kind: str) -> list[float]:
    """The stored losses, in order of the portraits."""
    order = "label DESC, key" if kind in ("imagefolder", "remote imagefolder") else "image_id"
    found = ws.sql(
        f"SELECT loss, key, label FROM losses JOIN images USING (image_id) WHERE model = '{model}' ORDER BY {order}"
    )
    losses = found["loss"].to_pylist()
    if kind not in ("imagefolder", "remote imagefolder"):
        return losses
    plain = [i for i in range(COUNT) if label(i) == "plain"]
    fancy = [i for i in range(COUNT) if label(i) == "fancy"]
    return [loss for _, loss in sorted(zip(plain + fancy, losses, strict=True))]


@pytest.mark.parametrize("kind", MADE)
def test_every_source_with_every_way_to_losses(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: dict[str, Any], server: Server
) -> None:
    made = MADE[kind](tmp_path / "data")
    monkeypatch.syspath_prepend(tmp_path / "data")
    held = made.pop("held")
    source = fsearch.images(held, **made)
    ws = fsearch.open("w.fsearch")
    ws.index(source)
    again = source if kind in ("in memory", "torch dataset") else None  # only the program has these
    again = held if kind == "torch dataset by name" else again  # code runs only where it is named
    target = say_what_is_right(ws, kind)
    for way, how in models.items():
        report = ws.losses.add(way.replace(" ", "-"), task="cross-entropy", target=target, images=again, **how)
        assert (report.added, report.failed, report.without) == (COUNT, 0, 0), way
        if way != "timm":
            np.testing.assert_allclose(in_order(ws, way.replace(" ", "-"), kind), true_losses(), atol=2e-4, err_msg=way)
    asked = server.images
    report = ws.losses.add("endpoint", task="cross-entropy", target=target, images=again, **models["endpoint"])
    assert (report.added, report.kept, server.images) == (0, COUNT, asked)  # no work is done twice
    _from_files(ws, kind, target)
    assert ws.losses.list()["images"].to_pylist() == [COUNT] * ws.losses.list().num_rows


def _from_files(ws: Workspace, kind: str, target: str) -> None:
    """The losses, and the predictions, as files."""
    keys = ws.sql("SELECT key FROM images ORDER BY image_id")["key"].to_pylist()
    stored = ws.sql("SELECT loss FROM losses WHERE model = 'onnx' ORDER BY image_id")["loss"].to_pylist()
    pq.write_table(pa.table({"image": keys, "loss": stored}), "losses.parquet")
    assert ws.losses.add("copied", losses="losses.parquet").added == COUNT
    labels = ws.sql("SELECT label FROM losses WHERE model = 'onnx' ORDER BY image_id")["label"].to_pylist()
    chance = [math.exp(-v) for v in stored]
    wide = {c: [p if y == c else 1 - p for p, y in zip(chance, labels, strict=True)] for c in CLASSES}
    pq.write_table(pa.table({"image": keys, **{f"prob_{c}": v for c, v in wide.items()}}), "p.parquet")
    assert ws.losses.add("judged", predictions="p.parquet", task="cross-entropy", target=target).added == COUNT
    found = ws.sql("SELECT loss FROM losses WHERE model = 'judged' ORDER BY image_id")["loss"].to_pylist()
    np.testing.assert_allclose(found, stored, atol=1e-9)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    made = csv_manifest(tmp_path / "data")
    ws = fsearch.open("w.fsearch")
    ws.index(made["held"])
    return ws


def test_predictions_and_labels_are_kept_by_name(ws: Workspace, models: dict[str, Any]) -> None:
    ws.losses.add("m", task="cross-entropy", **models["onnx"])
    rows = ws.sql("SELECT label, prediction FROM losses ORDER BY image_id").to_pylist()
    assert [r["label"] for r in rows] == [label(i) for i in range(COUNT)]
    assert [r["prediction"] for r in rows] == [CLASSES[int(expected_logits(p).argmax())] for p in portraits()]


def test_another_model_of_the_same_name_replaces_all(ws: Workspace, models: dict[str, Any]) -> None:
    ws.losses.add("m", task="cross-entropy", **models["onnx"])
    report = ws.losses.add("m", task="brier", **models["onnx"])
    assert (report.added, report.replaced, report.kept) == (COUNT, COUNT, 0)
    assert ws.losses.list().to_pylist()[0]["task"] == "brier"
    assert ws.losses.remove("m") == COUNT
    assert ws.losses.list().num_rows == 0
    assert ws.info().images == COUNT
    with pytest.raises(fsearch.NotReadyError):
        ws.losses.remove("m")


def test_a_fit_to_losses_that_were_replaced_says_so(few: Any) -> None:
    ws = fsearch.open("few.fsearch")
    ws.index(few.folder, few.losses, model="m")
    ws.fit("m")
    ws.losses.add("m", black_box=lambda images: [float(np.asarray(i).mean()) for i in images], task="loss")
    assert any("fsearch fit" in note for note in ws.query("a hat").notes)
    ws.losses.remove("m")
    assert not (ws.root / "models" / "m").exists()


def test_new_images_only_are_predicted(ws: Workspace, tmp_path: Path) -> None:
    calls: list[int] = []

    def width(images: list[Any]) -> list[int]:
        calls.append(len(images))
        return [i.width for i in images]

    ws.losses.add("w", black_box=width, task="loss")
    manifest = tmp_path / "data" / "photos.csv"
    portraits()[0].resize((90, 90)).save(tmp_path / "data" / "photos" / "new.png")
    manifest.write_text(manifest.read_text() + "photos/new.png,plain,2050\n")
    ws.index(manifest)
    report = ws.losses.add("w", black_box=width, task="loss")
    assert (report.added, report.kept, calls[-1], sum(calls)) == (1, COUNT, 1, COUNT + 1)


def test_one_bad_image_costs_itself_only_and_is_tried_again(ws: Workspace) -> None:
    bad = {portraits()[i].tobytes() for i in (4, 17)}

    def picky(images: list[Any]) -> list[float]:
        if any(i.tobytes() in bad for i in images):
            raise ValueError("cannot see this")
        return [1.0 for _ in images]

    report = ws.losses.add("p", black_box=picky, task="loss")
    assert (report.added, report.failed, report.without) == (COUNT - 2, 2, 2)
    found = ws.sql("SELECT key, reason FROM prediction_errors JOIN images USING (image_id) ORDER BY key").to_pylist()
    assert [r["key"] for r in found] == [f"photos/{name(4)}", f"photos/{name(17)}"]
    assert found[0]["reason"] == "ValueError: cannot see this"
    log = (ws.root / "logs" / "p.log").read_text()
    assert "Traceback" in log
    assert "cannot see this" in log
    bad.clear()
    report = ws.losses.add("p", black_box=picky, task="loss")
    assert (report.added, report.failed, report.kept) == (2, 0, COUNT - 2)
    assert ws.sql("FROM prediction_errors").num_rows == 0


def test_a_black_box_that_always_raises_is_one_line(ws: Workspace) -> None:
    def broken(images: list[Any]) -> list[float]:
        raise RuntimeError("out of order\nsecond line")

    with pytest.raises(BadInputError) as caught:
        ws.losses.add("b", black_box=broken, task="loss")
    assert "failed on 24 images in a row, the last: RuntimeError: out of order; its traceback is in" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)
    assert "second line" in (ws.root / "logs" / "b.log").read_text()
    assert ws.sql("FROM losses").num_rows == 0


def test_a_failing_replacement_leaves_the_old_losses(ws: Workspace, models: dict[str, Any]) -> None:
    ws.losses.add("m", task="cross-entropy", **models["onnx"])

    def broken(images: list[Any]) -> list[float]:
        raise RuntimeError("no")

    with pytest.raises(BadInputError):
        ws.losses.add("m", black_box=broken, task="loss")
    assert ws.losses.list().to_pylist()[0]["task"] == "cross-entropy"
    assert ws.sql("FROM losses").num_rows == COUNT


def test_an_image_changed_since_it_was_indexed_gets_no_loss(ws: Workspace, tmp_path: Path) -> None:
    portraits()[1].resize((80, 80)).save(tmp_path / "data" / "photos" / name(3))
    (tmp_path / "data" / "photos" / name(5)).unlink()
    report = ws.losses.add("w", black_box=lambda images: [1.0] * len(images), task="loss")
    assert (report.added, report.failed) == (COUNT - 2, 2)
    reasons = ws.sql("SELECT reason FROM prediction_errors JOIN images USING (image_id) ORDER BY key")["reason"]
    assert reasons.to_pylist() == [
        "it has changed since it was indexed; index it again",
        "cannot be read: No such file or directory",
    ]


def test_a_busy_endpoint_is_asked_again(ws: Workspace) -> None:
    with serve() as busy:
        busy.busy_for = 3
        how: dict[str, Any] = {"input": NORMALISED, "scores": "logits", "classes": CLASSES}
        report = ws.losses.add("e", black_box=busy.url, task="cross-entropy", **how)
        assert (report.added, report.failed) == (COUNT, 0)
        assert busy.requests > 3
    np.testing.assert_allclose(in_order(ws, "e", "csv"), true_losses(), atol=2e-4)


def test_an_endpoint_that_refuses_an_image_costs_that_image_only(ws: Workspace) -> None:
    with serve() as picky:
        wanted = np.asarray(portraits()[7].resize((SIDE, SIDE)).getpixel((0, 0)), np.float32)

        def refuses(pixels: np.ndarray) -> bool:
            corner = pixels[:, 0, 0] * np.float32(STD) + np.float32(MEAN)
            return bool(np.allclose(corner * 255, wanted, atol=1))

        picky.refuses = refuses
        how: dict[str, Any] = {"input": NORMALISED, "scores": "logits", "classes": CLASSES}
        report = ws.losses.add("e", black_box=picky.url, task="cross-entropy", **how)
        assert report.failed >= 1
        assert report.added == COUNT - report.failed > COUNT // 2
        reasons = set(ws.sql("SELECT reason FROM prediction_errors")["reason"].to_pylist())
        assert reasons == {"HTTP 400: this image is not to my taste"}


def test_an_endpoint_that_goes_away_loses_nothing(ws: Workspace) -> None:
    with serve() as gone:
        options = replace(NORMALISED, scores="logits", classes=CLASSES)
        endpoint = Endpoint(gone.url, options, retries=1)
        ws.losses.add("e", black_box=endpoint, task="cross-entropy")
    with pytest.raises(BadInputError, match="does not answer") as caught:
        Endpoint(gone.url, options, retries=1)
    assert "\n" not in str(caught.value)
    with pytest.raises(BadInputError, match="failed on 24 images in a row, the last: "):
        ws.losses.add("e", black_box=endpoint, task="brier")
    assert ws.losses.list().to_pylist()[0]["task"] == "cross-entropy"


def test_training_images_are_told_by_the_sources_own_column(tmp_path: Path) -> None:
    made = MADE["hugging face splits"](tmp_path / "data")
    ws = fsearch.open("w.fsearch")
    ws.index(made["held"])
    ws.losses.add("w", black_box=lambda images: [1.0] * len(images), task="loss")
    found = ws.sql("SELECT split, count(*) AS n FROM losses GROUP BY 1 ORDER BY 1").to_pylist()
    assert found == [{"split": "held-out", "n": 14}, {"split": "train", "n": 10}]


def test_a_corrected_label_is_judged_anew(ws: Workspace, models: dict[str, Any], tmp_path: Path) -> None:
    calls: list[int] = []

    def seen(images: list[Any]) -> np.ndarray:
        calls.append(len(images))
        return predict(images)

    how: dict[str, Any] = {"black_box": seen, "scores": "logits", "classes": CLASSES, "task": "cross-entropy"}
    ws.losses.add("m", **how)
    before = ws.sql("SELECT loss FROM losses ORDER BY image_id")["loss"].to_pylist()
    manifest = tmp_path / "data" / "photos.csv"
    manifest.write_text(manifest.read_text().replace(f"{name(3)},fancy", f"{name(3)},plain"))
    ws.index(manifest)
    report = ws.losses.add("m", **how)
    assert (report.added, sum(calls)) == (1, COUNT + 1)
    after = ws.sql("SELECT loss FROM losses ORDER BY image_id")["loss"].to_pylist()
    assert [i for i in range(COUNT) if before[i] != after[i]] == [3]


def test_a_model_that_dies_half_way_keeps_what_was_done(few: Any) -> None:
    ws = fsearch.open("few.fsearch")
    ws.index(few.folder)
    alive = [True]

    class Dying:
        count = 0

        def __call__(self, images: list[Any]) -> list[float]:
            if alive[0] and self.count >= 32:
                raise ConnectionError("gone")
            self.count += len(images)
            return [1.0] * len(images)

    dying = Dying()
    store = Store.open(ws.root)
    with (
        store.writer(),
        pytest.raises(
            BadInputError, match=r"images in a row, the last: ConnectionError: gone.*what was done before is kept"
        ),
    ):
        run_black_box(store, "d", Function(dying), LossSpec("loss"), reopen(store), limits=RunLimits(failures=8))
    assert ws.sql("FROM pending_losses WHERE loss IS NOT NULL").num_rows == 32
    alive[0] = False
    assert ws.losses.add("d", black_box=dying, task="loss").added == 60
    assert dying.count == 60


def test_two_sources_with_the_same_names_are_told_apart(tmp_path: Path) -> None:
    ws = fsearch.open("w.fsearch")
    for folder, shade in (("one", 40), ("two", 200)):
        (tmp_path / folder).mkdir()
        for i in range(3):
            Image.new("RGB", (64, 64), (shade, 10 * i, 0)).save(tmp_path / folder / name(i))
        ws.index(folder)
    Path("l.csv").write_text(f"image,loss\n{name(0)},1\n")
    with pytest.raises(
        BadInputError, match=r"may be .*/one/000.png and .*/two/000.png; give the source and the path below it"
    ):
        ws.losses.add("m", losses="l.csv")
    Path("l.csv").write_text(f"image,loss\n{tmp_path}/two/{name(0)},1\n")
    assert ws.losses.add("m", losses="l.csv").added == 1
    assert ws.sql("SELECT source FROM losses JOIN images USING (image_id)")["source"][0].as_py().endswith("two")
    report = ws.losses.add("b", black_box=lambda images: [float(i.getpixel((0, 0))[0]) for i in images], task="loss")
    assert report.added == 6
    assert ws.sql("SELECT DISTINCT loss FROM losses WHERE model = 'b' ORDER BY 1")["loss"].to_pylist() == [40, 200]
    with pytest.raises(BadInputError, match="no images of memory in this workspace"):
        ws.losses.add("b", black_box=lambda images: [0.0] * len(images), task="loss", images=[Image.new("RGB", (8, 8))])


def test_an_endpoint_that_hangs_is_given_up(ws: Workspace) -> None:
    with serve() as slow:
        slow.refuses = lambda pixels: time.sleep(1)
        options = replace(NORMALISED, scores="logits", classes=CLASSES)
        endpoint = Endpoint(slow.url, options, retries=1, timeout=0.2)
        with pytest.raises(BadInputError, match=r"in a row, the last: .*timed out"):
            ws.losses.add("e", black_box=endpoint, task="cross-entropy")


@pytest.mark.parametrize(("library", "box"), [("onnxruntime", "onnx"), ("urllib3", "endpoint")])
def test_a_missing_extra_is_named(
    library: str, box: str, ws: Workspace, models: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(BadInputError, match=f"need the library {library}: pip install {library}"):
        ws.losses.add("m", task="cross-entropy", **models[box])


def test_failures_are_told_by_info(ws: Workspace) -> None:
    said = iter([None, *[1.0] * COUNT])
    ws.losses.add("m", black_box=lambda images: [next(said) for _ in images], task="loss")
    assert "m: 23 losses, mean 1.000, 1 images FAILED (reasons: table prediction_errors)" in str(ws.info())
