"""Files that stand for far more than they are: archives, tables, lists, nesting. Each is one line, in little memory."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import struct
import tarfile
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fsearch.indexer.embedding.precomputed import read_embeddings
from fsearch.indexer.errors import FsearchError
from fsearch.indexer.losses.blackbox.preprocess import InputOptions
from fsearch.indexer.losses.blackbox.resolve import open_black_box
from fsearch.indexer.losses.loss_file import read_losses
from fsearch.indexer.losses.loss_spec import read_classes
from fsearch.indexer.losses.matching import read_keys
from fsearch.indexer.losses.prediction_file import read_predictions
from fsearch.indexer.sources.decode import RejectedImageError
from fsearch.indexer.sources.parquet_cell import read_cell
from fsearch.indexer.sources.resolve import open_source
from fsearch.indexer.storage.tabular import TableFile
from fsearch.search.hypotheses import read_hypotheses

ZEROS = 320 * 2**20


def refused(work: Callable[[], Any], message: str) -> None:
    """The work raises one line that says `message`."""
    with pytest.raises(FsearchError) as caught:
        work()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def listed(place: str) -> list[str]:
    """Read every image of a source; the reasons of those that are rejected."""
    reasons = []
    source = open_source(place)
    source.keys()
    for item in source.items():
        try:
            item.read()
        except (RejectedImageError, OSError) as error:
            reasons.append(str(error))
    return reasons


# --- archives


def bomb(path: str, mode: str, *names: str) -> str:
    """A small archive of members of zeros."""
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = ZEROS // len(names)
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    assert Path(path).stat().st_size < 2**20
    return path


@pytest.mark.parametrize(("path", "mode"), [("b.tar.gz", "w:gz"), ("b.tar.xz", "w:xz"), ("b.tar.bz2", "w:bz2")])
def test_an_archive_that_unpacks_to_far_more_is_given_up(path: str, mode: str) -> None:
    refused(lambda: listed(bomb(path, mode, "a.png")), "unpacks to more than 200 times its size; unpack it, if you")


def test_a_compressed_shard_that_unpacks_to_far_more_is_quarantined() -> None:
    Path("shards").mkdir()
    bomb("shards/0.tar", "w:gz", "a.png", "a.cls")
    reasons = listed("shards/{0..0}.tar")
    assert "unpacks to more than 200 times its size" in reasons[-1]


def test_a_zip_that_unpacks_to_far_more_is_refused() -> None:
    with zipfile.ZipFile("b.zip", "w", zipfile.ZIP_DEFLATED) as file:
        for i in range(2):
            file.writestr(f"{i}.png", bytes(ZEROS // 2))
    refused(lambda: listed("b.zip"), "unpacks to more than 200 times its size")


def test_honest_archives_are_read_whatever_they_are_packed_by() -> None:
    held = io.BytesIO()
    Image.new("RGB", (8, 8)).save(held, "PNG")
    for suffix, mode in (("tar", "w"), ("tar.gz", "w:gz"), ("tar.xz", "w:xz"), ("tar.bz2", "w:bz2"), ("tgz", "w:gz")):
        with tarfile.open(f"a.{suffix}", mode) as tar:  # type: ignore[call-overload]
            for name in ("a.png", "x/" + "long" * 60 + ".png"):
                info = tarfile.TarInfo(name)
                info.size = len(held.getvalue())
                tar.addfile(info, io.BytesIO(held.getvalue()))
        source = open_source(f"a.{suffix}")
        assert len(source.keys() or ()) == 2
        assert [item.read() for item in source.items()] == [held.getvalue()] * 2
        assert source.read("a.png") == held.getvalue()


def tar_header(name: str, kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_of_gigabytes_is_not_read(kind: bytes) -> None:
    with Path("h.tar").open("wb") as file:
        file.write(tar_header("x", kind, 7 * 2**30))
        file.truncate(7 * 2**30 + 4096)
    refused(lambda: listed("h.tar"), "a header of 7,516,192,768 bytes")
    os.truncate("h.tar", 2**20)
    Path("h.tar.gz").write_bytes(gzip.compress(Path("h.tar").read_bytes()))
    refused(lambda: listed("h.tar.gz"), "a header of 7,516,192,768 bytes")


def test_headers_of_headers_end() -> None:
    header = tar_header("././@LongLink", tarfile.GNUTYPE_LONGNAME, 5) + b"a.png".ljust(512, b"\0")
    Path("h.tar").write_bytes(header * 5000)
    refused(lambda: listed("h.tar"), "cannot be read")


def test_a_sample_with_many_large_files_is_not_kept_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsearch.indexer.sources.shard_sample.MAX_BYTES", 2**20)
    with tarfile.open("s.tar", "w:gz") as tar:
        for suffix, size in (
            ("npy", 2**22),
            ("json", 2**25),
            ("jpg", 2**20 - 1),
            ("a.jpg", 2**20 - 1),
            ("b.jpg", 2**20),
        ):
            info = tarfile.TarInfo(f"k.{suffix}")
            info.size = size
            tar.addfile(info, io.BytesIO(os.urandom(size)))
    (item,) = open_source("s.tar", options("webdataset")).items()
    assert item.size == 2**20 - 1
    assert item.metadata == {}


def options(kind: Any) -> Any:
    from fsearch.indexer.sources.resolve import SourceOptions

    return SourceOptions(kind)


# --- tables


def parquet(path: str, rows: dict[str, Any], **writing: Any) -> Path:
    pq.write_table(pa.table(rows), path, **writing)
    return Path(path)


def varint(number: int) -> bytes:
    zigzag, out = number << 1, b""
    while zigzag > 0x7F:
        out += bytes([zigzag & 0x7F | 0x80])
        zigzag >>= 7
    return out + bytes([zigzag])


@pytest.mark.parametrize("count", [2**31, 2**62])
def test_a_number_of_rows_that_cannot_be_is_refused_before_one_is_read(count: int) -> None:
    data = parquet("l.parquet", {"image": ["a", "b", "c"], "loss": [1.0, 2.0, 3.0]}).read_bytes()
    (size,) = struct.unpack("<I", data[-8:-4])
    body, footer = data[: -8 - size], data[-8 - size : -8]
    assert footer.count(b"\x16\x06\x19\x1c") == 1  # field 3 of FileMetaData, an i64: 3; then a list of one
    footer = footer.replace(b"\x16\x06\x19\x1c", b"\x16" + varint(count) + b"\x19\x1c")
    Path("l.parquet").write_bytes(body + footer + struct.pack("<I", len(footer)) + data[-4:])
    assert pq.read_metadata("l.parquet").num_rows == count
    for use in (read_losses, read_predictions, lambda path: listed(str(path))):
        refused(lambda use=use: use(Path("l.parquet")), "has more than 200,000,000 rows")  # type: ignore[misc]
    parquet_of_phrases = Path("l.parquet").rename("h.parquet")
    refused(lambda: read_hypotheses(parquet_of_phrases), "has more than 200,000,000 rows")


def test_sizes_in_a_footer_that_contradict_each_other_end_no_process() -> None:
    """A column that may be empty by its sizes, and may not by the schema: pyarrow aborts where it is asked for them."""
    table = pa.table({"image": ["a", "b"], "loss": [1.0, 2.0], "logits": [[0.1, 2.0], [3.0, 1.0]]})
    pq.write_table(table, "l.parquet")
    data = Path("l.parquet").read_bytes()
    element = b"\x15\x0c\x25\x02\x18\x05image"  # type 6, repetition 1 (optional), name
    assert data.count(element) == 1
    Path("l.parquet").write_bytes(data.replace(element, b"\x15\x0c\x25\x00\x18\x05image"))
    said = "histogram size mismatch" if int(pa.__version__.split(".")[0]) > 19 else "Unexpected end of stream"
    for use in (read_losses, read_predictions, lambda path: listed(str(path))):
        refused(lambda use=use: use(Path("l.parquet")), said)  # type: ignore[misc]
    with pytest.raises(OSError, match=said):
        read_cell([Path("l.parquet")], 1, "image")


def test_rows_that_no_footer_tells_of_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsearch.indexer.storage.tabular.MAX_ROWS", 1000)
    Path("l.csv").write_text("image,loss\n" + "".join(f"{i},1\n" for i in range(1001)))
    Path("l.jsonl").write_text("".join(f'{{"image": "{i}", "loss": 1}}\n' for i in range(1001)))
    for name in ("l.csv", "l.jsonl"):
        refused(lambda name=name: read_losses(Path(name)), "has more than 1,000 rows")  # type: ignore[misc]


def test_hypotheses_are_not_read_past_their_limit() -> None:
    path = parquet("h.parquet", {"text": [f"phrase {i}" for i in range(300_000)]})
    refused(lambda: read_hypotheses(path), "hypothesis file h.parquet has more than 100,000 rows")
    Path("h.csv").write_text("text\n" + "".join(f"phrase {i}\n" for i in range(100_001)))
    refused(lambda: read_hypotheses(Path("h.csv")), "has more than 100,000 rows")


@pytest.mark.parametrize("encoding", ["dictionary", "prefix"])
def test_one_long_value_that_stands_for_many_takes_little_memory(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value of 8 MiB in a thousand rows: a file of a few kilobytes, and 8 GiB."""
    rows = {"image": [str(i) for i in range(1000)], "loss": [1.0] * 1000}
    long = {"label": pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array(["x" * 2**23]))}
    if encoding == "prefix":
        long = {"label": pa.array(["x" * 2**23 + str(i) for i in range(20)] * 1 + ["y"] * 980)}
        writing: dict[str, Any] = {"use_dictionary": False, "column_encoding": {"label": "DELTA_BYTE_ARRAY"}}
    else:
        writing = {"dictionary_pagesize_limit": 2**30}
    path = parquet("l.parquet", rows | long, compression="zstd", **writing)
    assert path.stat().st_size < 2**20
    monkeypatch.setattr("fsearch.indexer.storage.tabular.memory_bytes", lambda: 2**26)
    sizes = [batch.nbytes for batch in TableFile(path).batches()] if encoding == "prefix" else [2**28]
    assert max(sizes) <= 2**28 + 2**20
    refused(lambda: read_losses(path), "takes more than half of this machine's memory")


