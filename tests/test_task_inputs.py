"""What does not fit a task is one clear line: what, where, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.functions.base import Outcomes, Settings
from fsearch.indexer.losses.functions.registry import find_task
from fsearch.indexer.losses.loss_spec import read_classes, read_params

BOX = {"category_id": 1, "bbox": [1, 1, 5, 5], "score": 0.9}


def judge(task: str, predictions: Any, targets: Any, **settings: Any) -> Outcomes:
    names = [f"p.csv row {i}" for i in range(1, len(targets) + 1)]
    return find_task(task, settings.get("params", {})).outcomes(predictions, targets, names, Settings(**settings))


def probabilities(*rows: list[float]) -> dict[str, Any]:
    return {"predictions": list(rows), "scores": "probabilities"}


@pytest.mark.parametrize(
    ("task", "predictions", "targets", "settings", "message"),
    [
        ("cross-entropy", [[0.2, 0.8]], [1], {}, "are the scores probabilities or logits"),
        (
            "cross-entropy",
            [[0.2, 0.8], [0.5, 0.4]],
            [1, 0],
            {"scores": "probabilities"},
            "p.csv row 2: probabilities sum to 0.9000, off by 0.1000",
        ),
        (
            "brier",
            [[1.7, -0.7]],
            [1],
            {"scores": "probabilities"},
            "p.csv row 1: -0.7 is no probability; if these are logits",
        ),
        ("cross-entropy", [[1, 2], [1, 2, 3]], [0, 0], {"scores": "logits"}, "row 2: a prediction of 3 values where 2"),
        ("cross-entropy", [[1, 2]], [2], {"scores": "logits"}, "row 1: label 2 lies outside the 2 classes (0 to 1)"),
        ("cross-entropy", [[1, 2]], [-1], {"scores": "logits"}, "label -1 lies outside"),
        ("cross-entropy", [[1, 2]], ["cat"], {"scores": "logits"}, "row 1: unknown class 'cat'; give the names"),
        (
            "cross-entropy",
            [[1, 2]],
            ["cow"],
            {"scores": "logits", "classes": ("cat", "dog")},
            "row 1: unknown class 'cow'; known are cat, dog",
        ),
        (
            "margin",
            [[1, 2, 3]],
            ["cat"],
            {"scores": "logits", "classes": ("cat", "dog")},
            "2 class names for predictions of 3 classes",
        ),
        ("cross-entropy", [[1]], [0], {"scores": "logits"}, "at least 2 are needed"),
        ("cross-entropy", [["a", "b"]], [0], {"scores": "logits"}, "predictions must be numbers"),
        ("binary-cross-entropy", [[0.2, 1.8]], [[0, 1]], {"scores": "probabilities"}, "row 1: 1.8 is no probability"),
        (
            "binary-cross-entropy",
            [[1, 2]],
            [[0, 1, 1]],
            {"scores": "logits"},
            "labels must be class names, or 2",
        ),
        ("squared-error", [[1, 2]], [[1]], {}, "row 1: a prediction of 1 values where 2 are expected"),
        (
            "mean-iou",
            [np.zeros((4, 5), int)],
            [np.zeros((4, 4), int)],
            {},
            "mask is 5 x 4 pixels, the target 4 x 4",
        ),
        ("mean-iou", [np.zeros((2, 4, 5), int)], [np.zeros((4, 4), int)], {}, "needs one class number a pixel"),
        (
            "pixel-cross-entropy",
            [np.zeros((2, 3, 3))],
            [np.full((3, 3), 7)],
            {"scores": "logits"},
            "the target has class 7; the prediction has 2 classes",
        ),
        ("lrp", [[BOX | {"bbox": [1, 1, -5, 5]}]], [(9, 9, [])], {}, "box 1: a side is negative (-5 x 5)"),
        ("lrp", [[BOX | {"bbox": [1, 1, 5]}]], [(9, 9, [])], {}, "'bbox' must be four numbers"),
        ("lrp", [[]], [(9, 9, [{"bbox": [1, 1, 5, 5]}])], {}, "ground truth: a box needs a numeric 'category_id'"),
        ("loss", [[1, 2]], [None], {}, "a prediction of 2 values where 1 are expected"),
    ],
)
def test_one_line(task: str, predictions: Any, targets: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError) as caught:
        judge(task, predictions, targets, **settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("task", "params", "message"),
    [
        ("crossentropy", {}, "unknown task 'crossentropy'; use one of: cross-entropy"),
        ("brier", {"k": 3}, "task brier has no setting 'k'; it has none"),
        ("huber", {"k": 3}, "it has: delta"),
        ("quantile", {"q": 1.5}, "q = 1.5 lies outside 0 to 1"),
        ("lrp", {"iou": 1}, "iou = 1 lies outside"),
        ("nowhere:loss", {}, "importing nowhere raised ModuleNotFoundError"),
        ("math:pie", {}, "there is no 'pie' in math"),
        ("math:pi", {}, "cannot be called"),
    ],
)
def test_wrong_task_or_setting(task: str, params: dict[str, float], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        find_task(task, params)


def test_a_function_of_the_users_must_give_one_number_an_image(tmp_path: Path) -> None:
    Path("wrong_shape.py").write_text(
        "def few(p, t): return [1.0]\ndef words(p, t): return ['a', 'b']\ndef square(p, t): return [[1, 2], [3, 4]]\n"
    )
    for name, message in (
        ("few", r"shape \(1,\) for 2 images; it must be \(2,\)"),
        ("words", "gave no numbers"),
        ("square", r"shape \(2, 2\)"),
    ):
        with pytest.raises(BadInputError, match=message):
            judge(f"wrong_shape:{name}", [1, 2], [1, 2])


def test_what_is_missing_costs_one_image_only() -> None:
    found = judge("cross-entropy", [[1, 2], None, [np.nan, 1]], [0, 1, None], scores="logits")
    assert found.reasons == [None, *["the prediction is missing or not finite"] * 2]
    found = judge("squared-error", [1.0, 2.0], [1.0, None])
    assert found.reasons == [None, "the target is missing or not finite"]
    assert np.isnan(found.losses[1])


def test_masks_from_files(tmp_path: Path) -> None:
    right = np.random.default_rng(0).integers(0, 3, (9, 7)).astype(np.uint8)
    Image.fromarray(right).save("a.png")
    np.save("a.npy", right)
    Image.fromarray(np.zeros((9, 7, 3), np.uint8)).save("rgb.png")
    Path("bad.png").write_bytes(b"no image")
    assert judge("mean-iou", ["a.npy"], ["a.png"]).losses[0] == 0
    assert judge("mean-iou", ["gone.png"], ["a.png"]).reasons[0] == (
        "the prediction mask cannot be read: No such file or directory"
    )
    assert "cannot be read" in str(judge("mean-iou", ["bad.png"], ["a.png"]).reasons[0])
    with pytest.raises(BadInputError, match="this image is RGB"):
        judge("mean-iou", ["rgb.png"], ["a.png"])
    with pytest.raises(BadInputError, match="lies outside"):
        judge("mean-iou", ["../a.png"], ["a.png"])


def test_classes_and_settings_from_the_command_line() -> None:
    Path("names.txt").write_text("cat\ndog\n\n")
    assert read_classes("names.txt") == ("cat", "dog") == read_classes("cat, dog")
    for text, message in (("cat", "at least two"), ("cat,cat", "each once"), ("gone.txt", "no such file")):
        with pytest.raises(BadInputError, match=message):
            read_classes(text)
    assert read_params(["k=3", "iou = 0.6"]) == {"k": 3, "iou": 0.6}
    with pytest.raises(BadInputError, match="write NAME=NUMBER"):
        read_params(["k"])
