"""Every task's formula against an independent implementation: torch, scikit-learn, pycocotools, or by hand."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fsearch.indexer.losses.functions.base import Outcomes, Settings
from fsearch.indexer.losses.functions.detection import match, read_boxes
from fsearch.indexer.losses.functions.registry import TASKS, find_task

N, C = 60, 5


def outcomes(task: str, predictions: Any, targets: Any, **settings: Any) -> Outcomes:
    names = [f"row {i}" for i in range(1, len(targets) + 1)]
    found = find_task(task, settings.get("params", {}))
    return found.outcomes(predictions, targets, names, Settings(**settings))


def losses(task: str, predictions: Any, targets: Any, **settings: Any) -> np.ndarray:
    found = outcomes(task, predictions, targets, **settings)
    assert found.reasons == [None] * len(targets)
    return found.losses


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.fixture
def logits(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 3, (N, C))


@pytest.fixture
def labels(rng: np.random.Generator) -> list[int]:
    return rng.integers(0, C, N).tolist()


def softmax(logits: np.ndarray) -> np.ndarray:
    return torch.softmax(torch.from_numpy(logits), 1).numpy()


def test_every_task_is_checked_here() -> None:
    text = Path(__file__).read_text()
    for name in TASKS:
        assert f'"{name}"' in text, f"{name} has no test"


def test_every_task_says_formula_range_and_source() -> None:
    for task in TASKS.values():
        page = task.formula.__doc__ or ""
        assert task.about, task.name
        if task.name != "loss":
            assert "Source:" in page, task.name
            assert re.search(r"[Ff]rom 0|0 where|else 0", page), f"{task.name}: no range"


def test_cross_entropy_is_torchs(logits: np.ndarray, labels: list[int]) -> None:
    expected = torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.tensor(labels), reduction="none")
    np.testing.assert_allclose(losses("cross-entropy", logits, labels, scores="logits"), expected)
    np.testing.assert_allclose(losses("cross-entropy", softmax(logits), labels, scores="probabilities"), expected)


def test_a_probability_of_zero_costs_what_sklearn_says() -> None:
    p = np.array([[0.0, 1.0], [1.0, 0.0]])
    ours = losses("cross-entropy", p, [0, 0], scores="probabilities")
    assert ours.mean() == pytest.approx(sklearn.metrics.log_loss([0, 0], p, labels=[0, 1]))
    assert losses("cross-entropy", np.array([[-1e4, 1e4]]), [0], scores="logits") == pytest.approx([2e4])


def test_brier_is_the_mean_of_sklearns_over_classes(logits: np.ndarray, labels: list[int]) -> None:
    p = softmax(logits)
    per_class = [sklearn.metrics.brier_score_loss(np.array(labels) == c, p[:, c]) for c in range(C)]
    ours = losses("brier", p, labels, scores="probabilities")
    assert ours.mean() == pytest.approx(sum(per_class))
    assert ((ours >= 0) & (ours <= 2)).all()


def test_margin_is_sklearns_hinge(logits: np.ndarray, labels: list[int]) -> None:
    ours = losses("margin", logits, labels, scores="logits")
    assert ours.mean() == pytest.approx(sklearn.metrics.hinge_loss(labels, logits, labels=range(C)))


@pytest.mark.parametrize("k", [1, 2, 4])
def test_top_k_error_is_sklearns(logits: np.ndarray, labels: list[int], k: int) -> None:
    ours = losses("top-k-error", logits, labels, scores="logits", params={"k": k})
    assert 1 - ours.mean() == pytest.approx(sklearn.metrics.top_k_accuracy_score(labels, logits, k=k, labels=range(C)))


def test_zero_one_is_sklearns_from_labels_or_scores(logits: np.ndarray, labels: list[int]) -> None:
    said = logits.argmax(1).tolist()
    expected = sklearn.metrics.zero_one_loss(labels, said)
    assert losses("zero-one", said, labels).mean() == pytest.approx(expected)
    assert losses("zero-one", logits, labels).mean() == pytest.approx(expected)
    assert losses("zero-one", ["cat", "dog"], ["cat", "cat"]).tolist() == [0, 1]
    assert losses("zero-one", [1, 0], ["dog", "dog"], classes=("cat", "dog")).tolist() == [0, 1]


def test_ranked_probability_by_its_definition(logits: np.ndarray, labels: list[int]) -> None:
    p = softmax(logits)
    for i, loss in enumerate(losses("ranked-probability", p, labels, scores="probabilities")):
        by_hand = sum((p[i, : k + 1].sum() - (labels[i] <= k)) ** 2 for k in range(C - 1)) / (C - 1)
        assert loss == pytest.approx(by_hand)
    sure = np.eye(C)[[0, 0, 0]]
    assert losses("ranked-probability", sure, [0, 1, 4], scores="probabilities").tolist() == [0, 0.25, 1]


def test_reciprocal_rank_is_sklearns_label_ranking_precision(logits: np.ndarray, labels: list[int]) -> None:
    truth = np.eye(C)[labels]
    expected = sklearn.metrics.label_ranking_average_precision_score(truth, logits)
    assert 1 - losses("reciprocal-rank", logits, labels, scores="logits").mean() == pytest.approx(expected)


def test_embedding_reciprocal_rank_by_brute_force(rng: np.random.Generator) -> None:
    points, names = rng.normal(size=(40, 6)), [f"c{i % 7}" for i in range(39)] + ["alone"]
    found = outcomes("embedding-reciprocal-rank", points, names)
    assert found.reasons[-1] == "no other image has its label"
    cosines = sklearn.metrics.pairwise.cosine_similarity(points)
    for i in range(39):
        order = [j for j in np.argsort(-cosines[i]) if j != i]
        rank = 1 + next(r for r, j in enumerate(order) if names[j] == names[i])
        assert found.losses[i] == pytest.approx(1 - 1 / rank)


def test_binary_cross_entropy_is_torchs(rng: np.random.Generator, logits: np.ndarray) -> None:
    truth = rng.integers(0, 2, (N, C))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.from_numpy(logits), torch.from_numpy(truth).double(), reduction="none"
    ).mean(1)
    ours = losses("binary-cross-entropy", logits, truth.tolist(), scores="logits")
    np.testing.assert_allclose(ours, expected)
    p = torch.sigmoid(torch.from_numpy(logits)).numpy()
    np.testing.assert_allclose(losses("binary-cross-entropy", p, truth.tolist(), scores="probabilities"), expected)
    names = ("a", "b", "c", "d", "e")
    listed = [[n for n, t in zip(names, row, strict=True) if t] for row in truth]
    named = outcomes("binary-cross-entropy", logits, [row or [0] * C for row in listed], scores="logits", classes=names)
    np.testing.assert_allclose(named.losses, expected)


@pytest.mark.parametrize(
    ("task", "params", "reference"),
    [
        ("squared-error", {}, torch.nn.MSELoss(reduction="none")),
        ("absolute-error", {}, torch.nn.L1Loss(reduction="none")),
        ("huber", {"delta": 0.7}, torch.nn.HuberLoss(reduction="none", delta=0.7)),
    ],
)
def test_regression_losses_are_torchs(rng: np.random.Generator, task: str, params: dict, reference: Any) -> None:
    said, right = rng.normal(size=(N, 3)), rng.normal(size=(N, 3))
    expected = reference(torch.from_numpy(said), torch.from_numpy(right)).mean(1)
    np.testing.assert_allclose(losses(task, said, right.tolist(), params=params), expected)
    one = losses(task, said[:, 0].tolist(), right[:, 0].tolist(), params=params)
    np.testing.assert_allclose(one, reference(torch.from_numpy(said[:, 0]), torch.from_numpy(right[:, 0])))


def test_quantile_is_sklearns_pinball(rng: np.random.Generator) -> None:
    said, right = rng.normal(size=N), rng.normal(size=N)
    for q in (0.1, 0.5, 0.9):
        ours = losses("quantile", said, right.tolist(), params={"q": q})
        assert ours.mean() == pytest.approx(sklearn.metrics.mean_pinball_loss(right, said, alpha=q))


@given(st.floats(-300, 300))
def test_log_cosh_is_what_it_says(error: float) -> None:
    assert losses("log-cosh", [error], [0.0])[0] == pytest.approx(float(np.log(np.cosh(error))), abs=1e-12)


def test_log_cosh_of_a_huge_error_is_finite() -> None:
    assert losses("log-cosh", [1e6], [0.0])[0] == pytest.approx(1e6 - np.log(2))


@given(st.integers(0, 10_000))
def test_mean_iou_and_dice_are_sklearns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    said, right = rng.integers(0, 4, (2, 6, 7))
    right = np.where(rng.random(right.shape) < 0.2, 255, right)
    counted = right != 255
    if not counted.any():
        return
    iou = sklearn.metrics.jaccard_score(right[counted], said[counted], average="macro")
    dice = sklearn.metrics.f1_score(right[counted], said[counted], average="macro")
    assert losses("mean-iou", [said], [right])[0] == pytest.approx(1 - iou)
    assert losses("dice", [said], [right])[0] == pytest.approx(1 - dice)


def test_pixel_cross_entropy_is_torchs(rng: np.random.Generator) -> None:
    logits, right = rng.normal(size=(3, 8, 9)), rng.integers(0, 3, (8, 9))
    right[0, :4] = 255
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits)[None], torch.from_numpy(right)[None], ignore_index=255
    )
    assert losses("pixel-cross-entropy", [logits], [right], scores="logits")[0] == pytest.approx(expected)
    p = torch.softmax(torch.from_numpy(logits), 0).numpy()
    assert losses("pixel-cross-entropy", [p], [right], scores="probabilities")[0] == pytest.approx(expected)


def test_a_mask_that_is_all_ignored_has_no_loss() -> None:
    found = outcomes("mean-iou", [np.zeros((4, 4), int)], [np.full((4, 4), 255)])
    assert found.reasons == ["no pixel of the target counts"]


def scene(seed: int) -> tuple[list[dict], list[dict]]:
    """Random objects, and detections near some of them, of two categories; a crowd at times."""
    rng = np.random.default_rng(seed)
    objects: list[dict] = []
    for i in range(rng.integers(0, 6)):
        x, y, w, h = rng.uniform([0, 0, 8, 8], [60, 60, 40, 40])
        objects.append(
            {
                "id": i + 1,
                "image_id": 1,
                "category_id": int(rng.integers(1, 3)),
                "bbox": [x, y, w, h],
                "area": w * h,
                "iscrowd": int(rng.random() < 0.15),
            }
        )
    found = []
    for o in objects:
        for _ in range(rng.integers(0, 3)):
            box = (np.array(o["bbox"]) + rng.normal(0, 2.5, 4)).clip(0.5)
            category = o["category_id"] if rng.random() < 0.9 else 3 - o["category_id"]
            found.append({"image_id": 1, "category_id": category, "bbox": box.tolist(), "score": float(rng.random())})
    for _ in range(rng.integers(0, 3)):
        box = rng.uniform([0, 0, 8, 8], [60, 60, 40, 40]).tolist()
        found.append({"image_id": 1, "category_id": int(rng.integers(1, 3)), "bbox": box, "score": float(rng.random())})
    return objects, found


def cocos_counts(objects: list[dict], found: list[dict], iou: float) -> tuple[int, int, int]:
    """True positives, false positives and false negatives as pycocotools matches them."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": 1}],
            "categories": [{"id": 1}, {"id": 2}],
            "annotations": objects,
            "info": {},
        }
        truth.createIndex()
        evaluated = COCOeval(truth, truth.loadRes(found) if found else COCO(), "bbox")
        evaluated.params.iouThrs = np.array([iou])
        evaluated.params.areaRng, evaluated.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluated.evaluate()
    tp = fp = fn = 0
    for image in evaluated.evalImgs:
        if image is None:
            continue
        hit, ignored = image["dtMatches"][0] > 0, image["dtIgnore"][0].astype(bool)
        tp += int((hit & ~ignored).sum())
        fp += int((~hit & ~ignored).sum())
        fn += int((~np.array(image["gtIgnore"], bool)).sum()) - int((hit & ~ignored).sum())
    return tp, fp, fn


