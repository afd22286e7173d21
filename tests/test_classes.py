"""Labels against the class they name: by name where there are names, by place only where nothing else can be meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.classes import FROM_COLUMNS, Classes, of_columns, read_labels
from fsearch.indexer.losses.functions.base import Outcomes, Settings
from fsearch.indexer.losses.functions.registry import find_task
from fsearch.indexer.losses.loss_spec import read_classes
from fsearch.indexer.losses.sanity import suspect
from fsearch.indexer.storage.column_types import listed

HERE = Path("p.csv")


def read(labels: list[Any], names: str = "", count: int = 0, **known: Any) -> Any:
    columns = tuple(names.split()) if names else ()
    classes = Classes(columns, known.pop("origin", FROM_COLUMNS), **known)
    return read_labels(labels, classes, count or len(columns), [f"row {i}" for i in range(1, len(labels) + 1)])


@pytest.mark.parametrize(
    ("labels", "names", "wanted"),
    [
        (["false", "true"], "true false", [1, 0]),
        ([False, True], "true false", [1, 0]),
        (["TRUE", "FALSE"], "true false", [0, 1]),
        ([1, 0], "true false", [0, 1]),
        (["False", "True"], "0 1", [0, 1]),
        (["False", "True"], "1 0", [1, 0]),
        (["1", "2", "3"], "1 2 3", [0, 1, 2]),
        (["1", "2"], "1 2 3", [0, 1]),  # the last class has no image
        ([2.0, 1.0, None], "1 2 3", [1, 0, -1]),
        (["2.0", "1.0", ""], "1 2 3", [1, 0, -1]),
        (["01", "02"], "1 2 3", [0, 1]),
        (["0001", "0002"], "0001 0002", [0, 1]),
        (["2", "5", "0"], "0 2 5", [1, 2, 0]),
        (["7", "5"], "0 5 7", [2, 1]),  # 7 counts no three columns
        (["dog", "cat"], "dog cat", [0, 1]),
        (["Dog", "CAT"], "dog cat", [0, 1]),
        (["0", "1"], "cat dog", [0, 1]),  # sorted, as every encoder of labels sorts
        (["0", "1"], "LABEL_1 LABEL_0", [1, 0]),
        (["nan", "cat"], "dog cat", [-1, 1]),
        (["None", "cat"], "None cat", [0, 1]),
        (["NA", "1"], "0 1", [-1, 1]),
    ],
)
def test_labels_are_names(labels: list[Any], names: str, wanted: list[int]) -> None:
    assert read(labels, names).numbers.tolist() == wanted


@pytest.mark.parametrize(
    ("labels", "names", "message"),
    [
        (["0", "1", "2"], "1 2 3", r"row 1: label 0 lies outside the 3 classes \(1 to 3\).*--index-base 0"),
        (["1", "3"], "0 1 2", r"row 2: label 3 lies outside the 3 classes \(0 to 2\).*--index-base 1"),
        (["0", "1", "2"], "0 2 5", r"row 2: label 1 lies outside the 3 classes \(0, 2, 5\)"),
        (["0", "2"], "0 2 5", "the columns' numbers skip.*--classes 0,2,5"),
        (["0", "1"], "dog cat", "row 1: label 0 is no name of a class .*--index-base 0, or 1"),
        (["1", "2"], "cat dog", "row 2: label 2 is no name|row 1: label 1 is no name"),
        (["cat", "cow"], "cat dog", "row 2: unknown class 'cow'; known are cat, dog"),
        (["cat", "1"], "cat dog", "row 2: label 1 is no name of a class"),
        (["yes", "no"], "0 1", "row 1: unknown class 'yes'"),
    ],
)
def test_what_may_be_read_in_two_ways_is_asked_for(labels: list[Any], names: str, message: str) -> None:
    with pytest.raises(BadInputError, match=message) as caught:
        read(labels, names)
    assert "\n" not in str(caught.value)


def test_outputs_without_names_are_counted() -> None:
    found = read([0, 1, 2], count=3)
    assert (found.numbers.tolist(), found.certain) == ([0, 1, 2], True)
    assert read([1, 2], count=3).certain is False  # from 1, or from 0 and none of the first class
    assert read([1, 2, 3], count=3, index_base=1).numbers.tolist() == [0, 1, 2]
    assert read(["1", "2"], "1 2 3", index_base=0).numbers.tolist() == [1, 2]
    assert read([True, False], count=2).numbers.tolist() == [1, 0]
    with pytest.raises(BadInputError, match=r"label 3 lies outside the 3 classes.*say --index-base 1"):
        read([1, 2, 3], count=3)
    with pytest.raises(BadInputError, match="label 3 does not count 3 classes from 0"):
        read([1, 2, 3], count=3, index_base=0)
    folders = read(["dog", "cat"], count=3, folders=("cat", "cow", "dog"))
    assert folders.numbers.tolist() == [2, 0]
    assert str(folders.classes) == "cat, cow, dog, from the folders' names, in torchvision's order"
    batch = read([1, 1], count=3, vocabulary=frozenset({"0", "1", "2"}))
    assert batch.certain


def test_given_names_and_names_of_columns_agree_or_are_refused() -> None:
    assert of_columns(["cat", "dog"], ["dog", "cat"], HERE)[0] == ("dog", "cat")  # whatever the order
    assert of_columns(["1", "2", "3"], ["1", "2", "3"], HERE)[0] == ("1", "2", "3")
    assert of_columns(["cat", "dog"], ["1", "0"], HERE)[0] == ("dog", "cat")
    assert of_columns(["cat", "dog"], ["1", "2"], HERE)[0] == ("cat", "dog")
    assert of_columns(["a", "b", "c"], ["0", "2"], HERE)[0] == ("a", "c")
    with pytest.raises(BadInputError, match="skip, so 3 --classes do not fit"):
        of_columns(["a", "b", "c"], ["0", "2", "5"], HERE)
    with pytest.raises(BadInputError, match="the columns are called dog, cow, but --classes dog, cat"):
        of_columns(["dog", "cat"], ["dog", "cow"], HERE)


def judge(task: str, predictions: Any, targets: Any, **settings: Any) -> Outcomes:
    names = [f"p.csv row {i}" for i in range(1, len(targets) + 1)]
    return find_task(task, {}).outcomes(predictions, targets, names, Settings(**settings))


def test_predicted_labels_and_argmax_are_compared_as_names() -> None:
    scores = [[0.98, 0.01, 0.01], [0.01, 0.98, 0.01]]
    found = judge("zero-one", scores, ["1", "2"], classes=Classes(("1", "2", "3"), FROM_COLUMNS))
    assert found.losses.tolist() == [0, 0]
    assert found.predictions == ["1", "2"]
    assert judge("zero-one", ["1.0", "2"], [1, 3]).losses.tolist() == [0, 1]
    assert judge("zero-one", ["True", "False"], ["true", "true"]).losses.tolist() == [0, 1]
    assert judge("zero-one", [0, 1, 1], ["cat", "dog", "cat"], classes=("cat", "dog")).losses.tolist() == [0, 0, 1]
    with pytest.raises(BadInputError, match="no prediction is one of the labels: predicted are 0, 1, labels cat, dog"):
        judge("zero-one", [0, 1], ["cat", "dog"])
    with pytest.raises(BadInputError, match="label 0 lies outside the 3 classes"):
        judge("zero-one", ["0", "2"], ["1", "3"], classes=("1", "2", "3"))


def test_one_probability_with_one_label() -> None:
    one = {"predictions": [[0.8], [0.3]], "scores": "probabilities"}
    wanted = -np.log([0.8, 0.7])
    for targets in ([1, 0], ["1", "0"], [True, False], ["true", "False"], [1.0, 0.0], ["1.0", "0.0"], [[1], [0]]):
        np.testing.assert_allclose(judge("binary-cross-entropy", targets=targets, **one).losses, wanted)
    named = judge("binary-cross-entropy", targets=["spam", "ham"], classes=("ham", "spam"), **one)
    np.testing.assert_allclose(named.losses, wanted)
    assert named.labels == ["spam", "ham"]
    for targets, message in ((["spam", "ham"], r"neither 0 nor 1.*--classes NO,YES"), ([1, 2], "neither 0 nor 1")):
        with pytest.raises(BadInputError, match=message):
            judge("binary-cross-entropy", targets=targets, **one)
    with pytest.raises(BadInputError, match="give a list, or for one label an image: --task cross-entropy"):
        judge("binary-cross-entropy", [[0.2, 0.8]], [1], scores="probabilities")
    with pytest.raises(BadInputError, match="for one probability: --task binary-cross-entropy"):
        judge("cross-entropy", [[0.8]], [1], scores="probabilities")
    several = judge("binary-cross-entropy", [[0, 1.0]], ["[0 1]"], scores="logits")
    np.testing.assert_allclose(several.losses, (np.log(2) + np.log1p(np.exp(-1))) / 2)


def test_probabilities_may_be_rounded_to_their_precision() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(10), 50)
    found = judge("cross-entropy", p.round(3), [i % 10 for i in range(50)], scores="probabilities")
    assert "3 decimals" in found.notes[-1]
    shares = (p.round(3) / p.round(3).sum(1, keepdims=True))[range(50), [i % 10 for i in range(50)]]
    np.testing.assert_allclose(found.losses, -np.log(np.maximum(shares, np.finfo(float).eps)))
    with pytest.raises(BadInputError, match=r"probabilities sum to 0\.9"):
        judge("cross-entropy", p * 0.9, [0] * 50, scores="probabilities")
    bits = (p.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)
    assert "bfloat16" in judge("brier", bits, [0] * 50, scores="probabilities").notes[-1]


def test_class_names_from_files_of_every_kind() -> None:
    wanted = ("n01 tench, Tinca", "Bär")
    Path("names.txt").write_bytes("\r\n".join(wanted).encode("cp1252"))
    Path("id2label.json").write_text(json.dumps({"model_type": "vit", "id2label": {"1": wanted[1], "0": wanted[0]}}))
    Path("idx.json").write_text(json.dumps({wanted[1]: 1, wanted[0]: 0}))
    Path("list.json").write_text(json.dumps(wanted))
    Path("data.yaml").write_text("nc: 2\nnames:\n  0: n01 tench, Tinca\n  1: Bär\n", encoding="utf-8")
    for name in ("names.txt", "id2label.json", "idx.json", "list.json", "data.yaml"):
        assert read_classes(name) == wanted, name
    Path("gap.json").write_text('{"0": "a", "2": "b"}')
    Path("no.yaml").write_text("names: [yes, no]")
    Path("long.json").write_text(json.dumps({"0": "a", "1" * 5001: "b"}))
    for name in ("gap.json", "no.yaml", "long.json"):
        with pytest.raises(BadInputError, match="names no classes in order"):
            read_classes(name)


@pytest.mark.parametrize(
    "text", ["[0.25 0.75]", "[0.25, 0.75]", "tensor([0.25, 0.75])", "array([0.25, 0.75], dtype=float32)", "[.25 0.75]",
             "[2.5e-01 7.5e-01]", " [0.25\n 0.75]", "[np.float64(0.25), np.float64(0.75)]"],
)  # fmt: skip
def test_lists_as_libraries_print_them(text: str) -> None:
    assert listed(text, "here") == [0.25, 0.75]


def test_a_list_that_was_cut_short_is_refused() -> None:
    with pytest.raises(BadInputError, match="cut short when it was printed"):
        listed("[0.1 0.2 ... 0.3]", "row 1")


def said(labels: list[int], shift: int, classes: int, right: float = 0.9) -> list[str]:
    rng = np.random.default_rng(1)
    return [str((t + shift) % classes if rng.random() < right else rng.integers(classes)) for t in labels]


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
def test_a_shift_of_the_classes_is_noticed_and_a_poor_model_is_not_blamed(classes: int) -> None:
    labels = [i % classes for i in range(40 * classes)]
    texts = [str(t) for t in labels]
    for right in (1.0, 0.9, 0.3, 0.0):
        assert suspect(texts, said(labels, 0, classes, right), ()) is None
    found = suspect(texts, said(labels, 1, classes), ())
    assert found is not None
    assert found.decisive
    assert "are the classes shifted by one?" in found.text
    order = np.random.default_rng(3).permutation(classes)
    if classes > 3:
        found = suspect(texts, [str(order[int(t)]) for t in said(labels, 0, classes)], ())
        assert found is not None
        assert "in another order" in found.text


def test_few_images_of_many_classes_fit_no_order_by_chance() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        pairs = rng.integers(0, 1000, (2, 24)).astype(str).tolist()
        assert suspect(*pairs, ()) is None
        pairs = rng.integers(0, 3, (2, 30)).astype(str).tolist()
        assert suspect(*pairs, ()) is None
