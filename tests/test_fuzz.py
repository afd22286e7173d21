"""A hundred thousand hostile files: each is read or refused in one line, in time, in memory, and writes nothing.

Files are mutated from good ones: bytes flipped, cut, repeated, swapped, and words put in that parsers stumble over.
"""

from __future__ import annotations

import io
import json
import random
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from fsearch.diagnoser import artifact as fits
from fsearch.indexer.errors import FsearchError
from fsearch.indexer.losses.loss_file import read_losses
from fsearch.indexer.losses.prediction_file import read_predictions
from fsearch.indexer.sources.decode import RejectedImageError, decode
from fsearch.indexer.sources.resolve import open_source
from fsearch.indexer.storage.layout import Layout
from fsearch.search.hypotheses import read_hypotheses

SECONDS, HANGS, GIB = 10, 300, 2**30
# what parsers stumble over: broken encodings, quotes, odd numbers, deep nesting, paths, YAML's tags, sizes in headers
WORDS = [
    *(b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xed\xa0\x80", b'"', b'""', b"'", b"\\", b"\r", b"\n", b"\n\n"),
    *(b",", b",,,", b"nan", b"NaN", b"inf", b"-1e999", b"1" * 400, b"-0", b"true", b"null", b"{}", b"[]", b"[" * 2000),
    *(b'{"a":' * 500, b"../", b"..\\", b"/etc/passwd", b"file:///", b"http://", b"ftp://x/y", b"::", b"C:\\", b"\t"),
    *(b" ", b"%s", b"{0}", b"*a", b"&a", b"!!python/object:os.system", b"<<: *x", b"---\n", b"- ", b": ", b"image"),
    *(b"loss", b"text", b"\xff\xd9", b"\xff\xd8", b"IHDR", b"IEND", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", bytes(4)),
]


def mutate(data: bytes, seed: int) -> bytes:
    """A file that is a few steps away from a good one."""
    rng = random.Random(seed)
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        at = rng.randrange(len(out) + 1)
        step = rng.randrange(6)
        if step == 0 and out:
            out[at % len(out)] = rng.randrange(256)
        elif step == 1:
            out[at:at] = rng.choice(WORDS)
        elif step == 2:
            del out[at : at + rng.choice((1, 2, 10, 100, 10_000))]
        elif step == 3:
            out[at:at] = out[at : at + rng.randrange(200)] * rng.choice((1, 2, 50))
        elif step == 4 and out:
            out[at % len(out)] ^= 1 << rng.randrange(8)
        else:
            out[at : at + 4] = rng.choice(WORDS)
    return bytes(out)


@contextmanager
def within_limits() -> Iterator[None]:
    """At most SECONDS of this process's own time, or the test ends with the case that took longer.

    A machine that is busy with others makes nothing late. What waits without computing is ended by HANGS, in wall time.
    """

    def late(number: int, _: Any) -> None:
        raise AssertionError("it hung" if number == signal.SIGALRM else f"it took longer than {SECONDS} s")

    before = {number: signal.signal(number, late) for number in (signal.SIGVTALRM, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, HANGS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def fuzz(cases: int, goods: list[tuple[str, bytes]], use: Callable[[Path], Any], *there: str) -> None:
    """Use so many files mutated from `goods` (names and contents); only `there` may be beside them then."""
    began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    names = {name for name, _ in goods} | {*there}

    @settings(
        max_examples=cases,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        deadline=None,
    )
    @given(st.sampled_from(goods), st.integers(0, 2**62))
    def one(good: tuple[str, bytes], seed: int) -> None:
        path = Path(good[0])
        path.write_bytes(mutate(good[1], seed))
        try:
            with within_limits():
                use(path)
        except (FsearchError, RejectedImageError) as error:
            assert str(error)
            assert "\n" not in str(error), str(error)

    one()
    assert {p.name for p in Path().iterdir()} <= names, "something was written"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - began) * 1024
    assert grown < 2 * GIB, f"{grown / GIB:.1f} GiB"


def parquet(rows: dict[str, list[Any]]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(rows), out)
    return out.getvalue()


LOSSES = {
    "image": ["a.png", "b/c.png", "d"],
    "loss": [0.5, 2.0, 1e-3],
    "label": ["cat", None, "dog"],
    "iso": [100, 200, 3],
}
CSV = b'image,loss,label,iso\na.png,0.5,cat,100\nb/c.png,2,,200\nd,1e-3,"do,g",3\n'
JSONL = b'{"image": "a.png", "loss": 0.5, "iso": [1, 2]}\n{"image": "b/c.png", "loss": 2, "label": "dog"}\n'


@pytest.mark.slow
def test_losses_and_predictions_files() -> None:
    probabilities = b"image,prob_a,prob_b,label\nx,0.5,0.5,a\ny,0.1,0.9,b\n"
    goods = [("l.csv", CSV), ("l.tsv", CSV.replace(b",", b"\t")), ("l.jsonl", JSONL), ("l.parquet", parquet(LOSSES))]
    fuzz(20_000, goods, read_losses)
    array = io.BytesIO()
    np.savez(array, image=np.array(["a", "b"]), logits=np.zeros((2, 3)))
    results = json.dumps([{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}]).encode()
    lists = b'{"image": "a", "probs": [0.1, 0.9]}\n{"image": "b", "probs": [0.4, 0.6]}\n'
    for name in ("l.csv", "l.tsv", "l.jsonl", "l.parquet"):
        Path(name).unlink(missing_ok=True)
    goods = [("p.csv", probabilities), ("p.npz", array.getvalue()), ("p.json", results), ("p.jsonl", lists)]
    fuzz(10_000, goods, read_predictions)


@pytest.mark.slow
def test_hypothesis_files() -> None:
    table = b"text,group,template\ndark skin,skin,a photo of {}\na hat,,\n"
    goods = [
        ("h.txt", b"# worries\ndark skin\na hat\n"),
        ("h.csv", table),
        ("h.jsonl", b'{"text": "dark skin", "group": "skin"}\n{"text": "a hat"}\n'),
        ("h.yaml", b"- dark skin\n- text: a hat\n  group: hats\n"),
        ("h.parquet", parquet({"text": ["a", "b"], "group": ["x", None]})),
    ]
    fuzz(20_000, goods, read_hypotheses)


@pytest.mark.slow
def test_manifests() -> None:
    coco = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "categories": [{"id": 1, "name": "x"}],
    }
    coco["annotations"] = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}]
    goods = [
        ("m.csv", b"path,label,year\na.png,cat,2020\nsub/b.png,dog,2021\n"),
        ("m.jsonl", b'{"image": "a.png", "label": "x"}\n{"image": "b.png", "label": null}\n'),
        ("m.json", json.dumps(coco).encode()),
        ("m.parquet", parquet({"id": ["a", "b"], "image": [b"123", None], "label": [1, 2]})),
    ]

    def use(path: Path) -> None:
        source = open_source(str(path))
        source.keys()
        for item in source.items():
            assert item.key
            try:
                item.read()
            except (RejectedImageError, OSError):
                continue

    fuzz(20_000, goods, use)