@given(st.integers(0, 100_000))
def test_detections_are_matched_as_pycocotools_does(seed: int) -> None:
    objects, found = scene(seed)
    ours = match(read_boxes(found, "d", None), read_boxes(objects, "t", None), 0.5, 0.0)
    tp, fp, fn = cocos_counts(objects, found, 0.5)
    assert (len(ours.ious), ours.false_positives, ours.false_negatives) == (tp, fp, fn)
    f1 = losses("detection-f1", [found], [(200, 200, objects)], params={"score": 0})
    assert f1[0] == pytest.approx(1 - 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0)


def test_lrp_by_hand() -> None:
    there = [{"category_id": 1, "bbox": [0, 0, 10, 10]}, {"category_id": 1, "bbox": [50, 50, 10, 10]}]
    found = [
        {"category_id": 1, "bbox": [0, 0, 10, 8], "score": 0.9},  # IoU 0.8: a true positive
        {"category_id": 1, "bbox": [80, 80, 5, 5], "score": 0.8},  # nothing there
        {"category_id": 1, "bbox": [50, 50, 10, 10], "score": 0.3},  # below the score that counts
    ]
    expected = ((1 - 0.8) / 0.5 + 1 + 1) / 3
    assert losses("lrp", [found], [(100, 100, there)])[0] == pytest.approx(expected)
    assert losses("detection-f1", [found], [(100, 100, there)])[0] == pytest.approx(1 - 2 / 4)


def test_images_without_objects_are_as_defined() -> None:
    box = {"category_id": 1, "bbox": [0, 0, 10, 10], "score": 0.9}
    for task in ("detection-f1", "lrp"):
        assert losses(task, [[], [box], []], [(50, 50, []), (50, 50, []), (50, 50, [box])]).tolist() == [0, 1, 1]


def test_the_loss_itself_and_a_function_of_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    assert losses("loss", [0.5, 2], [None, None]).tolist() == [0.5, 2]
    (tmp_path / "mine.py").write_text("def twice(predictions, targets):\n    return [2 * p for p in predictions]\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert losses("mine:twice", [1.0, 3.0], ["a", "b"]).tolist() == [2, 6]


@given(st.lists(st.lists(st.floats(-50, 50), min_size=3, max_size=3), min_size=1, max_size=8), st.data())
def test_no_classification_loss_is_ever_negative_or_infinite(rows: list[list[float]], data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows)))
    for task in ("cross-entropy", "brier", "margin", "top-k-error", "ranked-probability", "reciprocal-rank"):
        found = losses(task, rows, labels, scores="logits")
        assert (np.isfinite(found) & (found >= 0)).all()
