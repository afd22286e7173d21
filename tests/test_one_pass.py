"""`index --black-box`: each image is decoded once, and losses are those of `losses add` afterwards, bit for bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_models import onnx, predict
from made_sources import CLASSES, COUNT, MADE, csv_manifest, imagefolder, label, name, portraits
from PIL import Image
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app
from fsearch.indexer.embedding.batch_sizes import BatchSizes
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.base import Item
from fsearch.indexer.sources.resolve import Images
from fsearch.search.options import BlackBoxOptions
from fsearch.search.workspace import Workspace

SMALL = BatchSizes(batch=5, shard_rows=7)
NET: dict[str, Any] = {"task": "cross-entropy", "scores": "logits", "classes": CLASSES}


@dataclass(frozen=True)
class Counted:
    """A real source that counts how often each image is read, which is followed by decoding it."""

    source: Any
    reads: Counter[str] = field(default_factory=Counter)

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self.source, attribute)

    def items(self) -> Iterator[Item]:
        for item in self.source.items():
            yield replace(item, read=self._counted(item))

    def _counted(self, item: Item) -> Callable[[], Any]:
        def read() -> Any:
            self.reads[item.key] += 1
            return item.read()

        return read


def counted(held: Any, **options: Any) -> tuple[Images, Counter[str]]:
    images = fsearch.images(held, **options)
    source = Counted(images.source)
    return replace(images, source=source), source.reads


def brightness(images: list[Any]) -> list[float]:
    return [float(np.asarray(image).mean()) for image in images]


def stored(ws: Workspace) -> tuple[list[dict[str, Any]], ...]:
    """The losses, what failed, and how the model is recorded."""
    losses = ws.sql(
        "SELECT key, loss, l.label, prediction, l.split, target_digest FROM losses l JOIN images USING (image_id) "
        "ORDER BY key"
    )
    failed = ws.sql("SELECT key, reason FROM prediction_errors JOIN images USING (image_id) ORDER BY key")
    model = ws.sql("SELECT model, task, origin, fingerprint FROM black_boxes")
    assert ws.sql("FROM pending_losses").num_rows == 0
    return losses.to_pylist(), failed.to_pylist(), model.to_pylist()


def both_ways(held: Any, box: BlackBoxOptions, **options: Any) -> tuple[Workspace, Counter[str]]:
    """Index with the black box beside, and in another workspace with `losses add` after: both must be the same."""
    one, two = fsearch.open("one"), fsearch.open("two")
    images, reads = counted(held, **options)
    report = one.index(images, black_box=box, sizes=SMALL)
    two.index(fsearch.images(held, **options), sizes=SMALL)
    how = {"task": box.task, "target": box.target, "scores": box.scores, "classes": box.classes}
    found = two.losses.add("model", black_box=box.black_box, **how)
    assert stored(one) == stored(two)
    assert (report.losses, report.failed_losses, report.without_loss) == (found.added, found.failed, found.without)
    return one, reads


@pytest.mark.parametrize("kind", ["imagefolder", "csv", "parquet of bytes", "hugging face saved", "webdataset", "tar"])
def test_each_image_is_read_once_and_its_loss_is_that_of_a_run_afterwards(kind: str, tmp_path: Path) -> None:
    made = MADE[kind](tmp_path / "data")
    box = (
        BlackBoxOptions(str(onnx(tmp_path)), "cross-entropy") if kind != "tar" else BlackBoxOptions(brightness, "loss")
    )
    ws, reads = both_ways(made.pop("held"), box, **made)
    assert (len(reads), set(reads.values())) == (COUNT, {1})
    assert ws.sql("FROM losses").num_rows == COUNT


def test_the_batches_of_the_model_are_those_of_a_run_afterwards(tmp_path: Path) -> None:
    made = csv_manifest(tmp_path / "data")
    batches: list[list[bytes]] = []

    def seen(images: list[Any]) -> Any:
        batches.append([image.tobytes() for image in images])
        return predict(images)

    both_ways(made["held"], BlackBoxOptions(seen, **NET))
    assert len(batches) % 2 == 0
    assert batches[: len(batches) // 2] == batches[len(batches) // 2 :]
    assert sum(map(len, batches)) == 2 * COUNT


def test_copies_broken_files_and_missing_labels_come_out_alike(tmp_path: Path) -> None:
    made = csv_manifest(tmp_path / "data")
    folder = tmp_path / "data" / "photos"
    (folder / name(5)).write_bytes(b"no image")
    (folder / name(9)).write_bytes((folder / name(2)).read_bytes())
    (folder / name(10)).write_bytes((folder / name(2)).read_bytes())
    text = Path(made["held"]).read_text().splitlines()
    Path(made["held"]).write_text(
        "\n".join(line.replace(f",{label(7)},", ",,") if name(7) in line else line for line in text)
    )
    ws, reads = both_ways(made["held"], BlackBoxOptions(predict, **NET))
    assert set(reads.values()) == {1}
    errors = ws.sql("SELECT key, reason FROM prediction_errors JOIN images USING (image_id)").to_pylist()
    assert errors == [{"key": f"photos/{name(7)}", "reason": "it has no label"}]
    assert ws.sql("FROM losses").num_rows == COUNT - 2
    again = ws.index(made["held"], black_box=BlackBoxOptions(predict, **NET), sizes=SMALL)
    assert (again.unchanged, again.losses, again.failed_losses) == (COUNT - 1, COUNT - 2, 1)


def test_labels_that_only_a_broken_image_has_do_not_decide_how_the_others_are_read(tmp_path: Path) -> None:
    """By the labels 1, 2, and 0 of the broken one, they count from 0; without it, that is not said."""
    made = csv_manifest(tmp_path / "data")
    (tmp_path / "data" / "photos" / name(0)).write_bytes(b"no image")
    rows = [f"photos/{name(i)},{0 if i == 0 else 1 + i % 2}" for i in range(COUNT)]
    Path(made["held"]).write_text("path,label\n" + "\n".join(rows))

    def three(images: list[Any]) -> Any:
        return np.stack([np.append(row, 0.5) for row in predict(images)])

    box = BlackBoxOptions(three, task="cross-entropy", scores="logits")
    ws, _ = both_ways(made["held"], box)
    assert ws.sql("FROM losses").num_rows == COUNT - 1


def test_an_image_that_the_model_fails_on_is_tried_again_in_the_next_run_only(tmp_path: Path) -> None:
    bad, asked = {portraits()[i].tobytes() for i in (4, 17)}, Counter[bytes]()

    def picky(images: list[Any]) -> list[float]:
        asked.update(image.tobytes() for image in images if len(images) == 1)
        if any(image.tobytes() in bad for image in images):
            raise ValueError("cannot see this")
        return [1.0 for _ in images]

    images, reads = counted(imagefolder(tmp_path / "data")["held"], kind="imagefolder")
    ws, box = fsearch.open("w"), BlackBoxOptions(picky, "loss")
    report = ws.index(images, black_box=box, sizes=SMALL)
    assert (report.losses, report.failed_losses, set(reads.values())) == (COUNT - 2, 2, {1})
    assert {asked[pixels] for pixels in bad} == {1}
    bad.clear()
    report = ws.index(images, black_box=box, sizes=SMALL)
    assert (report.losses, report.failed_losses, sorted(set(reads.values()))) == (COUNT, 0, [1, 2])
    assert list(reads.values()).count(2) == 2


@pytest.mark.parametrize("error", [BadInputError("the server is gone"), KeyboardInterrupt("stopped")], ids=repr)
def test_a_model_that_dies_half_way_is_one_line_and_loses_nothing(few: Any, error: BaseException) -> None:
    """What was embedded and judged stays, and the same command goes on from there."""
    alive, seen = [False], Counter[bytes]()

    class Dying:
        batch = 8

        def __call__(self, images: list[Any]) -> list[float]:
            if not alive[0] and sum(seen.values()) >= 32:
                raise error
            seen.update(image.tobytes() for image in images)
            return brightness(images)

    ws, images = fsearch.open("w"), counted(few.folder)[0]
    box = BlackBoxOptions(Dying(), "loss")
    with pytest.raises(type(error), match=str(error)):
        ws.index(images, black_box=box, sizes=SMALL)
    embedded = ws.sql("FROM images").num_rows
    judged = ws.sql("FROM pending_losses WHERE loss IS NOT NULL").num_rows
    assert 0 < judged <= embedded
    assert ws.sql("FROM losses").num_rows == 0
    alive[0] = True
    report = ws.index(images, black_box=box, sizes=SMALL)
    assert (report.unchanged, report.embedded, report.losses) == (embedded, 60 - embedded, 60)
    assert sum(seen.values()) == 60 + 32 - judged
    other = fsearch.open("other")
    other.index(few.folder)
    other.losses.add("model", black_box=brightness, task="loss")
    loss = "SELECT key, loss FROM losses JOIN images USING (image_id) ORDER BY key"
    assert ws.sql(loss).to_pylist() == other.sql(loss).to_pylist()


def test_a_model_that_always_fails_is_given_up_and_what_was_embedded_stays(few: Any) -> None:
    def broken(images: list[Any]) -> list[float]:
        raise RuntimeError("out of order\nsecond line")

    ws = fsearch.open("w")
    with pytest.raises(BadInputError, match="failed on 32 images in a row, the last: RuntimeError: out of order; its"):
        ws.index(few.folder, black_box=BlackBoxOptions(broken, "loss"), sizes=SMALL)
    assert 32 <= ws.sql("FROM images").num_rows < 60
    assert ws.index(few.folder, few.losses).losses == 60


@pytest.mark.parametrize("kind", ["in memory", "torch dataset"])
def test_where_only_reading_tells_the_labels_the_model_comes_after(kind: str, tmp_path: Path) -> None:
    held = MADE[kind](tmp_path / "data")["held"]
    report = fsearch.open("w").index(held, black_box=BlackBoxOptions(brightness, "loss"), sizes=SMALL)
    assert (report.embedded, report.losses) == (COUNT, COUNT)


def test_a_part_of_a_source_leaves_the_losses_of_the_rest(tmp_path: Path) -> None:
    held = csv_manifest(tmp_path / "data")["held"]
    ws, box = fsearch.open("w"), BlackBoxOptions(brightness, "loss")
    assert ws.index(fsearch.images(held, limit=15), black_box=box, sizes=SMALL).losses == 15
    report = ws.index(fsearch.images(held, limit=20), black_box=box, sizes=SMALL)
    assert (report.embedded, report.losses, report.failed_losses) == (5, 20, 0)
    report = ws.index(fsearch.images(held, limit=10), black_box=box, sizes=SMALL)
    assert (report.unchanged, report.losses, report.failed_losses) == (10, 20, 0)


def test_an_image_that_changed_is_judged_anew(tmp_path: Path) -> None:
    held = csv_manifest(tmp_path / "data")["held"]
    ws, box = fsearch.open("w"), BlackBoxOptions(brightness, "loss")
    ws.index(held, black_box=box, sizes=SMALL)
    Image.new("RGB", (70, 70), (9, 9, 9)).save(tmp_path / "data" / "photos" / name(3))
    report = ws.index(held, black_box=box, sizes=SMALL)
    assert (report.changed, report.losses) == (1, COUNT)
    query = f"SELECT loss FROM losses JOIN images USING (image_id) WHERE key = 'photos/{name(3)}'"
    assert ws.sql(query)["loss"].to_pylist() == [9.0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": None}, "say which loss"),
        ({"task": "no-such"}, "no-such"),
        ({"target": "colour"}, "no column 'colour' to judge by; the images have: label, year"),
        ({"black_box": "nothing.onnx"}, "nothing.onnx"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    held = csv_manifest(tmp_path / "data")["held"]
    with pytest.raises(BadInputError, match=message):
        fsearch.open("w").index(held, black_box=replace(BlackBoxOptions(predict, **NET), **changes))
    assert not Path("w").exists()


def test_the_command(tmp_path: Path) -> None:
    held, net = str(imagefolder(tmp_path / "data")["held"]), str(onnx(tmp_path))
    command = ["index", held, "--kind", "imagefolder", "--model", "m"]
    done = CliRunner().invoke(app, [*command, "--black-box", net, "--task", "cross-entropy"])
    assert done.exit_code == 0, done.output
    assert f"{COUNT} losses stored" in done.output
    assert "model m: cross-entropy, mean " in done.output
    for more, message in (
        (["--task", "cross-entropy"], "are for --black-box"),
        (["--black-box", net, "--losses", "l.csv", "--task", "loss"], "leave --losses or --black-box out"),
    ):
        found = CliRunner().invoke(app, [*command, *more])
        assert (found.exit_code, message in str(found.exception)) == (2, True) or message in found.output