def test_usual_columns_are_read_in_batches_of_64() -> None:
    path = parquet("l.parquet", {"image": [f"{i:05d}.png" for i in range(2000)], "loss": [1.0] * 2000})
    assert [batch.num_rows for batch in TableFile(path).batches()][:3] == [64, 64, 64]


def test_a_row_group_larger_than_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsearch.indexer.storage.parquet_batches.memory_bytes", lambda: 2**12)
    path = parquet("l.parquet", {"image": [os.urandom(99).hex() for _ in range(999)], "loss": [1.0] * 999})
    refused(lambda: read_losses(path), "write smaller row groups")


def test_text_that_unpacks_to_far_more_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsearch.indexer.storage.encoding.UNPACKED_FREE", 2**20)
    for name in ("l.csv.gz", "l.jsonl.gz"):
        Path(name).write_bytes(gzip.compress(b"image,loss\n" + b"\n" * 2**24))
        refused(lambda name=name: read_losses(Path(name)), "unpacks to more than 200 times its size")  # type: ignore[misc]


def test_rows_and_cells_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsearch.indexer.storage.dialect.MAX_ROW", 2**20)
    Path("l.csv").write_text('image,loss,c\na,1,"' + "x\n" * 2**20 + '"\n')
    refused(lambda: read_losses(Path("l.csv")), "a row of more than 1,048,576 characters")
    monkeypatch.setattr("fsearch.indexer.storage.dialect.MAX_CELL", 2**20)
    Path("l.csv").write_text("image,loss\na," + "1" * 2**21 + "\n")
    refused(lambda: read_losses(Path("l.csv")), "a line of more than 1,048,576 characters")