def encoded(kind: str, mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 4), np.uint8)
    Image.fromarray(noise, "RGBA").convert(mode).save(out, kind)
    return out.getvalue()


@pytest.mark.slow
def test_images() -> None:
    kinds = [
        ("JPEG", "RGB"),
        ("JPEG", "CMYK"),
        ("PNG", "RGBA"),
        ("PNG", "P"),
        ("GIF", "P"),
        ("WEBP", "RGB"),
        ("BMP", "RGB"),
    ]
    kinds += [(kind, "RGB") for kind in ("PPM", "TGA", "PCX", "SGI", "DDS", "QOI", "ICO", "DIB", "JPEG2000", "AVIF")]
    writable = [(k, m) for k, m in [*kinds, ("TIFF", "RGB"), ("TIFF", "L"), ("TIFF", "F")] if k in Image.SAVE]
    goods = [(f"{kind}-{mode}", encoded(kind, mode)) for kind, mode in writable]

    def use(path: Path) -> None:
        assert decode(path.read_bytes()).mode == "RGB"

    fuzz(30_000, goods, use)


XML = (
    b"<annotation><filename>a.png</filename><size><width>9</width><height>9</height></size><object><name>x</name>"
    b"<difficult>0</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>6</ymax></bndbox></object>"
    b"</annotation>"
)


@pytest.mark.slow
def test_files_of_objects_and_detections() -> None:
    for folder in ("yolo/images", "yolo/labels", "voc/JPEGImages", "voc/Annotations", "dets"):
        Path(folder).mkdir(parents=True)
    for folder in ("yolo/images", "voc/JPEGImages"):
        Path(folder, "a.png").write_bytes(b"")
    config = b"path: .\ntrain: images\nval: [images/a.png]\nnames: {0: x, 1: y}\n"
    Path("yolo/data.yaml").write_bytes(config)
    boxes = {"1": {"boxes": [[1, 2, 3, 4]], "labels": [1], "scores": [0.5]}}
    mmdet = {"bboxes": [[1, 2, 3, 4]], "labels": [0], "scores": [0.5]}
    places: dict[str, tuple[str, Callable[[], Any]]] = {
        "data.yaml": ("yolo", lambda: open_source("yolo").keys()),
        "a.txt": ("yolo/labels", lambda: open_source("yolo").keys()),
        "a.xml": ("voc/Annotations", lambda: list(open_source("voc").items())),
        "b.txt": ("dets", lambda: read_predictions(Path("dets"))),
        "b.json": ("dets", lambda: read_predictions(Path("dets"))),
        "t.json": (".", lambda: read_predictions(Path("t.json"))),
    }

    def use(path: Path) -> None:
        folder, read = places[path.name]
        target = Path(folder, path.name)
        before = target.read_bytes() if target.exists() else None
        if target != path:
            target.write_bytes(path.read_bytes())
        try:
            read()
        finally:
            if before is None:
                target.unlink()
            elif target != path:
                target.write_bytes(before)

    goods = [
        ("data.yaml", config),
        ("a.txt", b"0 0.5 0.5 0.2 0.3\n1 0.1 0.1 0.2 0.2 0.3 0.3\n"),
        ("a.xml", XML),
        ("b.txt", b"0 0.5 0.5 0.2 0.3 0.9\n"),
        ("b.json", json.dumps(mmdet).encode()),
        ("t.json", json.dumps(boxes).encode()),
    ]
    fuzz(20_000, goods, use, "yolo", "voc", "dets")


@pytest.mark.slow
def test_manifests_of_ensembles(fitted: Path) -> None:
    root = Path(shutil.copytree(fitted, Path("w").absolute()))
    folder = root / "models" / "planted"
    good = (folder / "manifest.json").read_bytes()
    arrays = {p.name: p.read_bytes() for p in folder.glob("*.npy") if p.stat().st_size < 10_000}

    def use(path: Path) -> None:
        target = folder / path.name
        before = target.read_bytes()
        target.write_bytes(path.read_bytes())
        try:
            fits.load(Layout(root), "planted")
        finally:
            target.write_bytes(before)

    goods = [("manifest.json", good), *arrays.items()]
    fuzz(5_000, goods, use, "w")
