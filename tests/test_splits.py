"""Data sets in several files whose columns differ: nothing is lost, and what differs is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_sources import png, portraits

import fsearch
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.union import differences, union_schema

TEST, TRAIN = (f"data/{s}-00000-of-00001.parquet" for s in ("test", "train"))


def split(path: str, first: int, count: int, **columns: Any) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    held = [{"bytes": png(p), "path": f"{path[-9]}{i}.png"} for i, p in enumerate(portraits()[first : first + count])]
    pq.write_table(pa.table({"image": pa.array(held), **columns}), path)


def indexed(place: str = "data") -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    ws = fsearch.open("w")
    report = ws.index(place)
    assert report.embedded == report.found
    return ws.sql("SELECT * EXCLUDE image_id FROM metadata ORDER BY image_id").to_pylist(), report.notes


def test_labels_of_one_split_are_kept_though_the_other_has_none() -> None:
    split(TEST, 0, 2)  # sorts before train
    split(TRAIN, 2, 3, label=["a", "b", "c"], year=[1, 2, 3])
    rows, notes = indexed()
    assert [r["label"] for r in rows] == [None, None, "a", "b", "c"]
    assert [r["year"] for r in rows] == [None, None, 1, 2, 3]
    name = Path(TEST).name
    said = f"columns that some files lack, empty for their images: label (not in {name}), year (not in {name})"
    assert notes == (said,)


def test_a_column_more_in_the_first_split_is_no_error() -> None:
    split(TEST, 0, 2, label=[0, 1], difficulty=[1, 2])
    split(TRAIN, 2, 3, label=[0, 1, 0])
    rows, notes = indexed()
    assert [r["difficulty"] for r in rows] == [1, 2, None, None, None]
    assert [r["label"] for r in rows] == ["0", "1", "0", "1", "0"]
    assert notes == (f"columns that some files lack, empty for their images: difficulty (not in {Path(TRAIN).name})",)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([0, 1], ["cat", "7", None], ["0", "1", "cat", "7", None]),
        ([0, 1], [0.5, 1.0, 2.0], [0.0, 1.0, 0.5, 1.0, 2.0]),
        ([True, False], [1, 0, 2], ["true", "false", "1", "0", "2"]),
        ([None, None], [1, 2, 3], [None, None, 1, 2, 3]),
        (pa.array([1, 2], pa.int8()), pa.array([1, 2, 2**40], pa.int64()), [1, 2, 1, 2, 2**40]),
    ],
)
def test_types_become_the_wider(one: Any, other: Any, expected: list[Any]) -> None:
    split(TEST, 0, 2, value=one)
    split(TRAIN, 2, 3, value=other)
    rows, notes = indexed()
    assert [r["value"] for r in rows] == expected
    text = "columns of different types in different files, taken as text: value"
    assert notes == ((text,) if isinstance(expected[0], str) else ())


def test_class_numbers_of_one_split_are_named() -> None:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    Path("data").mkdir()
    made = datasets.Dataset.from_dict({"image": portraits()[:2], "label": [1, 0]}, features=features)
    made.to_parquet(TEST)
    plain = datasets.Dataset.from_dict({"image": portraits()[2:4]}, features=datasets.Features(image=datasets.Image()))
    plain.to_parquet(TRAIN)
    rows, _ = indexed()
    assert [r["label"] for r in rows] == ["dog", "cat", None, None]


def test_saved_splits_may_differ_too() -> None:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    train = datasets.Dataset.from_dict({"image": portraits()[:2], "label": [1, 0]}, features=features)
    more = datasets.Features({"image": datasets.Image(), "origin": datasets.Value("string")})
    test = datasets.Dataset.from_dict({"image": portraits()[2:4], "origin": ["x", "y"]}, features=more)
    both = datasets.DatasetDict({"test": test, "train": train})
    both.save_to_disk("saved")
    rows, notes = indexed("saved")
    assert [(r["split"], r["label"], r["origin"]) for r in rows] == [
        *(("test", None, "x"), ("test", None, "y"), ("train", "dog", None), ("train", "cat", None))
    ]
    said = "columns that some files lack, empty for their images: origin (not in train), label (not in test)"
    assert notes == (said,)


def test_a_file_without_images_is_named() -> None:
    split(TEST, 0, 2)
    pq.write_table(pa.table({"label": [1]}), TRAIN)
    with pytest.raises(BadInputError, match=rf"manifest {TRAIN} has no column 'image', which holds the images"):
        fsearch.open("w").index("data")


def test_a_union_keeps_the_order_of_the_first_table() -> None:
    one, other = pa.schema({"b": pa.int64(), "a": pa.string()}), pa.schema({"c": pa.bool_(), "a": pa.string()})
    assert union_schema([one, other]).names == ["b", "a", "c"]
    assert differences([("x", one), ("y", one)]) == ()


def test_predictions_of_a_trainer_are_in_the_order_of_the_data_set() -> None:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    made = datasets.Dataset.from_dict({"image": portraits()[:4], "label": [1, 0, 0, 1]}, features=features)
    made.save_to_disk("saved")
    ws = fsearch.open("w")
    ws.index("saved")
    logits = np.array([[0.0, 2.0], [0.0, 2.0], [3.0, 0.0], [0.0, 1.0]], np.float32)
    np.savez("p.npz", predictions=logits, label_ids=np.array([1, 0, 0, 1]))
    ws.losses.add("m", predictions="p.npz", task="cross-entropy")
    expected = [np.log1p(np.exp(-m)) for m in (2.0, -2.0, 3.0, 1.0)]
    np.testing.assert_allclose(ws.sql("SELECT loss FROM losses ORDER BY image_id")["loss"].to_numpy(), expected)
    names = ws.sql("SELECT key FROM images ORDER BY key DESC")["key"].to_pylist()
    np.savez("p.npz", image=names, predictions=logits[::-1], label_ids=np.array([1, 0, 0, 1]))
    ws.losses.add("named", predictions="p.npz", task="cross-entropy", target="label_ids", scores="logits")
    named = ws.sql("SELECT loss FROM losses WHERE model = 'named' ORDER BY image_id")["loss"].to_numpy()
    np.testing.assert_allclose(named, expected)
    np.savez("p.npz", predictions=logits[:, 0], label_ids=np.array([1, 0, 0, 1]))
    with pytest.raises(BadInputError, match=r"p\.npz: predictions \(4,\) and label_ids \(4,\); expected \(n, C\)"):
        ws.losses.add("m", predictions="p.npz", task="cross-entropy")


@pytest.mark.parametrize(
    "rows",
    [
        "filename,index,label,prob\n0.png,1,dog,0.9\n1.png,1,dog,0.6\n2.png,0,cat,0.7\n",
        "filename,index_0,index_1,label_0,label_1,prob_0,prob_1\n"
        "0.png,1,0,dog,cat,0.9,0.1\n1.png,1,0,dog,cat,0.6,0.4\n2.png,0,1,cat,dog,0.7,0.3\n",
        "filename,label_0,label_1,prob_0,prob_1\n0.png,dog,cat,0.9,0.1\n1.png,dog,cat,0.6,0.4\n2.png,cat,dog,0.7,0.3\n",
    ],
)
def test_timm_s_best_classes_are_predictions_and_go_by_rank(rows: str) -> None:
    for i in range(3):
        Path(f"{i}.png").write_bytes(png(portraits()[i]))
    Path("m.csv").write_text("path,label\n0.png,dog\n1.png,cat\n2.png,cat\n")
    ws = fsearch.open("w")
    ws.index("m.csv")
    Path("p.csv").write_text(rows)
    ws.losses.add("m", predictions="p.csv", task="zero-one")
    assert ws.sql("SELECT loss FROM losses ORDER BY image_id")["loss"].to_pylist() == [0, 1, 0]