def test_long_cells_are_taken_in_small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsearch.indexer.storage.delimited.CHARACTERS", 2**16)
    monkeypatch.setattr("fsearch.indexer.storage.json_lines.CHARACTERS", 2**16)
    text = "x" * 2**14
    Path("l.csv").write_text("image,loss,c\n" + "".join(f"{i},1,{text}\n" for i in range(40)))
    Path("l.jsonl").write_text("".join(json.dumps({"image": str(i), "loss": 1, "c": text}) + "\n" for i in range(40)))
    for name in ("l.csv", "l.jsonl"):
        batches = [batch.num_rows for batch in TableFile(Path(name)).batches()]
        assert sum(batches) == 40
        assert max(batches) <= 5


def test_a_table_of_too_many_columns_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsearch.indexer.storage.tabular.MAX_COLUMNS", 100)
    monkeypatch.setattr("fsearch.indexer.storage.json_lines.COLUMNS", 100)
    path = parquet("l.parquet", {f"c{i}": [1] for i in range(101)})
    refused(lambda: read_losses(path), "has more than 100 columns")
    Path("l.jsonl").write_text("".join(json.dumps({f"c{i}": 1}) + "\n" for i in range(101)))
    refused(lambda: read_losses(Path("l.jsonl")), "more than 100 different names of columns")
    Path("l.csv").write_text(",".join(f"c{i}" for i in range(101)) + "\n" + "1," * 100 + "1\n")
    refused(lambda: read_losses(Path("l.csv")), "has more than 100 columns")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([2**31 - 1], pa.date32()),
        pa.array([-(2**31)], pa.date32()),
        pa.array([2**62], pa.date64()),
        pa.array([2**62], pa.timestamp("ms")),
        pa.array([2**40], pa.timestamp("s", "UTC")),
        pa.array([0], pa.timestamp("s", "Mars/Olympus")),
        pa.array([2**62], pa.duration("s")),
        pa.array([[2**31 - 1]], pa.list_(pa.date32())),
        pa.array([{"at": 2**62}], pa.struct({"at": pa.timestamp("us")})),
    ],
    ids=lambda c: str(c.type),
)
def test_times_that_python_has_no_name_for_are_one_line(column: pa.Array) -> None:
    path = parquet("l.parquet", {"image": ["a"], "loss": [1.0], "taken": column})
    refused(lambda: read_losses(path), "column 'taken': a date or time that cannot be read")
    refused(lambda: listed(str(path)), "column 'taken': a date or time that cannot be read")


