"""Predictions in files of every form, judged by every kind of task from the command line; what is wrong in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from made_models import onnx
from made_sources import CLASSES, COUNT, coco, csv_manifest, files, label, name
from PIL import Image
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app
from fsearch.search.workspace import Workspace

KEYS = [name(i) for i in range(COUNT)]
P = np.random.default_rng(2).dirichlet([1, 1], COUNT)
TRUE = torch.nn.functional.nll_loss(
    torch.from_numpy(np.log(P)), torch.tensor([CLASSES.index(label(i)) for i in range(COUNT)]), reduction="none"
).tolist()


def run(*args: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(a) for a in args])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    made = csv_manifest(tmp_path / "data")
    ws = fsearch.open(".fsearch")
    ws.index(made["held"])
    return ws


def wide_csv() -> list[str]:
    rows = [f"{k},{p[0]},{p[1]},{label(i)}" for i, (k, p) in enumerate(zip(KEYS, P, strict=True))]
    Path("p.csv").write_text("image,prob_plain,prob_fancy,label\n" + "\n".join(rows) + "\n")
    return ["p.csv"]


def numbered_csv() -> list[str]:
    rows = [f"{k},{p[1]},{p[0]}" for k, p in zip(KEYS, P, strict=True)]
    Path("p.csv").write_text("image,out_1,out_0\n" + "\n".join(rows) + "\n")
    return ["p.csv", "--prediction", "out_*", "--scores", "probabilities", "--classes", "plain,fancy"]


def list_csv() -> list[str]:
    rows = [f'{k},"[{p[0]}, {p[1]}]"' for k, p in zip(KEYS, P, strict=True)]
    Path("p.csv").write_text("image,probs\n" + "\n".join(rows) + "\n")
    return ["p.csv", "--classes", "plain,fancy"]


def list_parquet() -> list[str]:
    pq.write_table(pa.table({"image": KEYS, "logits": np.log(P).tolist()}), "p.parquet")
    Path("classes.txt").write_text("plain\nfancy\n")
    return ["p.parquet", "--classes", "classes.txt"]


def jsonl() -> list[str]:
    lines = [
        json.dumps({"image": k, "probabilities": p.tolist(), "y": label(i)})
        for i, (k, p) in enumerate(zip(KEYS, P, strict=True))
    ]
    Path("p.jsonl").write_text("\n".join(lines) + "\n")
    return ["p.jsonl", "--target", "y", "--classes", "plain,fancy"]


def npz() -> list[str]:
    np.savez(
        "p.npz", image=np.array(KEYS), logits=np.log(P), label=np.array([CLASSES.index(label(i)) for i in range(COUNT)])
    )
    return ["p.npz"]


@pytest.mark.parametrize("make", [wide_csv, numbered_csv, list_csv, list_parquet, jsonl, npz])
def test_predictions_of_every_form_give_the_same_losses(make: Callable[[], list[str]], ws: Workspace) -> None:
    code, out, err = run("losses", "add", "--model", "m", "--task", "cross-entropy", "--predictions", *make())
    assert (code, err) == (0, "")
    assert out.splitlines()[1].startswith(f"model m: {COUNT} losses added; cross-entropy, mean ")
    found = ws.sql("SELECT loss, label FROM losses ORDER BY image_id")
    np.testing.assert_allclose(found["loss"].to_pylist(), TRUE)
    assert (
        run("losses", "add", "--model", "m", "--task", "cross-entropy", "--predictions", *make())[1]
        .splitlines()[1]
        .startswith("model m: 24 ")
    )


def test_predicted_labels_regression_and_several_labels(ws: Workspace) -> None:
    Path("p.csv").write_text("image,prediction\n" + "\n".join(f"{k},plain" for k in KEYS) + "\n")
    assert run("losses", "add", "--model", "z", "--task", "zero-one", "--predictions", "p.csv")[0] == 0
    assert ws.sql("SELECT sum(loss) AS n FROM losses WHERE model = 'z'")["n"][0].as_py() == 8
    Path("r.csv").write_text("image,x,y,a,b\n" + "\n".join(f"{k},1,2,{i},2" for i, k in enumerate(KEYS)) + "\n")
    both = ["--prediction", "x", "--prediction", "y", "--target", "a", "--target", "b"]
    assert run("losses", "add", "--model", "r", "--task", "squared-error", "--predictions", "r.csv", *both)[0] == 0
    found = ws.sql("SELECT loss FROM losses WHERE model = 'r' ORDER BY image_id")["loss"].to_pylist()
    assert found == [((1 - i) ** 2) / 2 for i in range(COUNT)]
    one = ["--prediction", "x", "--target", "year", "--param", "delta=2"]
    assert run("losses", "add", "--model", "h", "--task", "huber", "--predictions", "r.csv", *one)[0] == 0
    assert run("losses", "list")[1].splitlines()[1].split()[:3] == ["h", "huber", "(delta"]
    assert run("losses")[1] == run("losses", "list")[1]
    lines = [
        json.dumps({"image": k, "logits": [1.0, -1.0, 0.5], "labels": ["hat"] if i % 2 else []})
        for i, k in enumerate(KEYS)
    ]
    Path("m.jsonl").write_text("\n".join(lines) + "\n")
    many = ["--target", "labels", "--classes", "hat,beard,glasses"]
    code, _, err = run(
        "losses", "add", "--model", "b", "--task", "binary-cross-entropy", "--predictions", "m.jsonl", *many
    )
    assert (code, err) == (0, "")
    labels = ws.sql("SELECT label, prediction FROM losses WHERE model = 'b' ORDER BY image_id").to_pylist()
    assert labels[:2] == [
        {"label": "none", "prediction": "hat, glasses"},
        {"label": "hat", "prediction": "hat, glasses"},
    ]


def test_coco_results_against_coco_ground_truth(tmp_path: Path) -> None:
    made = coco(tmp_path / "data")
    ws = fsearch.open(".fsearch")
    ws.index(fsearch.images(made["held"], root=made["root"]))
    found = [
        {"image_id": 100 + i, "category_id": 1, "bbox": [8, 8, 40, 20 if i == 5 else 40], "score": 0.9}
        for i in range(1, 20)
    ]
    Path("found.json").write_text(json.dumps(found))
    args = ["losses", "add", "--model", "d", "--task", "detection-f1", "--target", str(made["held"])]
    code, _, err = run(*args, "--predictions", "found.json")
    assert (code, err) == (0, "")
    losses = ws.sql("SELECT loss FROM losses ORDER BY image_id")["loss"].to_pylist()
    assert losses == [0.0] * 20 + [1.0] * 4  # the first has no object and none was found; the last four were missed
    lrp = run(
        "losses", "add", "--model", "l", "--task", "lrp", "--target", str(made["held"]), "--predictions", "found.json"
    )
    assert lrp[0] == 0
    assert ws.sql("SELECT loss FROM losses WHERE model = 'l' ORDER BY image_id")["loss"].to_pylist()[
        5
    ] == pytest.approx(1.0)
    for wrong, message in (
        ([{"image_id": 999, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}], "none of its image ids"),
        ([*found, {"image_id": 999, "category_id": 1, "bbox": [0, 0, 1, 1], "score": 1}], "image id 999 is not in"),
        ([{**found[0], "category_id": 9}], "found.json, image id 101: category 9 is not in the ground truth"),
        ([{**found[0], "bbox": [0, 0, -1, 1]}], "image id 101, prediction, box 1: a side is negative (-1 x 1)"),
        ([{"image_id": 101}], "detection 1: 'image_id', 'category_id', 'bbox' and 'score' are needed"),
        ({}, "is no COCO results file"),
    ):
        Path("found.json").write_text(json.dumps(wrong))
        code, _, err = run(*args, "--predictions", "found.json")
        assert code == 2
        assert message in err
        assert err.count("\n") == 1


def test_a_detector_run_by_us(tmp_path: Path) -> None:
    made = coco(tmp_path / "data")
    ws = fsearch.open(".fsearch")
    ws.index(fsearch.images(made["held"], root=made["root"]))

    def detect(images: list[Any]) -> list[list[dict[str, Any]]]:
        return [[{"category_id": 1, "bbox": [8, 8, 40, 40], "score": 0.8}] for _ in images]

    report = ws.losses.add("d", black_box=detect, task="detection-f1", target=str(made["held"]))
    assert report.added == COUNT
    assert ws.sql("SELECT loss FROM losses ORDER BY image_id")["loss"].to_pylist() == [1.0] + [0.0] * 23


@pytest.fixture
def masked(tmp_path: Path) -> Workspace:
    """Portraits with a column of true masks, and a folder of predicted ones."""
    photos = files(tmp_path / "data")
    with Image.open(photos / name(0)) as first:
        side = first.size[0]
    for folder, shift in (("truth", 0), ("said", 4)):
        (tmp_path / "data" / folder).mkdir()
        for i in range(COUNT):
            mask = np.zeros((side, side), np.uint8)
            mask[8 + shift : 40 + shift, 8:40] = 1
            Image.fromarray(mask).save(tmp_path / "data" / folder / f"{i:03d}.png")
    rows = "\n".join(f"photos/{name(i)},truth/{i:03d}.png" for i in range(COUNT))
    (tmp_path / "data" / "m.csv").write_text(f"path,mask\n{rows}\n")
    ws = fsearch.open(".fsearch")
    ws.index(tmp_path / "data" / "m.csv")
    return ws


def test_masks_from_a_column_or_a_folder(masked: Workspace, tmp_path: Path) -> None:
    said, truth = tmp_path / "data" / "said", tmp_path / "data" / "truth"
    for target in ("mask", truth):
        code, _, err = run("losses", "add", "--model", "s", "--task", "dice", "--predictions", said, "--target", target)
        assert (code, err) == (0, "")
        losses = masked.sql("SELECT DISTINCT loss FROM losses")["loss"].to_pylist()
        assert len(losses) == 1
        assert 0.05 < losses[0] < 0.2


def test_a_segmentation_model_run_by_us(masked: Workspace, tmp_path: Path) -> None:
    class Bright(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.cat([0.5 - pixels.mean(1, keepdim=True), pixels.mean(1, keepdim=True) - 0.5], 1)

    program = torch.export.export(
        Bright(), (torch.zeros(2, 3, 32, 32),), dynamic_shapes=({0: torch.export.Dim("batch")},)
    )
    torch.export.save(program, "bright.pt2")
    args = ["losses", "add", "--model", "b", "--black-box", "bright.pt2", "--task", "mean-iou", "--target", "mask"]
    code, _, err = run(*args)
    assert code == 2
    assert "say resize: squash" in err
    Path("bright.yaml").write_text("resize: squash\nmean: 0\nstd: 1\n")
    assert run(*args)[0] == 0
    args[7:8] = ["pixel-cross-entropy", "--scores", "logits"]
    assert run(*args)[0] == 0
    assert masked.sql("SELECT count(*) AS n FROM losses WHERE loss > 0")["n"][0].as_py() == COUNT


def add(*more: str) -> list[str]:
    return ["losses", "add", "--model", "m", *more]


def predictions(text: str, *more: str) -> list[str]:
    Path("p.csv").write_text(text)
    return add("--predictions", "p.csv", *more)


CE = ("--task", "cross-entropy")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: add(), "one of --losses, --predictions and --black-box"),
        (lambda: add("--losses", "a.csv", *CE), "a losses file holds losses already"),
        (lambda: add("--predictions", "p.csv"), "say which loss, like --task cross-entropy"),
        (lambda: add("--predictions", "p.csv", "--task", "accuracy"), "unknown task 'accuracy'"),
        (lambda: add("--predictions", "gone.csv", *CE), "no such predictions file: gone.csv"),
        (lambda: predictions("image,x\n000.png,1\n", *CE), "no column looks like predictions (seen: image, x)"),
        (
            lambda: predictions("image,prob_a,prob_b\n000.png,0.5,0.2\n", *CE),
            "p.csv row 1 (000.png): probabilities sum to 0.7",
        ),
        (
            lambda: predictions("image,prob_a,prob_b\n000.png,0.5,0.5\n", *CE),
            "p.csv row 1 (000.png): unknown class 'fancy'; known are a, b",
        ),
        (
            lambda: predictions("image,prob_0,prob_1,label\n000.png,0.5,0.5,2\n", *CE),
            "label 2 lies outside the 2 classes",
        ),
        (
            lambda: predictions("image,score_a,score_b,label\n000.png,1,2,a\n", *CE),
            "are the scores probabilities or logits",
        ),
        (lambda: predictions("image,prob_a,prob_b\nzebra,0.5,0.5\n", *CE), "1 of 1 keys match no image"),
        (
            lambda: predictions("image,prob_a,prob_b\n000.png,0.5,0.5\n000.png,0.5,0.5\n", *CE),
            "has a loss already in row 1",
        ),
        (lambda: predictions("image,prob_a,prob_b\n000.png,x,0.5\n", *CE), "p.csv, column 'prob_a'"),
        (
            lambda: predictions('image,probs\n000.png,"[0.5, oops]"\n', *CE),
            "row 1, column 'probs': '[0.5, oops]' is no list",
        ),
        (
            lambda: predictions("image,prob_a,prob_b\n000.png,0.5,0.5\n", *CE, "--target", "species"),
            "no column 'species' to judge by; the images have: label, year",
        ),
        (lambda: add("--black-box", "gone.onnx", *CE), "no such model: gone.onnx"),
        (lambda: add("--black-box", "model.bin", *CE), "black box 'model.bin': use a model file"),
        (lambda: add("--black-box", "nowhere:f", *CE), "importing nowhere raised ModuleNotFoundError"),
        (lambda: add("--black-box", "timm:resnet18", *CE), "timm:resnet18 needs its weights: --weights FILE"),
        (lambda: add("--black-box", "http://127.0.0.1:9/x", *CE), "give the model's own address"),
        (lambda: add("--black-box", "math:sqrt", "--task", "embedding-reciprocal-rank"), "compares all images at once"),
        (lambda: add("--black-box", "math:sqrt", "--task", "lrp"), "needs the true objects: --target COCO-FILE.json"),
        (lambda: add("--black-box", "math:sqrt", *CE, "--size", "big"), "--size big"),
        (lambda: add("--black-box", "math:sqrt", *CE, "--mean", "a"), "--mean a: write one number"),
    ],
)
def test_each_thing_wrong_is_one_line_and_changes_nothing(
    make: Callable[[], list[str]], message: str, ws: Workspace
) -> None:
    code, out, err = run(*make())
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert ws.sql("FROM losses").num_rows == 0


def test_models_that_do_not_fit_say_why(ws: Workspace, tmp_path: Path) -> None:
    net = onnx(tmp_path)
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    (tmp_path / "bad.pt2").write_bytes(b"no model")
    (tmp_path / "bad.pt").write_bytes(b"no model")
    checkpoint = tmp_path / "other.pt"
    torch.save({"state_dict": {"weight": torch.zeros(2)}}, checkpoint)
    torch.save({"state_dict": Path("x")}, tmp_path / "pickled.pt")
    cases: list[tuple[list[str | Path], str]] = [
        (["--black-box", tmp_path / "bad.onnx"], "is no ONNX model that can be run"),
        (["--black-box", tmp_path / "bad.pt2"], "bad.pt2 cannot be loaded"),
        (["--black-box", tmp_path / "bad.pt"], "bad.pt cannot be loaded"),
        (["--black-box", net, "--size", "32"], "the model takes 16x16 pixels, not 32x32"),
        (["--black-box", net, "--input-name", "x"], "has no input 'x'; it has: pixels"),
        (["--black-box", net, "--output-name", "x"], "has no output 'x'; it has: logits"),
        (["--black-box", net, "--mean", "1,2"], "2 values of mean for 3 channels"),
        (["--black-box", net, "--std", "0"], "std must be above 0"),
        (["--black-box", net, "--classes", "a,b,c"], "3 class names for predictions of 2 classes"),
        (["--black-box", "timm:resnet_nothing", "--weights", checkpoint], "timm knows no model 'resnet_nothing'"),
        (["--black-box", "timm:test_resnet", "--weights", checkpoint], "does not fit timm's test_resnet"),
        (
            ["--black-box", "timm:test_resnet", "--weights", tmp_path / "pickled.pt"],
            "holds no tensors by name; save its state_dict",
        ),
    ]
    for args, message in cases:
        code, _, err = run("losses", "add", "--model", "m", "--task", "cross-entropy", *args)
        assert code == 2, message
        assert message in err
        assert err.count("\n") == 1
    net.with_suffix(".yaml").write_text("sise: 16\n")
    assert "unknown 'sise'; known are" in run("losses", "add", "--model", "m", *CE, "--black-box", net)[2]
    net.with_suffix(".yaml").write_text("resize: warp\n")
    assert "'warp' is none of crop, squash, pad" in run("losses", "add", "--model", "m", *CE, "--black-box", net)[2]


def test_rows_of_pixels_feed_a_flat_model(tmp_path: Path) -> None:
    import warnings

    class Flat(torch.nn.Module):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return rows.mean(1, keepdim=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shapes = {"rows": {0: torch.export.Dim("batch")}}
        torch.onnx.export(
            Flat(),
            (torch.zeros(2, 64),),
            "flat.onnx",
            input_names=["rows"],
            dynamic_shapes=shapes,
            verbose=False,
            dynamo=True,
            external_data=False,
        )
    ws = fsearch.open(".fsearch")
    ws.index(fsearch.images([Image.new("L", (8, 8), 51 * i) for i in range(6)]))
    held = [Image.new("L", (8, 8), 51 * i) for i in range(6)]
    with pytest.raises(fsearch.BadInputError, match="rows of 64 values; give --size"):
        ws.losses.add("f", black_box="flat.onnx", task="loss", images=held)
    from fsearch.indexer.losses.blackbox.preprocess import InputOptions

    report = ws.losses.add("f", black_box="flat.onnx", task="loss", images=held, input=InputOptions(size=(8, 8)))
    assert "input 8x8 grey" in report.notes[0]
    assert "not said" in report.notes[0]
    losses = ws.sql("SELECT loss FROM losses ORDER BY image_id")["loss"].to_pylist()
    assert losses == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])


def test_an_arbitrary_column_of_embeddings_is_ranked(ws: Workspace) -> None:
    points = np.random.default_rng(0).normal(size=(COUNT, 8))
    pq.write_table(pa.table({"image": KEYS, "embedding": points.tolist()}), "e.parquet")
    code, _, err = run(*add("--predictions", "e.parquet", "--task", "embedding-reciprocal-rank"))
    assert (code, err) == (0, "")
    assert ws.sql("SELECT max(loss) AS m FROM losses")["m"][0].as_py() < 1


def test_tasks_are_listed() -> None:
    code, out, _ = run("losses", "tasks")
    assert code == 0
    assert "cross-entropy" in out
    assert "delta" in out


def test_masks_as_arrays_in_one_file(masked: Workspace) -> None:
    said = np.random.default_rng(0).integers(0, 2, (COUNT, 12, 12))
    np.savez("masks.npz", image=np.array(KEYS), masks=said, truth=said)
    code, _, err = run(*add("--predictions", "masks.npz", "--task", "mean-iou", "--target", "truth"))
    assert (code, err) == (0, "")
    assert masked.sql("SELECT max(loss) AS m FROM losses")["m"][0].as_py() == 0
    np.savez("masks.npz", image=np.array(KEYS), masks=said, truth=said[:, :5])
    assert (
        "the predicted mask is 12 x 12 pixels, the target 12 x 5"
        in run(*add("--predictions", "masks.npz", "--task", "mean-iou", "--target", "truth"))[2]
    )
    np.savez("masks.npz", image=np.array(KEYS), masks=said[:3])
    assert "24 names of images and 3 rows of 'masks'" in run(*add("--predictions", "masks.npz", "--task", "dice"))[2]


@pytest.mark.parametrize(
    ("shape", "inputs", "message"),
    [
        ((2, 4, 8, 8), 1, "4 channels; images have 1 or 3"),
        ((2, 3, 8), 1, "an image model takes 4 axes, batch first"),
        ((2, 3, 8, 8), 2, "has several inputs (a, b)"),
        ((2, 10), 1, "its input is rows of 10 values"),
    ],
)
def test_an_onnx_input_that_no_image_fits(shape: tuple[int, ...], inputs: int, message: str, ws: Workspace) -> None:
    from onnx import TensorProto, helper, save

    names = ["a", "b"][:inputs]
    nodes = [helper.make_node("ReduceMean", ["a"], ["y"], keepdims=1)]
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in names]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", ends, [out])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), "odd.onnx")
    code, _, err = run(*add("--black-box", "odd.onnx", "--task", "loss"))
    assert (code, err.count("\n")) == (2, 1)
    assert message in err
