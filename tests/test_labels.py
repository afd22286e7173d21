"""Labels for calibration: from a column or a table, what is known and what is not, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.conftest import Planted

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.workspace.store import Store
from fsearch.search.labels import read_labels


@pytest.fixture
def store(fitted: Path) -> Store:
    return Store.open(fitted)


def table(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines))
    return str(path)


def test_a_column_of_values_gives_a_phrase_for_each(store: Store, planted: Planted) -> None:
    found = read_labels(store, "Eyewear")
    truth = np.array([p.eyewear for p in planted.portraits])
    assert found.names == tuple(sorted(set(truth)))
    assert found.rows.tolist() == list(range(len(truth)))
    assert (found.shows == (truth == np.array(found.names)[:, None])).all()
    assert found.known.all()


def test_what_a_losses_file_says_was_right_is_a_label_too(store: Store, planted: Planted) -> None:
    assert set(read_labels(store, "label").names) == {p.expression for p in planted.portraits}


def test_a_table_of_images_and_labels_may_give_an_image_several(store: Store, tmp_path: Path) -> None:
    rows = [f"{i:03d}.png,{'a hat' if i % 2 else 'no hat'}" for i in range(60)]
    found = read_labels(store, table(tmp_path / "l.csv", "image,label", *rows, "000.png,dark skin", "gone.png,a hat"))
    assert found.names == ("a hat", "dark skin", "no hat")
    assert found.shows.sum(axis=1).tolist() == [30, 1, 30]
    assert found.known.all()
    assert len(found.rows) == 60


def test_a_column_shows_leaves_the_rest_unknown(store: Store, tmp_path: Path) -> None:
    rows = [f"{i:03d},{'a hat' if i < 50 else 'dark skin'},{'yes' if i % 2 else 'no'}" for i in range(60)]
    found = read_labels(store, table(tmp_path / "l.csv", "image,label,shows", *rows))
    assert found.known.sum(axis=1).tolist() == [50, 10]
    assert found.shows.sum(axis=1).tolist() == [25, 5]
    assert not (found.shows & ~found.known).any()


def test_a_table_of_yes_and_no_has_a_column_for_each_phrase(store: Store, tmp_path: Path) -> None:
    rows = [f"{i:03d}.png,{i % 2},{'' if i < 10 else 'true'}" for i in range(60)]
    found = read_labels(store, table(tmp_path / "l.csv", "image,a hat,dark skin", *rows))
    assert found.names == ("a hat", "dark skin")
    assert found.known.sum(axis=1).tolist() == [60, 50]
    assert found.shows.sum(axis=1).tolist() == [30, 50]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["image,label", *(f"{i:03d}.png,a hat" for i in range(60))], "every image with a label shows the same"),
        (["image,label", *(f"{i:03d}.png,{i % 2}x" for i in range(20))], "20 images have a label; at least 50"),
        (["picture,label", "000.png,a"], "no column that names images (seen: picture, label); call it 'image'"),
        (["image,a hat", "000.png,1", "001.png,perhaps"], "row 2, column 'a hat': 'perhaps' is neither yes nor no"),
        (["image", "000.png"], "no column 'label', and no column of yes and no for a phrase"),
        (["image,label", "x.png,a", "y.png,b"], "2 of 2 keys match no image"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(store: Store, tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(BadInputError) as error:
        read_labels(store, table(tmp_path / "l.csv", *lines))
    assert message in str(error.value)


def test_a_file_that_is_no_table_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"labels\.json: use \.csv, \.tsv, \.parquet, \.jsonl"):
        read_labels(store, table(tmp_path / "labels.json", "[]"))


def test_a_column_that_is_not_there_is_refused(store: Store) -> None:
    with pytest.raises(BadInputError, match=r"--labels hair: no such file, and no such column of the images \(there: "):
        read_labels(store, "hair")