def test_times_that_python_knows_are_read() -> None:
    kinds = [pa.date32(), pa.timestamp("ns"), pa.timestamp("s", "UTC"), pa.duration("ms"), pa.time64("ns")]
    columns = {f"c{i}": pa.array([1, None], kind) for i, kind in enumerate(kinds)}
    nested = {"n": pa.array([[1], None], pa.list_(pa.duration("s")))}
    table = TableFile(parquet("l.parquet", {"image": ["a", "b"], "loss": [1.0, 2.0], **columns, **nested})).read()
    assert table.num_rows == 2


def test_dates_in_text_are_dates_or_text() -> None:
    for text, expected in (
        ("2024-02-29", date(2024, 2, 29)),
        ("2024-13-01", "2024-13-01"),
        ("0000-01-01", "0000-01-01"),
        ("2024-01-01 25:00", "2024-01-01 25:00"),
    ):
        Path("l.csv").write_text(f"image,loss,taken\na,1,{text}\n")
        assert TableFile(Path("l.csv")).read()["taken"].to_pylist() == [expected]


def test_arrays_that_unpack_to_more_than_the_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsearch.indexer.storage.files.memory_bytes", lambda: 2**20)
    np.savez_compressed("p.npz", image=np.array(["a"]), logits=np.zeros((1, 2**20)))
    np.savez_compressed("e.npz", keys=np.array(["a"]), embeddings=np.zeros((1, 2**20)))
    refused(lambda: read_predictions(Path("p.npz")), "more than half of this machine's memory")
    refused(lambda: read_embeddings(Path("e.npz"), None, read_keys), "more than half of this machine's memory")


