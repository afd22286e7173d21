"""Models as training programs and exporters write them: checkpoints with more than tensors, and ONNX of every input."""

from __future__ import annotations

import argparse
import collections
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import timm
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageOps
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.blackbox.checkpoint import read_state
from fsearch.indexer.losses.blackbox.onnx import OnnxModel
from fsearch.indexer.losses.blackbox.onnx_files import external_files
from fsearch.indexer.losses.blackbox.preprocess import InputOptions, Preprocessing
from fsearch.indexer.losses.blackbox.timm_model import TimmModel

NAME = "test_resnet"
PHOTO = Image.linear_gradient("L").resize((120, 80)).convert("RGB")


class Settings:
    """A class that only the training program has."""

    def __init__(self) -> None:
        self.rate = 0.1


def weights(seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return timm.create_model(NAME, num_classes=2).state_dict()


def trained(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What timm's CheckpointSaver writes."""
    args = argparse.Namespace(model=NAME, lr=0.1, output=Path("out"))
    rest = {"epoch": 3, "arch": NAME, "optimizer": {}, "version": 2, "args": args, "metric": np.float64(71.0)}
    return rest | {"state_dict": state, "counts": collections.Counter(a=1), "settings": Settings()} | more


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}{k}": v for k, v in weights().items()}


CHECKPOINTS: dict[str, dict[str, Any]] = {
    "the state itself": weights(),
    "timm's train.py": trained(weights()),
    "compiled": {"state_dict": prefixed("_orig_mod.")},
    "in parallel": {"model": prefixed("module.")},
    "in parallel and compiled": {"state_dict": prefixed("module._orig_mod.")},
    "compiled and in parallel": {"state_dict": prefixed("_orig_mod.module.")},
    "Lightning, with a criterion": {"state_dict": prefixed("model.") | {"criterion.weight": torch.ones(2)}},
    "with an average of weights": trained(weights(7), state_dict_ema=weights()),
}


@pytest.mark.parametrize("form", CHECKPOINTS)
def test_checkpoints_of_every_form_are_the_same_model(form: str) -> None:
    torch.save(CHECKPOINTS[form], "model.pth.tar")
    torch.save(CHECKPOINTS["the state itself"], "plain.pt")
    found, plain = (TimmModel(NAME, Path(p), InputOptions()) for p in ("model.pth.tar", "plain.pt"))
    given = [found.prepare(PHOTO)]
    np.testing.assert_array_equal(found.predict(given), plain.predict(given))
    assert ("'state_dict_ema'" in found.note) == ("average" in form)


def test_an_older_file_with_settings_is_read_too() -> None:
    content = {"state_dict": weights(), "args": argparse.Namespace(lr=0.1)}
    torch.save(content, "old.pth", _use_new_zipfile_serialization=False)
    assert read_state(Path("old.pth"))[0].keys() == weights().keys()


class Runs:
    """A pickle that runs a command."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    "hostile",
    [
        Runs(os.system, "touch owned"),
        Runs(eval, "open('owned', 'w')"),
        Runs(Path("owned").touch),
        Runs(exec, "open('owned', 'w')"),
        Runs(__import__, "antigravity"),
    ],
    ids=["system", "eval", "method", "exec", "import"],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_nothing_that_a_checkpoint_names_is_run(hostile: Runs, zipped: bool) -> None:
    torch.save({"state_dict": weights(), "args": hostile}, "h.pth", _use_new_zipfile_serialization=zipped)
    try:
        state, _ = read_state(Path("h.pth"))
    except BadInputError as error:
        assert "holds more than tensors and is refused" in str(error)
    else:
        assert state.keys() == weights().keys()
    assert not Path("owned").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3}, "holds no tensors by name; save its state_dict"),
        ([torch.ones(2)], "holds no tensors by name"),
        ({"state_dict": {"other.weight": torch.ones(2)}}, "does not fit timm's test_resnet"),
    ],
)
def test_a_checkpoint_without_the_weights_is_one_line(content: Any, message: str) -> None:
    torch.save(content, "c.pt")
    with pytest.raises(BadInputError, match=message) as caught:
        TimmModel(NAME, Path("c.pt"), InputOptions())
    assert "\n" not in str(caught.value)


def test_timm_s_filter_and_crop_are_said_and_can_be_set() -> None:
    torch.save(weights(), "plain.pt")
    usual = TimmModel(NAME, Path("plain.pt"), InputOptions())
    config = timm.data.resolve_data_config({}, model=timm.create_model(NAME))
    said = (
        f"{config['input_size'][1]}x{config['input_size'][2]}, {config['interpolation']}, crop {config['crop_pct']:g}"
    )
    assert usual.note == f"input as timm configures {NAME}: {said}"
    other = TimmModel(NAME, Path("plain.pt"), InputOptions(interpolation="nearest", crop_pct=0.5))
    assert other.note.endswith("nearest, crop 0.5")
    assert usual.digest != other.digest
    assert not torch.equal(usual.prepare(PHOTO), other.prepare(PHOTO))


def graph(shape: list[Any], axes: list[int], kind: int = TensorProto.FLOAT, sign: int = 1) -> Any:
    """Two logits from the mean red and blue of an image."""
    table = sign * np.array([[9, -9], [0, 0], [-9, 9]], helper.tensor_dtype_to_np_dtype(kind))
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["m"], axes=axes, keepdims=0),
        helper.make_node("MatMul", ["m", "w"], ["logits"]),
    ]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("pixels", kind, shape)],
        [helper.make_tensor_value_info("logits", kind, [None, 2])],
        [numpy_helper.from_array(table, "w")],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return model


RED, BLUE = (Image.new("RGB", (40, 30), c) for c in ("red", "blue"))


@pytest.mark.parametrize(
    ("shape", "axes", "kind", "options"),
    [
        ([None, 3, 96, 96], [2, 3], TensorProto.FLOAT, {}),
        ([None, 96, 96, 3], [1, 2], TensorProto.FLOAT, {}),
        ([None, None, None, 3], [1, 2], TensorProto.FLOAT, {"size": (96, 96)}),  # as tf2onnx writes it
        ([None, 3, None, None], [2, 3], TensorProto.FLOAT, {"size": (96, 96)}),
        ([None, None, None, None], [2, 3], TensorProto.FLOAT, {"size": (96, 96)}),
        ([None, None, None, None], [1, 2], TensorProto.FLOAT, {"size": (96, 96), "layout": "nhwc"}),
        ([None, 3, 96, 96], [2, 3], TensorProto.FLOAT16, {}),
        ([None, None, None, 3], [1, 2], TensorProto.FLOAT16, {"size": (64, 48)}),
        ([None, 3, 96, 96], [2, 3], TensorProto.DOUBLE, {}),
        ([1, 3, 96, 96], [2, 3], TensorProto.FLOAT, {}),
    ],
)
def test_onnx_inputs_of_every_layout_and_float(shape: list[Any], axes: list[int], kind: int, options: Any) -> None:
    onnx.save(graph(shape, axes, kind), "m.onnx")
    model = OnnxModel(Path("m.onnx"), InputOptions(**options))
    for image, best in ((RED, 0), (BLUE, 1)):
        (logits,) = model.predict([model.prepare(image)])
        assert logits.dtype in (np.float32, np.float64)
        np.testing.assert_allclose(logits, [9, -9] if best == 0 else [-9, 9], atol=1e-2)


def external(folder: str, sign: int, **how: Any) -> Path:
    Path(folder).mkdir(exist_ok=True)
    path = Path(folder, "model.onnx")
    made = graph([None, 3, 96, 96], [2, 3], sign=sign)
    onnx.save_model(made, path, save_as_external_data=True, size_threshold=0, **how)
    return path


def test_weights_beside_a_graph_are_part_of_the_model() -> None:
    first = external("a", 1, location="model.onnx.data")
    assert external_files(first) == [Path("a/model.onnx.data")]
    before = OnnxModel(first, InputOptions())
    graph_bytes = first.read_bytes()
    external("b", -1, location="model.onnx.data")
    Path("a/model.onnx.data").write_bytes(Path("b/model.onnx.data").read_bytes())
    assert first.read_bytes() == graph_bytes
    after = OnnxModel(first, InputOptions())
    assert before.digest != after.digest
    assert after.digest == OnnxModel(Path("b/model.onnx"), InputOptions()).digest
    several = external("c", 1, all_tensors_to_one_file=False)
    assert [p.name for p in external_files(several)] == ["w"]
    onnx.save(graph([None, 3, 96, 96], [2, 3]), "whole.onnx")
    assert external_files(Path("whole.onnx")) == []


def test_weights_inside_branches_are_found_and_damage_is_no_error() -> None:
    table = numpy_helper.from_array(np.ones((4, 4), np.float32), "t")
    branch = helper.make_graph([], "then", [], [helper.make_tensor_value_info("t", TensorProto.FLOAT, [4, 4])], [table])
    node = helper.make_node("If", ["c"], ["out"], then_branch=branch, else_branch=branch)
    constant = helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(np.ones(9, np.float32), "k"))
    outer = helper.make_graph([node, constant], "g", [helper.make_tensor_value_info("c", TensorProto.BOOL, [])], [])
    made = helper.make_model(outer)
    onnx.external_data_helper.convert_model_to_external_data(
        made, all_tensors_to_one_file=False, size_threshold=0, convert_attribute=True
    )
    Path("n").mkdir()
    onnx.save_model(made, "n/m.onnx")
    found = external_files(Path("n/m.onnx"))
    assert found
    assert set(found) == {p for p in Path("n").iterdir() if p.name != "m.onnx"}
    data = Path("n/m.onnx").read_bytes()
    for cut in range(0, len(data), 7):
        Path("n/cut.onnx").write_bytes(data[:cut])
        assert set(external_files(Path("n/cut.onnx"))) <= set(found)
    Path("n/noise.onnx").write_bytes(bytes(range(256)) * 40)
    external_files(Path("n/noise.onnx"))


def test_external_data_outside_the_folder_are_not_read() -> None:
    Path("secret").write_bytes(b"x")
    path = external("a", 1, location="model.onnx.data")
    path.write_bytes(path.read_bytes().replace(b"model.onnx.data", b"../secret\0\0\0\0\0\0"))
    assert external_files(path) == []


def test_crop_and_filter_are_torchvision_s() -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    for size, share in ((64, 0.875), (50, 0.95), (33, 0.5)):
        ours = Preprocessing((size, size), 3, (0.0,), (1.0,), interpolation="bicubic", crop_pct=share)
        theirs = transforms.Compose(
            [
                transforms.Resize(int(size / share), transforms.InterpolationMode.BICUBIC),
                transforms.CenterCrop(size),
                transforms.ToTensor(),
            ]
        )
        np.testing.assert_allclose(ours.tensor(PHOTO), theirs(PHOTO).numpy(), atol=1e-6)
    squash = Preprocessing((32, 32), 3, (0.0,), (1.0,), resize="squash", interpolation="nearest")
    expected = np.asarray(PHOTO.resize((32, 32), Image.Resampling.NEAREST), np.float32).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(squash.tensor(PHOTO), expected, atol=1e-6)
    usual = Preprocessing((32, 32), 3, (0.0,), (1.0,))
    expected = np.asarray(ImageOps.fit(PHOTO, (32, 32), Image.Resampling.BILINEAR), np.float32).transpose(2, 0, 1) / 255
    np.testing.assert_allclose(usual.tensor(PHOTO), expected, atol=1e-6)
    assert str(usual) == (
        "input 32x32 RGB, resized by crop, bilinear, mean 0, std 1 (not said: values 0 to 1 as they are)"
    )
    assert usual.digest("x") == Preprocessing((32, 32), 3, (0.0,), (1.0,), interpolation="bilinear").digest("x")
    assert usual.digest("x") != squash.digest("x")


def test_the_command_line_sets_and_records_how_images_go_in() -> None:
    Path("photos").mkdir()
    for i, image in enumerate((RED, BLUE)):
        image.save(f"photos/{i}.png")
    Path("m.csv").write_text("path,label\nphotos/0.png,0\nphotos/1.png,1\n")
    onnx.save(graph([None, None, None, None], [1, 2]), "m.onnx")
    how = ["--size", "32", "--layout", "nhwc", "--resize", "squash", "--interpolation", "box"]
    assert CliRunner().invoke(app, ["index", "m.csv"]).exit_code == 0
    add = ["losses", "add", "--model", "m", "--black-box", "m.onnx", "--task", "cross-entropy", *how]
    result = CliRunner().invoke(app, add)
    assert result.exit_code == 0, result.output
    note = "input 32x32 RGB, resized by squash, box, mean 0, std 1 (not said: values 0 to 1 as they are)"
    assert note in result.output
    ws = fsearch.open(".fsearch")
    assert ws.losses.list()["origin"].to_pylist() == [f"m.onnx; {note}"]
    assert max(ws.sql("SELECT loss FROM losses")["loss"].to_pylist()) < 1e-6
    result = CliRunner().invoke(app, [*add, "--crop-pct", "2"])
    assert "crop_pct is a share, above 0 and at most 1" in result.output
