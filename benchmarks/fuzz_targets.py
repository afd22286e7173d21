"""What is fuzzed: readers of files, each with good ones to begin from, and what else must lie beside them."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import socket
import tarfile
import threading
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from fsearch.indexer.embedding.precomputed import read_embeddings
from fsearch.indexer.losses.blackbox.preprocess import read_beside
from fsearch.indexer.losses.loss_file import read_losses
from fsearch.indexer.losses.loss_spec import read_classes
from fsearch.indexer.losses.matching import read_keys
from fsearch.indexer.losses.prediction_file import read_predictions
from fsearch.indexer.sources.decode import RejectedImageError, decode
from fsearch.indexer.sources.resolve import SourceOptions, open_source
from fsearch.indexer.sources.web import fetch
from fsearch.indexer.sources.web_address import Hosts
from fsearch.search.hypotheses import read_hypotheses

Goods = list[tuple[str, bytes]]


@dataclass(frozen=True)
class Target:
    """A reader: `goods` are names and contents of good files, `use` reads a file, `prepare` makes what lies beside."""

    name: str
    goods: Callable[[], Goods]
    use: Callable[[Path], Any]
    prepare: Callable[[], Any] = lambda: None


def parquet(rows: dict[str, Any]) -> bytes:
    """A table in Parquet."""
    out = io.BytesIO()
    pq.write_table(pa.table(rows), out)
    return out.getvalue()


def encoded(kind: str, mode: str = "RGB") -> bytes:
    """A small noisy image."""
    out = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 4), np.uint8)
    Image.fromarray(noise, "RGBA").convert(mode).save(out, kind)
    return out.getvalue()


def list_images(path: Path, options: SourceOptions = SourceOptions()) -> None:  # noqa: B008 - frozen
    """Read every image of a source; those that are rejected do not matter."""
    source = open_source(str(path), options)
    source.keys()
    for item in source.items():
        assert item.key
        try:
            item.read()
        except (RejectedImageError, OSError):
            continue


LOSSES = {
    "image": ["a.png", "b/c.png", "d"],
    "loss": [0.5, 2.0, 1e-3],
    "label": ["cat", None, "dog"],
    "iso": [100, 200, 3],
    "taken": pa.array([0, 1, None], pa.timestamp("us")),
}
CSV = b'image,loss,label,iso\na.png,0.5,cat,100\nb/c.png,2,,200\nd,1e-3,"do,g",3\n'
JSONL = b'{"image": "a.png", "loss": 0.5, "iso": [1, 2]}\n{"image": "b/c.png", "loss": 2, "label": "dog"}\n'


def _losses() -> Goods:
    texts = [("l.csv", CSV), ("l.tsv", CSV.replace(b",", b"\t")), ("l.jsonl", JSONL)]
    packed = [(f"{name}.gz", gzip.compress(data)) for name, data in texts]
    return [*texts, *packed, ("l.parquet", parquet(LOSSES))]


def _predictions() -> Goods:
    array = io.BytesIO()
    np.savez(array, image=np.array(["a", "b"]), logits=np.zeros((2, 3)))
    results = json.dumps([{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}]).encode()
    return [
        ("p.csv", b"image,prob_a,prob_b,label\nx,0.5,0.5,a\ny,0.1,0.9,b\n"),
        ("p.npz", array.getvalue()),
        ("p.json", results),
        ("p.jsonl", b'{"image": "a", "probs": [0.1, 0.9]}\n{"image": "b", "probs": [0.4, 0.6]}\n'),
        ("p.parquet", parquet({"image": ["a", "b"], "logits": [[0.1, 2.0], [3.0, 1.0]]})),
    ]


def _hypotheses() -> Goods:
    return [
        ("h.txt", b"# worries\ndark skin\na hat\n"),
        ("h.csv", b"text,group,template\ndark skin,skin,a photo of {}\na hat,,\n"),
        ("h.jsonl", b'{"text": "dark skin", "group": "skin"}\n{"text": "a hat"}\n'),
        ("h.yaml", b"- dark skin\n- text: a hat\n  group: hats\n"),
        ("h.parquet", parquet({"text": ["a", "b"], "group": ["x", None]})),
    ]


def _manifests() -> Goods:
    coco = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "categories": [{"id": 1, "name": "x"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}],
    }
    return [
        ("m.csv", b"path,label,year\na.png,cat,2020\nsub/b.png,dog,2021\n"),
        ("m.jsonl", b'{"image": "a.png", "label": "x"}\n{"image": "b.png", "label": null}\n'),
        ("m.json", json.dumps(coco).encode()),
        ("m.parquet", parquet({"id": ["a", "b"], "image": [b"123", None], "label": [1, 2]})),
        ("n.parquet", parquet({"image": [{"bytes": encoded("PNG"), "path": None}], "label": [1]})),
    ]


def _images() -> Goods:
    kinds = [("JPEG", "RGB"), ("JPEG", "CMYK"), ("PNG", "RGBA"), ("PNG", "P"), ("GIF", "P"), ("WEBP", "RGB")]
    kinds += [("TIFF", "RGB"), ("TIFF", "L"), ("TIFF", "F")]
    kinds += [(k, "RGB") for k in ("BMP", "PPM", "TGA", "PCX", "SGI", "DDS", "QOI", "ICO", "DIB", "JPEG2000", "AVIF")]
    return [(f"{kind}-{mode}", encoded(kind, mode)) for kind, mode in kinds if kind in Image.SAVE]


def _tar(mode: str, files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _archives() -> Goods:
    png = encoded("PNG")
    members = {"a.png": png, "x/" + "long" * 40 + ".png": png, "notes.txt": b"hello"}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    tars = [(f"a.tar{s}", _tar(f"w:{s.lstrip('.')}", members)) for s in ("", ".gz", ".xz", ".bz2")]
    return [("a.zip", packed.getvalue()), *tars]


def _shards() -> Goods:
    png = encoded("PNG")
    files = {"0.png": png, "0.cls": b"1", "0.json": b'{"year": 2020}', "1.png": png, "1.txt": b"a cat"}
    return [("s/000.tar", _tar("w", files)), ("s/001.tar", _tar("w:gz", files))]


XML = (
    b"<annotation><filename>a.png</filename><size><width>9</width><height>9</height></size><object><name>x</name>"
    b"<difficult>0</difficult><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>6</ymax></bndbox></object>"
    b"</annotation>"
)
YOLO = b"path: .\ntrain: images\nval: [images/a.png]\ntest: list.txt\nnames: {0: x, 1: y}\n"


def _prepare_objects() -> None:
    for folder in ("yolo/images", "yolo/labels", "voc/JPEGImages", "voc/Annotations", "dets"):
        Path(folder).mkdir(parents=True, exist_ok=True)
    for folder in ("yolo/images", "voc/JPEGImages"):
        Path(folder, "a.png").write_bytes(b"")
    for name, data in _objects():
        Path(name).write_bytes(data)


def _objects() -> Goods:
    boxes = {"1": {"boxes": [[1, 2, 3, 4]], "labels": [1], "scores": [0.5]}}
    mmdet = {"bboxes": [[1, 2, 3, 4]], "labels": [0], "scores": [0.5]}
    return [
        ("yolo/data.yaml", YOLO),
        ("yolo/list.txt", b"./images/a.png\n"),
        ("yolo/labels/a.txt", b"0 0.5 0.5 0.2 0.3\n1 0.1 0.1 0.2 0.2 0.3 0.3\n"),
        ("voc/Annotations/a.xml", XML),
        ("dets/b.txt", b"0 0.5 0.5 0.2 0.3 0.9\n"),
        ("dets/c.json", json.dumps(mmdet).encode()),
        ("t.json", json.dumps(boxes).encode()),
    ]


def _use_objects(path: Path) -> None:
    if path.parts[0] in ("yolo", "voc"):
        list_images(Path(path.parts[0]))
    else:
        read_predictions(Path("dets") if path.parts[0] == "dets" else path)


def _embeddings() -> Goods:
    array, archive = io.BytesIO(), io.BytesIO()
    np.save(array, np.eye(3, 4, dtype=np.float32))
    np.savez(archive, keys=np.array(["a", "b"]), embeddings=np.eye(2, 4))
    table = parquet({"image": ["a", "b"], "embedding": [[1.0, 0.0], [0.0, 1.0]]})
    return [
        ("e.npy", array.getvalue()),
        ("e.npz", archive.getvalue()),
        ("e.parquet", table),
        ("e.keys.txt", b"a\nb\nc\n"),
    ]


def _prepare_embeddings() -> None:
    for name, data in _embeddings():
        Path(name).write_bytes(data)


def _settings() -> Goods:
    return [
        ("c.txt", b"cat\ndog\n"),
        ("c.json", b'{"id2label": {"0": "cat", "1": "dog"}}'),
        ("c.yaml", b"names: {0: cat, 1: dog}\n"),
        ("m.yaml", b"size: [8, 8]\nmean: [0.5, 0.5, 0.5]\nresize: crop\nclasses: [cat, dog]\n"),
    ]


def _use_settings(path: Path) -> None:
    if path.name == "m.yaml":
        read_beside(path.with_suffix(".onnx"))
    else:
        read_classes(str(path))


ANSWER = b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Type: text/html\r\nContent-Length: 20\r\n\r\n<a href='a.png'>a</a>"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"


class _Answers:
    """A server of this process that answers whatever `data` is, and hangs up."""

    data, url = b"", ""

    @classmethod
    def start(cls) -> None:
        server = socket.create_server(("127.0.0.1", 0))
        cls.url = f"http://127.0.0.1:{server.getsockname()[1]}/a"
        threading.Thread(target=cls._answer, args=(server,), daemon=True).start()

    @classmethod
    def _answer(cls, server: socket.socket) -> None:
        while True:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65_536)
                connection.sendall(cls.data)

    @classmethod
    def use(cls, path: Path) -> None:
        cls.data = path.read_bytes()
        if len(fetch(cls.url, 10_000, Hosts(private=True), seconds=5)) > 10_000:
            raise AssertionError("more was read than the limit")


def _use_index(path: Path) -> None:
    from fsearch.indexer.vector_index.index import read_index

    vectors: Any = _vectors()
    for mapped in (True, False):
        index = read_index(path, vectors, "cpu", mapped=mapped)
        if index is not None:
            _, rows = index.search(vectors[:3].astype(np.float32), 20)
            assert rows.min() >= 0
            assert rows.max() < len(vectors)


def _vectors() -> Any:
    found = np.random.default_rng(4).normal(size=(400, 64)).astype(np.float16)
    return found / np.linalg.norm(found, axis=1, keepdims=True).astype(np.float16)


def _indexes() -> Goods:
    from fsearch.indexer.vector_index.build import make
    from fsearch.indexer.vector_index.index import VectorIndex
    from fsearch.indexer.vector_index.spec import IndexKind

    goods = []
    vectors: Any = _vectors()
    for kind in (IndexKind("exact", 0, 256), IndexKind("ivf-fp16", 4, 128), IndexKind("ivf-sq8", 4, 64)):
        index = VectorIndex(kind, make(kind, 64, lambda n: vectors[:n].astype(np.float32)), vectors)
        index.add([vectors])
        path = Path(f"{kind.name}.faiss")
        index.save(path)
        goods.append((path.name, path.read_bytes()))
        path.unlink()
    return goods


TARGETS = (
    Target("losses", _losses, read_losses),
    Target("predictions", _predictions, read_predictions),
    Target("hypotheses", _hypotheses, read_hypotheses),
    Target("manifests", _manifests, list_images),
    Target("images", _images, lambda path: decode(path.read_bytes())),
    Target("archives", _archives, list_images),
    Target("shards", _shards, lambda path: list_images(path, SourceOptions("webdataset")), lambda: Path("s").mkdir()),
    Target("objects", _objects, _use_objects, _prepare_objects),
    Target(
        "embeddings",
        _embeddings,
        lambda path: read_embeddings(Path("e.npy") if path.suffix == ".txt" else path, None, read_keys),
        _prepare_embeddings,
    ),
    Target("settings", _settings, _use_settings),
    Target(
        "web",
        lambda: [("answer", ANSWER), ("chunked", CHUNKED), ("redirect", REDIRECT)],
        _Answers.use,
        _Answers.start,
    ),
    Target("indexes", _indexes, _use_index),
)