# --- nesting, aliases, lists


def test_nesting_is_one_line_wherever_json_is_read() -> None:
    deep = "[" * 100_000
    schema = pa.schema({"image": pa.string(), "loss": pa.float64()}).with_metadata({"huggingface": deep})
    pq.write_table(pa.table([["a"], [1.0]], schema), "l.parquet")
    assert read_losses(Path("l.parquet")).values == [1.0]
    for name in ("c.json", "p.json"):
        Path(name).write_text(deep)
    refused(lambda: listed("c.json"), "is no JSON")
    refused(lambda: read_predictions(Path("p.json")), "is no JSON")
    refused(lambda: read_classes("c.json"), "is no JSON")
    Path("saved").mkdir()
    Path("saved/state.json").write_text(deep)
    refused(lambda: listed("saved"), "cannot be read")


def test_aliases_name_no_classes() -> None:
    Path("c.yaml").write_text("a: &a [x, x]\nnames: [*a, *a]\n")
    refused(lambda: read_classes("c.yaml"), "an alias")


def test_a_list_of_images_that_lists_itself_ends() -> None:
    Path("y/images").mkdir(parents=True)
    Path("y/images/a.png").write_bytes(b"")
    Path("y/data.yaml").write_text("train: train.txt\nnames: [a]\n")
    Path("y/train.txt").write_text("./train.txt\n./images/a.png\n")
    assert open_source("y").keys() == ["images/a.png"]


def test_options_of_a_received_source_that_cannot_be_are_one_line() -> None:
    from fsearch.indexer.sources.resolve import SourceOptions

    for text in ("null", "[]", '{"kind": "nonsense"}', '{"root": 5}', '{"other": 1}', "[" * 100_000, "x"):
        refused(lambda text=text: SourceOptions.from_json(text), "does not say how its images are read")  # type: ignore[misc]
    assert SourceOptions.from_json(SourceOptions("coco", None, "/x", True, True).as_json()).allow_private_hosts


# --- pipes and devices


def fifo(path: str) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    return path


def good_voc() -> None:
    Path("voc/JPEGImages").mkdir(parents=True)
    Path("voc/Annotations").mkdir()
    Path("voc/Annotations/0.xml").write_text("<annotation><filename>a.png</filename></annotation>")


def good_yolo() -> None:
    Path("yolo/images").mkdir(parents=True)
    Path("yolo/labels").mkdir()
    Path("yolo/images/a.png").write_bytes(b"")
    Path("yolo/data.yaml").write_text("train: images\nnames: [a]\n")


def array(path: str, **arrays: Any) -> None:
    np.save(path, np.zeros((1, 4), np.float32))


USES: dict[str, Callable[[], Any]] = {
    **{f"losses {s}": (lambda s=s: read_losses(Path(fifo(f"l.{s}")))) for s in ("csv", "csv.gz", "jsonl", "parquet")},  # type: ignore[misc]
    **{
        f"predictions {s}": (lambda s=s: read_predictions(Path(fifo(f"p.{s}"))))  # type: ignore[misc]
        for s in ("csv", "npz", "json", "pt", "parquet")
    },
    **{f"phrases {s}": (lambda s=s: read_hypotheses(Path(fifo(f"h.{s}")))) for s in ("txt", "yaml", "csv", "parquet")},  # type: ignore[misc]
    **{f"images {s}": (lambda s=s: listed(fifo(f"i.{s}"))) for s in ("csv", "json", "tar", "tar.gz", "zip", "parquet")},  # type: ignore[misc]
    "detections txt": lambda: fifo("d/a.txt") and read_predictions(Path("d")),
    "detections json": lambda: fifo("d/a.json") and read_predictions(Path("d")),
    "classes": lambda: read_classes(fifo("c.txt")),
    "yolo labels": lambda: (good_yolo(), fifo("yolo/labels/a.txt"), open_source("yolo").keys(), 1 / 0),
    "yolo list": lambda: (
        good_yolo(),
        Path("yolo/data.yaml").write_text("train: l.txt"),
        fifo("yolo/l.txt"),
        listed("yolo"),
    ),
    "voc": lambda: (good_voc(), fifo("voc/Annotations/1.xml"), listed("voc")),
    "parquet in a folder": lambda: (fifo("m/1.parquet"), listed("m")),
    "saved data set": lambda: (fifo("s/a.arrow"), Path("s/state.json").write_text("{}"), listed("s")),
    "embeddings": lambda: read_embeddings(Path(fifo("e.npy")), None, read_keys),
    "keys of embeddings": lambda: (array("e.npy"), read_embeddings(Path("e.npy"), Path(fifo("k.txt")), read_keys)),
    "onnx": lambda: open_black_box(fifo("m.onnx"), InputOptions()),
    "torch": lambda: open_black_box(fifo("m.pt2"), InputOptions()),
    "a device": lambda: (os.symlink("/dev/zero", "z.csv"), read_losses(Path("z.csv"))),
    "a device of images": lambda: (os.symlink("/dev/zero", "z.json"), listed("z.json")),
}


@pytest.mark.parametrize("name", USES)
def test_pipes_and_devices_are_refused_and_not_waited_for(name: str) -> None:
    def waited(*_: Any) -> None:
        raise AssertionError("it waited for a pipe")

    before = signal.signal(signal.SIGALRM, waited)
    signal.alarm(120)
    try:
        with pytest.raises((FsearchError, ZeroDivisionError)) as caught:
            USES[name]()
        assert "\n" not in str(caught.value)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_pipes_among_shards_and_masks_are_quarantined() -> None:
    fifo("shards/0.tar")
    reasons = listed("shards/{0..0}.tar") if Path("shards/0.tar").is_file() else listed("shards/*.tar")
    assert "it is a pipe or a device, not a file" in reasons[0]
    fifo("masks/a.png")
    from fsearch.indexer.losses.functions import segmentation

    with pytest.raises(Exception, match="it is a pipe or a device, not a file"):
        segmentation.load_mask(Path("masks/a.png"), "predicted")


ALLOWED = {  # our own files, that lie in the package, the cache or the configuration; or what was looked at before
    *("index.py", "onnx_files.py", "function.py", "image_reader.py", "trust.py", "demo_files.py", "clip_tokenizer.py"),
    *("text_tower.py", "hash_cache.py", "migrations.py", "locks.py", "query.py", "sent.py", "server.py", "demo.py"),
    *("notebook.py", "artifact.py", "regular_files.py", "vocabulary.py", "calibration.py", "endpoints.py"),
}


def test_files_of_others_are_opened_in_one_place() -> None:
    import re

    root = Path(__file__).parents[1]
    raw = re.compile(r"\.read_bytes\(|\.read_text\(|\.open\(\"r|[^\w.]open\(|tarfile\.open\((?!fileobj)")
    paths = [p for room in ("indexer", "search", "diagnoser") for p in (root / room).rglob("*.py")]
    found = {p.name for p in paths if p.name not in ALLOWED and raw.search(re.sub(r"def open\(", "", p.read_text()))}
    assert found <= {"tabular.py"}, found
